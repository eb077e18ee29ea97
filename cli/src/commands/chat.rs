//! `bitchat chat WHO`: a conversation, line by line.
//!
//! ```text
//!   stdin line ──> send ──> marks as it gets on       incoming ──> print ──> acknowledge
//! ```
//!
//! Works on a terminal and on a pipe. At the end of stdin it waits until everything it sent has
//! left, or the time is up. Exit codes: as `send --wait sent`, for the worst of its messages.

use std::future::pending;
use std::time::Duration;

use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::args::{Span, State};
use crate::client::{Client, Inbox, Message, Wait};
use crate::commands::send::outcome;
use crate::error::{Stop, UserError};
use crate::output::{self, Output, Text};
use crate::signals;

mod sent;
mod typed;

use sent::Sent;

/// How often the messages under way are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often those that have arrived are looked at: whether the contact says that it has read them.
const READ_EVERY: Duration = Duration::from_secs(1);

/// Messages that have arrived and that the contact may still say it has read.
const UNREAD_MAX: usize = 100;

/// How long one question for incoming messages waits before it is asked anew.
const POLL: Duration = Duration::from_secs(25);

/// Pages of incoming messages that wait to be printed.
const PAGES: usize = 4;

/// Talk to a contact line by line; end of input ends it
///
/// Shows what the contact wrote since the last chat, and marks as your messages get on:
/// · queued, → sent, ✓ stored, ✓✓ delivered, ✓✓ read, ✗ failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Chat {
    /// Name, account or the start of an account
    who: String,
    /// At the end of input, wait this long for what is not sent yet
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    timeout: Span,
}

/// Why a chat ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// No more input; what had to leave has left, or its time is up.
    Input,
    /// The user wants no more of it and does not wait.
    Interrupt,
}

/// A chat under way.
struct Session<'a> {
    client: &'a Client,
    out: &'a mut Output,
    who: String,
    account: String,
    reader: String,
    /// What is not delivered yet, what failed, and what may yet be read.
    sent: Vec<Sent>,
    read_looked: Instant,
}

impl Chat {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let contact = client.contact(&self.who).await?;
        // A cursor of its own for each contact, so that a chat takes nothing from `receive`.
        let reader = reader_of(&contact.account);
        let (pages, mut incoming) = mpsc::channel(PAGES);
        let listener = tokio::spawn(listen(client.clone(), reader.clone(), pages));
        let mut session = Session {
            client,
            out,
            who: contact.account.clone(),
            account: contact.account,
            reader,
            sent: Vec::new(),
            read_looked: Instant::now(),
        };
        let result = session.talk(&mut incoming, self.timeout).await;
        listener.abort();
        if matches!(result?, End::Interrupt) {
            return Ok(());
        }
        let wait = Wait { state: State::Sent, timeout: self.timeout };
        session.sent.iter().try_for_each(|sent| Ok(outcome(&sent.delivery, wait, client)?))
    }
}

impl Session<'_> {
    async fn talk(
        &mut self,
        incoming: &mut mpsc::Receiver<Result<Vec<Message>, UserError>>,
        patience: Span,
    ) -> Result<End, Stop> {
        let mut interrupts = signals::take(SignalKind::interrupt())?;
        let mut typed = typed::lines();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deadline: Option<Instant> = None;
        loop {
            if deadline.is_some() && self.sent.iter().all(Sent::has_left) {
                return Ok(End::Input);
            }
            tokio::select! {
                line = typed.recv(), if deadline.is_none() => match line {
                    Some(line) => self.say(&line?).await?,
                    None => deadline = Some(Instant::now() + patience.duration()),
                },
                Some(page) = incoming.recv() => self.hear(&page?).await?,
                _ = look.tick() => self.look().await?,
                () = at(deadline) => return Ok(End::Input),
                _ = interrupts.recv() => return Ok(End::Interrupt),
            }
        }
    }

    /// Sends one line.
    async fn say(&mut self, line: &str) -> Result<(), Stop> {
        if line.trim().is_empty() {
            return Ok(());
        }
        let wait = Wait { state: State::Queued, timeout: Span::seconds(10) };
        let delivery = self.client.send(&self.who, line, wait, None, None).await?;
        let sent = Sent::new(delivery, line);
        sent.show(self.out)?;
        self.sent.push(sent);
        self.out.flush()
    }

    /// Prints what came from this contact; then it may be acknowledged.
    async fn hear(&mut self, messages: &[Message]) -> Result<(), Stop> {
        let Some(last) = messages.last() else {
            return Ok(());
        };
        for message in messages.iter().filter(|message| message.account == self.account) {
            self.out.answer(message, |paint| output::received(message, Text::Clean, paint))?;
        }
        self.out.flush()?;
        Ok(self.client.acknowledge(&self.reader, last.cursor, Some(&self.account)).await?)
    }

    /// Looks whether messages got on.
    async fn look(&mut self) -> Result<(), Stop> {
        for sent in self.sent.iter_mut().filter(|sent| !sent.is_settled()) {
            let delivery = self.client.delivery(&sent.delivery.id).await?;
            if sent.advance(delivery) {
                sent.show(self.out)?;
            }
        }
        if self.sent.iter().any(Sent::may_be_read) && self.read_looked.elapsed() >= READ_EVERY {
            self.look_for_read().await?;
        }
        self.sent.retain(|sent| !sent.is_read());
        while self.sent.iter().filter(|sent| sent.may_be_read()).count() > UNREAD_MAX {
            let oldest = self.sent.iter().position(Sent::may_be_read).unwrap_or_default();
            self.sent.remove(oldest);
        }
        self.out.flush()
    }

    /// Looks whether the contact says that it has read what has arrived: all of it with one question.
    async fn look_for_read(&mut self) -> Result<(), Stop> {
        self.read_looked = Instant::now();
        let page = u64::try_from(2 * UNREAD_MAX).unwrap_or(u64::MAX);
        let history = self.client.history(&self.who, page, None).await?;
        let is_read = |id: &str| {
            history.iter().any(|line| line.id == id && line.state.as_deref() == Some("read"))
        };
        for sent in self.sent.iter_mut().filter(|sent| sent.may_be_read()) {
            if is_read(&sent.delivery.id) {
                sent.advance(self.client.delivery(&sent.delivery.id).await?);
                sent.show(self.out)?;
            }
        }
        Ok(())
    }
}

/// Hands over pages of the inbox until nobody takes them.
async fn listen(
    client: Client,
    reader: String,
    pages: mpsc::Sender<Result<Vec<Message>, UserError>>,
) {
    let mut wanted = Inbox { reader, since: None, max: 100, wait: POLL };
    loop {
        let page = client.inbox(&wanted).await;
        let failed = page.is_err();
        if let Ok([.., last]) = page.as_deref() {
            wanted.since = Some(last.cursor);
        }
        if pages.send(page).await.is_err() || failed {
            return;
        }
    }
}

/// The name of the cursor of a chat: the end of the account tells contacts apart.
fn reader_of(account: &str) -> String {
    let tail = account.len().saturating_sub(24);
    format!("chat-{}", account.get(tail..).unwrap_or(account))
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
