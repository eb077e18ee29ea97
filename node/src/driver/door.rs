//! Where questions of peers go: to the thread that keeps mailboxes, or back.
//!
//! The driver gives them here and never waits: mailboxes stand in nobody's way.

use std::collections::VecDeque;
use std::time::Duration;

use bitchat_protocol::engine::SendToken;
use bitchat_protocol::error::Code;
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::{Answer, RefusalCode, Response, request_id};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::network::Command;

/// Questions that wait for the thread; with deposits of the greatest size 64 MiB.
pub(crate) const CALLS_MAX: usize = 256;

/// Peers whose end the thread was not told yet. Beyond, the oldest is left to the thread's own deadlines.
const GONE_MAX: usize = 4_096;

/// When an asker may come back that found the thread busy: it answers thousands a second.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// When one may come back that asked a node without mailboxes.
const NONE_RETRY: Duration = Duration::from_secs(24 * 3_600);

/// Marks sends of this side: those of the engine count up from 1.
const OURS: u64 = 1 << 63;

/// What the thread is told.
#[derive(Debug)]
pub enum Call {
    /// A peer asks.
    Request {
        /// As whom.
        peer: DeviceId,
        /// An encoded `wire::Link`.
        bytes: Vec<u8>,
    },
    /// The last link to a peer is gone.
    Gone(DeviceId),
}

/// The driver's end.
#[derive(Debug)]
pub struct Door {
    calls: Option<mpsc::Sender<Call>>,
    /// Ends that found no room.
    gone: VecDeque<DeviceId>,
}

impl Door {
    /// To nobody: this node keeps no mailboxes.
    #[must_use]
    pub const fn closed() -> Self {
        Self { calls: None, gone: VecDeque::new() }
    }

    /// To the thread that reads the other end.
    #[must_use]
    pub const fn open(calls: mpsc::Sender<Call>) -> Self {
        Self { calls: Some(calls), gone: VecDeque::new() }
    }

    /// Takes the question in frame `number` of a peer. Returns what the peer is told at once, if anything.
    #[must_use]
    pub fn ask(&mut self, peer: DeviceId, number: u64, bytes: Vec<u8>) -> Option<Command> {
        self.flush();
        let Some(calls) = &self.calls else { return none(peer, number, &bytes) };
        if !self.gone.is_empty() {
            return Some(busy(peer, number)); // What came first is told first.
        }
        match calls.try_send(Call::Request { peer, bytes }) {
            Ok(()) => None,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => Some(busy(peer, number)),
        }
    }

    /// The last link to a peer is gone.
    pub fn gone(&mut self, peer: DeviceId) {
        if self.calls.is_none() {
            return;
        }
        self.flush();
        if self.gone.len() >= GONE_MAX {
            self.gone.pop_front();
        }
        self.gone.push_back(peer);
        self.flush();
    }

    /// Tells what found no room before.
    pub fn flush(&mut self) {
        let Some(calls) = &self.calls else { return };
        while let Some(peer) = self.gone.front().copied() {
            match calls.try_send(Call::Gone(peer)) {
                Err(TrySendError::Full(_)) => return,
                Ok(()) | Err(TrySendError::Closed(_)) => drop(self.gone.pop_front()),
            }
        }
    }
}

/// Whether the fate of this send is of no interest to the engine.
pub(super) const fn is_ours(token: SendToken) -> bool {
    token.0 & OURS != 0
}

/// The token of the `count`th answer.
#[must_use]
pub(crate) const fn token(count: u64) -> SendToken {
    SendToken(OURS | count)
}

/// Cheap: the frame was not looked at, and its stream says which one is meant.
const fn busy(peer: DeviceId, number: u64) -> Command {
    Command::Refuse { peer, number, code: Code::Busy, retry_after: BUSY_RETRY }
}

fn none(peer: DeviceId, number: u64, bytes: &[u8]) -> Option<Command> {
    let Some(id) = request_id(bytes) else {
        let (code, retry_after) = (Code::Rejected, Duration::ZERO);
        return Some(Command::Refuse { peer, number, code, retry_after });
    };
    let code = RefusalCode::NoMailboxes;
    let answer = Answer::Refused { code, retry_after: NONE_RETRY, work_bits: 0 };
    let frame = Response { id, answer }.encode();
    Some(Command::Send { peer, token: token(0), frame })
}

#[cfg(test)]
mod tests {
    use bitchat_protocol::mailbox::{Question, Request, RequestId};

    use super::*;

    const PEER: DeviceId = DeviceId([1; 32]);

    fn frame() -> Vec<u8> {
        Request { id: RequestId(7), question: Question::Offer }.encode()
    }

    #[test]
    fn a_node_without_mailboxes_says_so_under_the_questions_number() {
        let said = Door::closed().ask(PEER, 3, frame());

        let Some(Command::Send { peer: PEER, token, frame }) = said else { panic!("{said:?}") };
        let response = Response::decode(&frame).expect("of ours");
        assert_eq!(response.id, RequestId(7));
        let none = RefusalCode::NoMailboxes;
        assert!(matches!(response.answer, Answer::Refused { code, .. } if code == none));
        assert!(is_ours(token) && !is_ours(SendToken(u64::MAX >> 1)));
    }

    #[test]
    fn a_full_thread_is_busy_and_still_told_who_went_before_what_came_later() {
        let (calls, mut called) = mpsc::channel(1);
        let mut door = Door::open(calls);
        assert!(door.ask(PEER, 1, frame()).is_none());

        let said = door.ask(PEER, 2, frame());
        door.gone(PEER);
        let later = door.ask(PEER, 3, frame());

        for (said, frame) in [(said, 2), (later, 3)] {
            let busy = Some(Command::Refuse {
                peer: PEER,
                number: frame,
                code: Code::Busy,
                retry_after: BUSY_RETRY,
            });
            assert_eq!(format!("{said:?}"), format!("{busy:?}"));
        }
        assert!(matches!(called.try_recv(), Ok(Call::Request { .. })));
        door.flush();
        assert!(matches!(called.try_recv(), Ok(Call::Gone(PEER))));
        assert!(door.ask(PEER, 4, frame()).is_none());
    }
}
