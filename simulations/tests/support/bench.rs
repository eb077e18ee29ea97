//! Engines driven by hand: the test decides when a batch is durable and when a frame arrives.

use std::collections::VecDeque;
use std::time::Duration;

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;
use bitchat_protocol::backup::{Head, Intake, Item};
use bitchat_protocol::crypto::Secret;
use bitchat_protocol::engine::{
    BackupCursor, Command, CommandError, CommandId, ContactView, Engine, Event, Fact, Input,
    Output, Reply, SendToken, Setup, Who, restored_key,
};
use bitchat_protocol::envelope::{Body, Content};
use bitchat_protocol::error::Code;
use bitchat_protocol::id::{AccountId, DeviceId, MessageId};
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
use bitchat_protocol::outbox::{self, OutboxRow, ROWS_MAX};
use bitchat_protocol::store::{Batch, Key, Overlay, Table};
use bitchat_protocol::time::{Moment, Now, UnixMillis};
use bitchat_simulations::Disk;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

pub(crate) const START: Now =
    Now { mono: Moment::from_micros(1_000_000), wall: UnixMillis(1_800_000_000_000) };

/// One engine and what it said and nobody carried out yet.
pub(crate) struct Bench {
    pub(crate) engine: Engine<Disk, ChaCha20Rng>,
    pub(crate) disk: Disk,
    pub(crate) device: DeviceId,
    pub(crate) now: Now,
    pub(crate) sends: VecDeque<(DeviceId, SendToken, Vec<u8>)>,
    pub(crate) events: Vec<Event>,
    /// Every dial that it asked for.
    pub(crate) dials: Vec<DeviceId>,
    /// Everything that it has refused.
    pub(crate) refused: Vec<(DeviceId, Code, Duration)>,
    /// Refusals that nobody carried back yet, with their numbers.
    unsaid: Vec<(u64, Code, Duration)>,
    pub(crate) facts: Vec<Fact>,
    nickname: &'static str,
    seed: u64,
    generation: u32,
    lives: u64,
    batches: VecDeque<Batch>,
    replies: VecDeque<Result<Reply, CommandError>>,
}

pub(crate) fn identity(seed: u64) -> Identity {
    moved(seed, 1)
}

/// The account of `seed` on its n-th device.
fn moved(seed: u64, generation: u32) -> Identity {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let account = Account::from_phrase(&Phrase::generate(&mut rng).expect("phrase"));
    let mut rng = ChaCha20Rng::seed_from_u64(seed ^ u64::from(generation).rotate_left(40));
    let device = Device::from_secrets(Secret::random(&mut rng), Secret::random(&mut rng));
    let certificate = account.certify(&device, generation, generation.into(), UnixMillis(0));
    Identity::new(device, certificate).expect("identity")
}

impl Bench {
    pub(crate) fn new(nickname: &'static str, seed: u64) -> Self {
        Self::on_device(nickname, seed, 1)
    }

    /// The account of `seed` on its n-th device, with an empty disk.
    pub(crate) fn on_device(nickname: &'static str, seed: u64, generation: u32) -> Self {
        Self::over(Disk::default(), nickname, seed, (generation, 0), START)
    }

    /// Dies with everything that is not on the disk, and starts again.
    pub(crate) fn restart(&mut self) {
        let lives = self.lives + 1;
        *self = Self::over(
            self.disk.clone(),
            self.nickname,
            self.seed,
            (self.generation, lives),
            self.now,
        );
    }

    fn over(
        disk: Disk,
        nickname: &'static str,
        seed: u64,
        (generation, lives): (u32, u64),
        now: Now,
    ) -> Self {
        let identity = moved(seed, generation);
        let device = identity.device().id();
        let setup =
            Setup { identity, nickname: nickname.to_owned(), greet: false, read_receipts: false };
        let rng = seed + 1_000 * u64::from(generation) + 1_000_000 * lives;
        let rng = ChaCha20Rng::seed_from_u64(rng);
        let engine = Engine::start(setup, disk.clone(), rng, now).expect("start");
        let mut bench = Self {
            engine,
            disk,
            device,
            now,
            nickname,
            seed,
            generation,
            lives,
            sends: VecDeque::new(),
            events: Vec::new(),
            dials: Vec::new(),
            refused: Vec::new(),
            unsaid: Vec::new(),
            facts: Vec::new(),
            batches: VecDeque::new(),
            replies: VecDeque::new(),
        };
        bench.poll();
        bench.flush();
        bench
    }

    /// The process ends and starts again on the same disk.
    pub(crate) fn revive(&mut self, seed: u64) {
        let identity = moved(seed, self.generation);
        let setup =
            Setup { identity, nickname: "again".to_owned(), greet: false, read_receipts: false };
        // No randomness comes twice, whatever became of the disk.
        self.lives += 1;
        let rng = ChaCha20Rng::seed_from_u64(seed + 77_000 + (self.lives << 32));
        self.engine = Engine::start(setup, self.disk.clone(), rng, self.now).expect("start");
        self.batches.clear();
        self.facts.clear();
        self.poll();
        self.flush();
    }

    /// The account on its n-th device, made from a backup of this one with its messages.
    pub(crate) fn restored(&mut self, generation: u32) -> Self {
        let head = Item::Head(Head {
            phrase_entropy: Secret::take(&mut [1; 32]),
            nickname: self.nickname.to_owned(),
            number: 1,
            generation: 1,
            created: self.now.wall,
            history: true,
        });
        let (mut intake, mut cursor) = (Intake::default(), Some(BackupCursor::default()));
        intake.push(&head.frame());
        while let Some(from) = cursor {
            match self.ask(Command::BackupPage { cursor: from, history: true }) {
                Ok(Reply::BackupPage(page)) => {
                    intake.push(&page.items);
                    cursor = page.next;
                }
                other => panic!("{other:?}"),
            }
        }
        let disk = Disk::default();
        let mut overlay = Overlay::new(disk.clone());
        while let Some(item) = intake.item().expect("own items") {
            item.write(&mut overlay).expect("rows");
        }
        overlay.put(restored_key(), vec![1]);
        let _ = disk.commit(&overlay.seal().expect("rows"));
        let lives = self.lives + 1; // No randomness comes twice.
        Self::over(disk, self.nickname, self.seed, (generation, lives), self.now)
    }

    /// Where the first frame to a device stands in `sends`.
    fn to(&self, device: DeviceId) -> Option<usize> {
        self.sends.iter().position(|(peer, ..)| *peer == device)
    }

    /// Refusals since the last time: number, code, pause.
    pub(crate) fn take_refusals(&mut self) -> Vec<(u64, Code, Duration)> {
        std::mem::take(&mut self.unsaid)
    }

    pub(crate) fn feed(&mut self, input: Input) {
        self.engine.handle(input, self.now);
        self.poll();
    }

    fn poll(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Persist(batch) => self.batches.push_back(batch),
                Output::Send { peer, token, frame } => self.sends.push_back((peer, token, frame)),
                Output::Reply { reply, .. } => self.replies.push_back(reply),
                Output::Event(event) => self.events.push(event),
                Output::Refuse { peer, number, code, retry_after } => {
                    self.refused.push((peer, code, retry_after));
                    self.unsaid.push((number, code, retry_after));
                }
                Output::Fact(fact) => self.facts.push(fact),
                Output::Connect { peer, .. } => self.dials.push(peer),
                Output::Ask(_) => {}
            }
        }
    }

    /// Makes the batch on its way durable, and those that follow from it.
    pub(crate) fn flush(&mut self) {
        while let Some(batch) = self.batches.pop_front() {
            let durable = self.disk.commit(&batch);
            self.feed(Input::Persisted(durable));
        }
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.feed(Input::Command { id: CommandId(1), command });
    }

    pub(crate) fn reply(&mut self) -> Option<Result<Reply, CommandError>> {
        self.replies.pop_front()
    }

    pub(crate) fn ask(&mut self, command: Command) -> Result<Reply, CommandError> {
        self.command(command);
        self.flush();
        self.reply().expect("a reply once all is durable")
    }

    pub(crate) fn send(&mut self, to: &str) -> Result<Reply, CommandError> {
        let (to, text) = (Who(to.to_owned()), "hello".to_owned());
        self.ask(Command::Send { to, text, expires: None })
    }

    /// A command that is answered by a contact.
    pub(crate) fn contact(&mut self, command: Command) -> ContactView {
        match self.ask(command) {
            Ok(Reply::Contact(view)) => view,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn invitation(&mut self, once: bool) -> (String, String) {
        match self.ask(Command::Invite { once, expires: None }) {
            Ok(Reply::Invitation(view)) => (view.link, view.short),
            other => panic!("{other:?}"),
        }
    }

    /// Messages that its user was told of.
    pub(crate) fn shown(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Received(_))).count()
    }

    pub(crate) fn queued(&mut self) -> usize {
        match self.ask(Command::Queue) {
            Ok(Reply::Queue(rows)) => rows.len(),
            other => panic!("{other:?}"),
        }
    }

    /// Puts fresh rows with a time into a table, past the engine.
    pub(crate) fn fill(&mut self, table: Table, rows: u32) {
        let mut overlay = Overlay::new(Disk::default());
        for number in 0..rows {
            let (device, message) =
                (vec![0; 32], [vec![0; 12], number.to_be_bytes().to_vec()].concat());
            let (at_ms, hash) = (self.now.wall.0, message.clone());
            let value = if table == Table::Seen {
                rest::Seen { device, message, digest: Vec::new(), at_ms, unreadable: false }
                    .encode_to_vec()
            } else {
                rest::Replay { at_ms, hash: hash.clone() }.encode_to_vec()
            };
            overlay.put(Key::of(table, &hash), value);
        }
        let _ = self.disk.commit(&overlay.seal().expect("rows"));
    }

    /// As many rows as the outbox holds, past the engine, which starts again on them.
    pub(crate) fn fill_outbox(&mut self) {
        let mut overlay = Overlay::new(Disk::default());
        let content = Content {
            lamport: 1,
            sequence: 1,
            parents: Vec::new(),
            sent: self.now.wall,
            introduction: None,
            body: Body::Text("x".to_owned()),
        };
        let (account, content) = (AccountId([9; 32]), content.encode());
        for sequence in 1..=ROWS_MAX {
            let mut message = [0; 16];
            message[..8].copy_from_slice(&sequence.to_be_bytes());
            let row = OutboxRow {
                account,
                sequence,
                message: MessageId(message),
                content: content.clone(),
                created: self.now.wall,
                expires: self.now.wall.plus(Duration::from_secs(3_600)),
                encrypted: None,
            };
            overlay.put(outbox::key_of((account, sequence)), row.encode());
        }
        let _ = self.disk.commit(&overlay.seal().expect("rows"));
        self.revive(2);
    }

    /// Time passes on both clocks; every deadline is kept.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = Now { mono: self.now.mono + time, wall: self.now.wall.plus(time) };
        self.keep_deadlines();
    }

    /// Calls the engine until no deadline has passed.
    pub(crate) fn keep_deadlines(&mut self) {
        for _ in 0..1_000 {
            match self.engine.poll_timeout() {
                Some((at, _)) if at <= self.now.mono => self.feed(Input::Timeout),
                _ => return,
            }
            self.flush();
        }
        panic!("a deadline that never passes: {:?}", self.engine.poll_timeout());
    }
}

/// Carries every frame to the other side and accepts it, until both are silent. What goes to others,
/// such as a device that was replaced, stays where it is.
pub(crate) fn exchange(a: &mut Bench, b: &mut Bench) {
    loop {
        a.flush();
        b.flush();
        if a.to(b.device).is_none() && b.to(a.device).is_none() {
            return;
        }
        carry(a, b);
        carry(b, a);
    }
}

fn carry(from: &mut Bench, to: &mut Bench) {
    while let Some(at) = from.to(to.device) {
        let Some((peer, token, bytes)) = from.sends.remove(at) else { return };
        to.feed(Input::Frame { peer: from.device, number: token.0, bytes });
        from.feed(Input::Accepted { peer, token });
        to.flush();
        for (number, code, retry_after) in std::mem::take(&mut to.unsaid) {
            let token = SendToken(number);
            from.feed(Input::Refused { peer, token, code, retry_after });
        }
    }
}

pub(crate) fn link(a: &mut Bench, b: &mut Bench) {
    a.feed(Input::Connected { peer: b.device });
    b.feed(Input::Connected { peer: a.device });
    exchange(a, b);
}

/// Alice and Bob know one another; their link stands.
pub(crate) fn pair() -> (Bench, Bench) {
    let (mut alice, mut bob) = (Bench::new("alice", 1), Bench::new("bob", 2));
    let (link_text, _) = alice.invitation(true);
    bob.ask(Command::AddContact { link: link_text, name: None }).expect("added");
    link(&mut alice, &mut bob);
    bob.pass(Duration::from_secs(1));
    exchange(&mut alice, &mut bob);
    alice.ask(Command::Contact(Who("bob".to_owned()))).expect("bob is known");
    (alice, bob)
}
