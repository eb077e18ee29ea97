//! The questions of one link identity: dials the nodes that are asked, pairs answers by their number.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bitchat_protocol::engine::SendToken;
use bitchat_protocol::error::Code;
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::{Answer, RefusalCode, RequestId, Response, Unanswered, Veil};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Waiting;
use crate::network::{self, Command, Event, Limits, Settings};

/// One question and whoever waits for it.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) node: DeviceId,
    pub(super) addresses: Vec<String>,
    pub(super) frame: Vec<u8>,
    pub(super) until: Instant,
    pub(super) waiting: Waiting,
    /// Keeps the link from being closed.
    pub(super) busy: Option<Arc<()>>,
}

/// A question that was taken on.
struct Open {
    node: DeviceId,
    until: Instant,
    /// Whether a byte of it may have left.
    sent: bool,
    waiting: Waiting,
    _busy: Option<Arc<()>>,
}

/// Where we stand with a node.
enum Reach {
    /// Being dialled; these frames go when it is there.
    Dialling(Vec<(RequestId, Vec<u8>)>),
    Connected,
}

/// One link identity at work.
struct Link {
    commands: VecDeque<Command>,
    nodes: BTreeMap<DeviceId, Reach>,
    open: BTreeMap<RequestId, Open>,
    deadlines: BTreeSet<(Instant, RequestId)>,
}

/// A network that only dials, under the veil's key. Small: it carries a few questions at a time.
pub(super) fn settings(veil: &Veil, own_ports: Vec<u16>) -> Settings {
    let limits = Limits {
        commands: 64,
        events: 64,
        connections: 16,
        connections_inbound: 0,
        connections_per_peer: 2,
        connections_pending: 16,
        streams: 32,
        ..Limits::default()
    };
    Settings { listen: Vec::new(), key: veil.seed().duplicate(), mdns: false, own_ports, limits }
}

/// Answers questions until nobody can ask any more and none is open.
pub(super) async fn run(settings: Settings, mut questions: mpsc::Receiver<Question>) {
    let (network, mut events) = match network::start(settings).await {
        Ok(started) => started,
        Err(error) => {
            tracing::warn!(%error, "no network for a question to a mailbox node");
            questions.close();
            while let Some(question) = questions.recv().await {
                question.waiting.tell(Err(Unanswered::Unreachable));
            }
            return;
        }
    };
    let commands = network.commands();
    let mut link = Link {
        commands: VecDeque::new(),
        nodes: BTreeMap::new(),
        open: BTreeMap::new(),
        deadlines: BTreeSet::new(),
    };
    let mut asked_for = true;
    while asked_for || !link.open.is_empty() {
        let next = link.deadlines.first().map(|(until, _)| *until);
        tokio::select! {
            biased;
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => link.expire(),
            event = events.recv() => match event {
                Some(event) => link.hear(event),
                None => break,
            },
            Ok(permit) = commands.reserve(), if !link.commands.is_empty() => {
                if let Some(command) = link.commands.pop_front() {
                    permit.send(command);
                }
            }
            question = questions.recv(), if asked_for => match question {
                Some(question) => link.ask(question),
                None => asked_for = false,
            },
        }
    }
}

impl Link {
    fn ask(&mut self, question: Question) {
        let Question { node, addresses, frame, until, waiting, busy } = question;
        let request = waiting.request;
        if self.open.contains_key(&request) {
            return waiting.tell(Err(Unanswered::Full)); // Ids are random: it was asked twice.
        }
        let mut open = Open { node, until, sent: false, waiting, _busy: busy };
        match self.nodes.get_mut(&node) {
            Some(Reach::Connected) => {
                open.sent = true;
                self.commands.push_back(send(node, request, frame));
            }
            Some(Reach::Dialling(frames)) => frames.push((request, frame)),
            None => {
                self.nodes.insert(node, Reach::Dialling(vec![(request, frame)]));
                self.commands.push_back(Command::Connect { peer: node, addresses });
            }
        }
        self.deadlines.insert((until, request));
        self.open.insert(request, open);
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Frame { peer, bytes, .. } => {
                // Whatever else a node says under way is none of our business.
                let Ok(Response { id, .. }) = Response::decode(&bytes) else { return };
                self.answered(peer, id, Ok(bytes));
            }
            Event::Connected { peer, .. } => {
                let before = self.nodes.insert(peer, Reach::Connected);
                let Some(Reach::Dialling(frames)) = before else { return };
                for (request, frame) in frames {
                    if let Some(open) = self.open.get_mut(&request) {
                        open.sent = true;
                        self.commands.push_back(send(peer, request, frame));
                    }
                }
            }
            Event::Disconnected { peer } => {
                self.nodes.remove(&peer);
                let gone: Vec<_> = self.open.iter().filter(|(_, open)| open.node == peer).collect();
                for request in gone.into_iter().map(|(request, _)| *request).collect::<Vec<_>>() {
                    self.give_up(request);
                }
            }
            Event::SendFailed { token: SendToken(number), .. } => self.give_up(RequestId(number)),
            Event::Refused { peer, token: SendToken(number), code, retry_after } => {
                let id = RequestId(number);
                let answer = Answer::Refused { code: refusal(code), retry_after, work_bits: 0 };
                self.answered(peer, id, Ok(Response { id, answer }.encode()));
            }
            Event::Accepted { .. } | Event::Discovered { .. } | Event::Listening(_) => {}
        }
    }

    /// Only the device that was asked answers, and only after it was asked.
    fn answered(&mut self, peer: DeviceId, id: RequestId, result: Result<Vec<u8>, Unanswered>) {
        if self.open.get(&id).is_some_and(|open| open.node == peer && open.sent) {
            self.close(id, result);
        }
    }

    fn give_up(&mut self, request: RequestId) {
        let sent = self.open.get(&request).is_some_and(|open| open.sent);
        self.close(request, Err(if sent { Unanswered::Silent } else { Unanswered::Unreachable }));
    }

    fn close(&mut self, request: RequestId, result: Result<Vec<u8>, Unanswered>) {
        if let Some(open) = self.open.remove(&request) {
            self.deadlines.remove(&(open.until, request));
            open.waiting.tell(result);
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some((until, request)) = self.deadlines.first().copied() {
            if until > now {
                return;
            }
            self.give_up(request);
            self.deadlines.remove(&(until, request));
        }
    }
}

const fn send(peer: DeviceId, request: RequestId, frame: Vec<u8>) -> Command {
    Command::Send { peer, token: SendToken(request.0), frame }
}

/// What a refusal of the frame itself means: the node had no time for it, or knows no mailboxes.
const fn refusal(code: Code) -> RefusalCode {
    match code {
        Code::Rejected => RefusalCode::Rejected,
        Code::Busy => RefusalCode::Busy,
        Code::Internal => RefusalCode::Internal,
        Code::Stranger | Code::Unsupported => RefusalCode::NoMailboxes,
    }
}
