//! Messages on their way to the reader of stdout, and what may be acknowledged of them.
//!
//! ```text
//!   print ──> flush ──> in the pipe ──> taken ──> acknowledged
//! ```
//!
//! Into a pipe messages go one by one, so that a reader which ends after the first
//! (`| head -1`) never had the second. Who does not read at once gets the next ones all the same;
//! they are acknowledged as they are taken.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::client::{Client, Message};
use crate::error::Stop;
use crate::output::{self, Output, Text};

/// How long a reader gets to take one message before the next is written behind it: long enough
/// for a busy machine, short enough for a caller that reads only when this program has ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// For this long a reader is looked at without a pause: most take a message within microseconds.
const BRISK: Duration = Duration::from_micros(200);

/// Pause between two looks afterwards.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// While messages are taken quickly one acknowledgement covers all of this time.
const ACKNOWLEDGE_EVERY: Duration = Duration::from_millis(100);

/// A message that was printed and not acknowledged.
struct Printed {
    cursor: u64,
    /// Bytes of stdout up to its end.
    end: u64,
}

/// The way of messages to the reader of stdout.
pub(super) struct Handover<'a> {
    client: &'a Client,
    out: &'a mut Output,
    text: Text,
    /// Cursor to move; none with `--since`.
    reader: Option<String>,
    printed: VecDeque<Printed>,
    acknowledged: Instant,
    /// The last message was not taken in time: no use to wait for each.
    is_slow: bool,
}

impl<'a> Handover<'a> {
    pub(super) fn new(
        client: &'a Client,
        out: &'a mut Output,
        text: Text,
        reader: Option<String>,
    ) -> Self {
        let printed = VecDeque::new();
        let acknowledged = Instant::now();
        Self { client, out, text, reader, printed, acknowledged, is_slow: false }
    }

    /// Prints a page. What the reader took of it is acknowledged.
    pub(super) async fn print(&mut self, messages: &[Message]) -> Result<(), Stop> {
        let result = self.print_each(messages).await;
        self.acknowledge().await?;
        result
    }

    async fn print_each(&mut self, messages: &[Message]) -> Result<(), Stop> {
        self.is_slow = false;
        for message in messages {
            let text = self.text;
            self.out.answer(message, |paint| output::received(message, text, paint))?;
            if self.out.is_pipe() {
                self.hand_over(message.cursor)?;
                self.wait().await?;
            }
        }
        match messages.last() {
            Some(last) if !self.out.is_pipe() => self.hand_over(last.cursor),
            _ => Ok(()),
        }
    }

    fn hand_over(&mut self, cursor: u64) -> Result<(), Stop> {
        self.out.flush()?;
        self.printed.push_back(Printed { cursor, end: self.out.flushed() });
        Ok(())
    }

    /// Gives the reader a moment to take everything.
    async fn wait(&mut self) -> Result<(), Stop> {
        let begun = Instant::now();
        while !self.is_slow && self.out.taken() < self.out.flushed() {
            if self.out.is_abandoned() {
                return Err(Stop::PipeClosed);
            }
            let waited = begun.elapsed();
            if waited < BRISK {
                yield_now().await;
            } else {
                sleep(LOOK_EVERY).await;
            }
            self.is_slow = waited >= PATIENCE;
        }
        if self.acknowledged.elapsed() < ACKNOWLEDGE_EVERY {
            return Ok(());
        }
        self.acknowledge().await
    }

    /// Acknowledges what was taken. Called now and then while nothing comes, too.
    pub(super) async fn look(&mut self) -> Result<(), Stop> {
        self.acknowledge().await?;
        if self.out.is_abandoned() { Err(Stop::PipeClosed) } else { Ok(()) }
    }

    async fn acknowledge(&mut self) -> Result<(), Stop> {
        let taken = self.out.taken();
        let mut last = None;
        while let Some(message) = self.printed.pop_front_if(|message| message.end <= taken) {
            last = Some(message.cursor);
        }
        self.move_cursor(last).await
    }

    /// The end of the command: what lies in the pipe now counts as read, if somebody is there.
    pub(super) async fn finish(mut self) -> Result<(), Stop> {
        let waited = self.wait().await;
        self.acknowledge().await?;
        waited?;
        if !self.printed.is_empty() && self.out.is_abandoned() {
            return Err(Stop::PipeClosed);
        }
        let last = self.printed.pop_back().map(|message| message.cursor);
        self.move_cursor(last).await
    }

    async fn move_cursor(&mut self, to: Option<u64>) -> Result<(), Stop> {
        if let (Some(cursor), Some(reader)) = (to, &self.reader) {
            self.client.acknowledge(reader, cursor, None).await?;
            self.acknowledged = Instant::now();
        }
        Ok(())
    }
}
