//! A stand-in for driver and engine: answers each command with something that shows what was asked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request as HttpRequest, Response, StatusCode};
use bitchat_protocol::contact::KeyPolicy;
use bitchat_protocol::engine::{
    BackupPage, BreakerView, Command, CommandError, ContactView, DeliveryState, DeliveryView,
    Event, ExportView, IdentityView, ImportView, InvitationView, MessageView, QueueView, Reply,
    Who, WithheldView,
};
use bitchat_protocol::id::{AccountId, DeviceId, MessageId};
use bitchat_protocol::prekey::PrekeyUse;
use bitchat_protocol::time::UnixMillis;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, watch};
use tower::ServiceExt;

use crate::control::handle::{Handle, NodeStatus, PeerStatus, Request, Warning};
use crate::metrics::{Format, Metrics, WarningCode};

/// Room for events: small, so that tests can make a reader lag.
const EVENTS: usize = 4;

/// What the stand-in remembers.
#[derive(Default)]
pub(super) struct Memory {
    asked: Vec<String>,
    /// Messages in the inbox.
    pub(super) inbox: Vec<MessageView>,
    /// Where every message is said to be.
    pub(super) state: Option<DeliveryState>,
    /// What every command fails with, if it does.
    pub(super) failure: Option<CommandError>,
    /// What keeps every message from being tried.
    pub(super) withheld: Option<WithheldView>,
    /// Every circuit breaker.
    pub(super) breakers: Vec<BreakerView>,
    acknowledged: u64,
}

/// A node without an engine.
pub(super) struct Fake {
    handle: Handle,
    events: broadcast::Sender<Event>,
    status: watch::Sender<NodeStatus>,
    memory: Arc<Mutex<Memory>>,
}

impl Fake {
    /// A node that answers.
    pub(super) fn start() -> Self {
        let (node, mut requests) = Self::silent(16);
        let memory = Arc::clone(&node.memory);
        tokio::spawn(async move {
            while let Some(Request { command, reply, .. }) = requests.recv().await {
                let answer = memory.lock().unwrap().answer(command);
                let _ = reply.send(answer);
            }
        });
        node
    }

    /// A node whose engine is gone.
    pub(super) fn gone() -> Self {
        Self::silent(1).0
    }

    /// A node whose requests nobody reads, until the caller does.
    pub(super) fn silent(queue: usize) -> (Self, mpsc::Receiver<Request>) {
        let (requests, inbound) = mpsc::channel(queue);
        let (events, _) = broadcast::channel(EVENTS);
        let socket = PathBuf::from("/run/x/bitchat.sock");
        let (status, watch) = watch::channel(NodeStatus::starting(socket, Instant::now()));
        let metrics = Metrics::new(UnixMillis(1_000));
        let handle = Handle::new(requests, events.clone(), watch, metrics);
        (Self { handle, events, status, memory: Arc::default() }, inbound)
    }

    pub(super) fn router(&self) -> Router {
        crate::control::router(self.handle.clone())
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.memory.lock().unwrap().asked.clone()
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Memory)) {
        change(&mut self.memory.lock().unwrap());
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut NodeStatus)) {
        self.status.send_modify(change);
    }

    /// Tells whoever listens.
    pub(super) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Puts a message into the inbox and tells.
    pub(super) fn receive(&self, cursor: u64) {
        self.set(|memory| memory.inbox.push(message(cursor, false)));
        self.tell(Event::Received(message(cursor, false)));
    }

    /// How many requests listen to events now.
    pub(super) fn listeners(&self) -> usize {
        self.events.receiver_count()
    }

    pub(super) fn metrics_text(&self) -> String {
        self.handle.metrics().encode(Format::Classic, UnixMillis(2_000))
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "one match in two functions")]
impl Memory {
    fn done(&mut self, asked: String) -> Reply {
        self.asked.push(asked);
        Reply::Done
    }

    fn answer(&mut self, command: Command) -> Result<Reply, CommandError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        Ok(match command {
            Command::Identity => Reply::Identity(identity()),
            Command::Invite { once, expires } => Reply::Invitation(InvitationView {
                link: format!("bitchat:once={once}"),
                short: "bitchat:s".to_owned(),
                expires: expires.map(|wait| UnixMillis(0).plus(wait)),
            }),
            Command::AddContact { name, .. } => {
                Reply::Contact(ContactView { known: true, ..contact(&name.unwrap()) })
            }
            Command::Contacts => Reply::Contacts(vec![contact("bob")]),
            Command::Contact(_)
            | Command::Rename { .. }
            | Command::Verify { .. }
            | Command::VerifyScanned { .. }
            | Command::SetPolicy { .. }
            | Command::Trust(_)
            | Command::ResetSession(_) => Reply::Contact(self.about_contact(command)?),
            other => return self.answer_about_messages(other),
        })
    }

    fn answer_about_messages(&mut self, command: Command) -> Result<Reply, CommandError> {
        Ok(match command {
            Command::Remove { extent, .. } => {
                self.asked.push(format!("Remove {extent:?}"));
                Reply::Done
            }
            Command::Send { text, expires, .. } => {
                self.asked.push(format!("Send {} bytes expires={expires:?}", text.len()));
                Reply::Delivery(delivery(DeliveryState::Queued))
            }
            Command::SendOnce { id, text, .. } => {
                self.asked.push(format!("SendOnce {id} {} bytes", text.len()));
                Reply::Delivery(delivery(DeliveryState::Queued))
            }
            Command::Track(_) | Command::RetryNow(_) => Reply::Track(super::queue::track()),
            Command::Cancel(id) => return Err(CommandError::Accepted(id)),
            Command::Delivery(_) => {
                self.asked.push("Delivery".to_owned());
                Reply::Delivery(delivery(self.state.unwrap_or(DeliveryState::Queued)))
            }
            Command::Inbox { reader, since, max } => {
                self.asked.push(format!("Inbox {reader} since={since:?}"));
                let after = since.unwrap_or(self.acknowledged);
                let messages = self.inbox.iter().filter(|message| message.cursor > after);
                Reply::Messages(messages.take(max).cloned().collect())
            }
            Command::Acknowledge { reader, cursor, only } => {
                let only = only.map(|who| format!(" only {}", who.0)).unwrap_or_default();
                self.asked.push(format!("Acknowledge {reader} {cursor}{only}"));
                self.acknowledged = cursor;
                Reply::Done
            }
            Command::History { before, max, .. } => {
                self.asked.push(format!("History before={before:?} max={max}"));
                Reply::Messages(vec![message(1, false), message(0, true)])
            }
            Command::Queue => Reply::Queue(vec![row()]),
            Command::Breakers => Reply::Breakers(self.breakers.clone()),
            Command::Withheld(_) => Reply::Withheld(self.withheld),
            Command::AcceptCopy => self.done("AcceptCopy".to_owned()),
            Command::BackupPage { cursor, history } => {
                self.asked.push(format!("Export {cursor} history={history}"));
                Reply::BackupPage(BackupPage { items: vec![1, 2, 3], next: None })
            }
            Command::Export(what) => {
                self.asked.push(format!("{what:?}"));
                Reply::Exported(exported())
            }
            Command::Import(seals) => {
                let bytes: Vec<_> = seals.iter().map(Vec::len).collect();
                self.asked.push(format!("Import {bytes:?}"));
                Reply::Imported(ImportView { delivered: 1, busy: vec![1], ..ImportView::default() })
            }
            other => panic!("{other:?} is answered above"),
        })
    }

    /// Commands that are answered by a contact.
    fn about_contact(&mut self, command: Command) -> Result<ContactView, CommandError> {
        Ok(match command {
            Command::Contact(Who(name)) if name == "nobody" => {
                return Err(CommandError::UnknownContact(name));
            }
            Command::Contact(Who(name)) | Command::Rename { name, .. } => contact(&name),
            Command::Verify { who, verified } => ContactView { verified, ..contact(&who.0) },
            Command::VerifyScanned { who, code } => {
                self.asked.push(format!("VerifyScanned {code}"));
                ContactView { verified: true, ..contact(&who.0) }
            }
            Command::SetPolicy { who, policy } => ContactView { policy, ..contact(&who.0) },
            Command::Trust(who) => {
                self.asked.push("Trust".to_owned());
                contact(&who.0)
            }
            Command::ResetSession(who) => {
                self.asked.push("ResetSession".to_owned());
                contact(&who.0)
            }
            other => panic!("{other:?} is answered elsewhere"),
        })
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Replied {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    pub(super) json: Value,
}

impl Replied {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// One request, answered in process.
pub(super) async fn call(router: &Router, request: HttpRequest<Body>) -> Replied {
    read(router.clone().oneshot(request).await.unwrap()).await
}

async fn read(response: Response<Body>) -> Replied {
    let (parts, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_default();
    Replied { status: parts.status, headers: parts.headers, text, json }
}

pub(super) fn get(path: &str) -> HttpRequest<Body> {
    HttpRequest::get(path).body(Body::empty()).unwrap()
}

pub(super) fn send(method: &str, path: &str, body: &Value) -> HttpRequest<Body> {
    HttpRequest::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

pub(super) fn account(number: u8) -> AccountId {
    AccountId([number; 32])
}

pub(super) fn device(number: u8) -> DeviceId {
    DeviceId([number; 32])
}

fn identity() -> IdentityView {
    IdentityView {
        account: account(1),
        device: device(1),
        nickname: "me".to_owned(),
        addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
    }
}

fn contact(name: &str) -> ContactView {
    ContactView {
        name: name.to_owned(),
        nickname: "Bob".to_owned(),
        account: account(2),
        device: device(2),
        verified: false,
        safety_number: "0".repeat(60),
        safety_code: "bitchat-safety:x".to_owned(),
        policy: KeyPolicy::Tofu,
        read_receipts: false,
        changed: None,
        waiting: None,
        addresses: Vec::new(),
        connected: true,
        prekeys: Some(PrekeyUse::LastResort),
        known: false,
    }
}

pub(super) fn delivery(state: DeliveryState) -> DeliveryView {
    DeliveryView {
        id: MessageId([7; 16]),
        to: "bob".to_owned(),
        state,
        evidence: "outbox row".to_owned(),
        at: UnixMillis(5),
    }
}

pub(super) fn message(cursor: u64, outgoing: bool) -> MessageView {
    MessageView {
        from: if outgoing { account(9).to_string() } else { "bob".to_owned() },
        id: MessageId([8; 16]),
        cursor,
        index: cursor,
        outgoing,
        account: account(2),
        name: "bob".to_owned(),
        verified: false,
        text: "hi\u{1b}[2J".to_owned(),
        lamport: 1,
        sent: UnixMillis(1),
        received: (!outgoing).then_some(UnixMillis(2)),
        gap: 0,
        late: false,
        unreadable: false,
        state: outgoing.then_some(DeliveryState::Delivered),
    }
}

fn row() -> QueueView {
    QueueView {
        id: MessageId([7; 16]),
        to: "bob".to_owned(),
        state: DeliveryState::Sent,
        created: UnixMillis(10),
        expires: UnixMillis(20),
        attempts: 3,
        bytes: 2,
    }
}

pub(super) fn peer(number: u8) -> PeerStatus {
    PeerStatus {
        peer: crate::control::peer_id::text(&device(number)),
        device: device(number),
        path: "tcp".to_owned(),
        rtt_ms: Some(7),
    }
}

pub(super) fn warning() -> Warning {
    Warning {
        code: WarningCode::DiskLow,
        message: "the disk is nearly full".to_owned(),
        hint: "make room".to_owned(),
    }
}

/// A page with more behind it.
fn exported() -> ExportView {
    ExportView {
        seals: vec![vec![1, 2, 3], vec![4]],
        messages: 1,
        receipts: 7,
        no_keys: 2,
        held_back: 3,
        next: Some((account(2), 9)),
    }
}
