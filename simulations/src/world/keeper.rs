//! One mailbox node: the host that ships, on a disk of its own; and the lies that some tell in its place.

use std::collections::BTreeMap;

use bitchat_protocol::crypto::{Secret, SigningSecret, digest};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::host::{Host, HostInput, HostOutput, HostSettings, HostSetup};
use bitchat_protocol::mailbox::{
    Answer, Custody, Item, Order, Page, Question, Request, RequestId, Response,
};
use bitchat_protocol::store::Table;
use bitchat_protocol::time::{Moment, Now};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::mailboxes::Asker;
use crate::disk::Disk;

/// How a mailbox node keeps its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It does what it signs.
    Honest,
    /// It signs custody and drops the envelope.
    Drops,
    /// Its queues are full.
    Full,
    /// It signs nothing that holds: custody of another key.
    Forges,
    /// It hands out pages of noise, without end.
    Babbles,
}

/// A mailbox node. Its disk outlives its crashes.
#[derive(Debug)]
pub(super) struct Keeper {
    seed: [u8; 32],
    device: DeviceId,
    keeping: Keeping,
    work_bits: u32,
    disk: Disk,
    host: Option<Host<Disk, ChaCha20Rng>>,
    /// Counts starts, so that what was meant for a dead host does not reach the next.
    life: u32,
    /// Who waits for an answer, by link identity and question.
    pub waiting: BTreeMap<(DeviceId, RequestId), Asker>,
    pub fetches: u64,
    pub deposits: u64,
}

impl Keeper {
    pub(super) fn new(seed: [u8; 32], keeping: Keeping, now: Now) -> Self {
        let mut keeper = Self {
            seed,
            device: DeviceId(secret(seed).public()),
            keeping,
            work_bits: 0,
            disk: Disk::default(),
            host: None,
            life: 0,
            waiting: BTreeMap::new(),
            fetches: 0,
            deposits: 0,
        };
        keeper.start(now);
        keeper
    }

    pub(super) fn start(&mut self, now: Now) {
        self.life += 1;
        let mut seed = self.seed;
        for (byte, life) in seed.iter_mut().zip(self.life.to_le_bytes()) {
            *byte ^= life;
        }
        let setup = HostSetup { device: secret(self.seed), settings: self.settings() };
        let rng = ChaCha20Rng::from_seed(seed);
        self.host = Host::start(setup, self.disk.clone(), rng, now).ok();
    }

    pub(super) fn crash(&mut self) {
        self.host = None;
    }

    /// Loses every row, as a node whose disk was replaced.
    pub(super) fn forget(&mut self) {
        self.disk.restore(&Disk::default());
    }

    pub(super) fn set(&mut self, keeping: Option<Keeping>, work_bits: Option<u32>, now: Now) {
        self.keeping = keeping.unwrap_or(self.keeping);
        self.work_bits = work_bits.unwrap_or(self.work_bits);
        let settings = self.settings();
        self.handle(HostInput::Settings(settings), now);
    }

    fn settings(&self) -> HostSettings {
        let mut settings = HostSettings { work_bits: self.work_bits, ..HostSettings::default() };
        if self.keeping == Keeping::Full {
            settings.queue_envelopes_max = 0;
        }
        settings
    }

    pub(super) fn handle(&mut self, input: HostInput, now: Now) {
        if let Some(host) = self.host.as_mut() {
            host.handle(input, now);
        }
    }

    pub(super) fn poll(&mut self) -> Option<HostOutput> {
        self.host.as_mut().and_then(Host::poll_output)
    }

    pub(super) fn timeout(&self) -> Option<Moment> {
        self.host.as_ref().and_then(Host::poll_timeout).map(|(at, _)| at)
    }

    /// Whether nothing but `Persisted` may be fed.
    pub(super) fn is_full(&self) -> bool {
        self.host.as_ref().is_some_and(Host::is_full)
    }

    pub(super) const fn is_up(&self) -> bool {
        self.host.is_some()
    }

    pub(super) const fn life(&self) -> u32 {
        self.life
    }

    pub(super) const fn lives(&self, life: u32) -> bool {
        self.host.is_some() && self.life == life
    }

    pub(super) const fn device(&self) -> DeviceId {
        self.device
    }

    pub(super) const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Envelopes that lie there.
    pub(super) fn held(&self) -> usize {
        self.disk.count(Table::MailboxEnvelope)
    }

    /// Tags that let somebody in.
    pub(super) fn tags(&self) -> usize {
        self.disk.count(Table::MailboxTag)
    }

    /// Counts a question, and answers it in place of the host if this node lies about such.
    pub(super) fn lie(&mut self, asker: DeviceId, frame: &[u8]) -> Option<Vec<u8>> {
        let Request { id, question } = Request::decode(frame).ok()?;
        let answer = match question {
            Question::Deposit { until, seal, .. } => {
                self.deposits += 1;
                let key = match self.keeping {
                    Keeping::Drops => secret(self.seed),
                    Keeping::Forges => secret([7; 32]),
                    Keeping::Honest | Keeping::Full | Keeping::Babbles => return None,
                };
                Answer::Custody(Custody::sign(&key, digest(&seal), until))
            }
            Question::Order(order) => {
                let Order::Fetch { after, .. } = order.open(self.device, asker).ok()? else {
                    return None;
                };
                self.fetches += 1;
                if self.keeping != Keeping::Babbles {
                    return None;
                }
                Answer::Page(noise(after))
            }
            Question::Prekeys(_) | Question::Offer => return None,
        };
        Some(Response { id, answer }.encode())
    }
}

fn secret(seed: [u8; 32]) -> SigningSecret {
    SigningSecret::from_seed(Secret::take(&mut { seed }))
}

fn noise(after: u64) -> Page {
    let item = |cursor: u64| Item { cursor, seal: cursor.to_be_bytes().repeat(256) };
    let items = (1..=5).map(|number| item(after + number)).collect();
    Page { items, next: after + 5, more: true }
}
