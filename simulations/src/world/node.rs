//! One node: an identity, a disk, and an engine while it runs.

use bitchat_protocol::crypto::Secret;
use bitchat_protocol::engine::{Engine, Input, Output, Setup};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
use bitchat_protocol::time::{Moment, Now, UnixMillis};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::NodeId;
use crate::disk::Disk;

#[derive(Debug)]
pub(super) struct Node {
    nickname: String,
    address: String,
    seed: u64,
    device: DeviceId,
    disk: Disk,
    engine: Option<Engine<Disk, ChaCha20Rng>>,
    /// Counts starts, so that what was meant for a dead engine does not reach the next.
    life: u32,
}

impl Node {
    pub(super) fn new(nickname: &str, id: NodeId, seed: u64, now: Now) -> Self {
        let mut node = Self {
            nickname: nickname.to_owned(),
            address: format!("/memory/{}", id.0),
            seed,
            device: DeviceId([0; 32]),
            disk: Disk::default(),
            engine: None,
            life: 0,
        };
        node.device = node.identity().map_or(DeviceId([0; 32]), |identity| identity.device().id());
        node.start(now);
        node
    }

    /// The same at every start: it lies in the key store.
    fn identity(&self) -> Option<Identity> {
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        let account = Account::from_phrase(&Phrase::generate(&mut rng).ok()?);
        let device = Device::from_secrets(Secret::random(&mut rng), Secret::random(&mut rng));
        let certificate = account.certify(&device, 1, 1, UnixMillis(0));
        Identity::new(device, certificate).ok()
    }

    pub(super) fn start(&mut self, now: Now) {
        self.life += 1;
        let Some(identity) = self.identity() else { return };
        let rng = ChaCha20Rng::seed_from_u64(self.seed ^ u64::from(self.life).rotate_left(32));
        let setup =
            Setup { identity, nickname: self.nickname.clone(), greet: true, read_receipts: false };
        self.engine = Engine::start(setup, self.disk.clone(), rng, now).ok();
        self.handle(Input::Addresses(vec![self.address.clone()]), now);
    }

    pub(super) fn crash(&mut self) {
        self.engine = None;
    }

    pub(super) fn handle(&mut self, input: Input, now: Now) {
        if let Some(engine) = self.engine.as_mut() {
            engine.handle(input, now);
        }
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        self.engine.as_mut().and_then(Engine::poll_output)
    }

    pub(super) fn timeout(&self) -> Option<Moment> {
        self.engine.as_ref().and_then(Engine::poll_timeout).map(|(at, _)| at)
    }

    pub(super) const fn life(&self) -> u32 {
        self.life
    }

    pub(super) const fn lives(&self, life: u32) -> bool {
        self.engine.is_some() && self.life == life
    }

    pub(super) const fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    pub(super) const fn device(&self) -> DeviceId {
        self.device
    }

    pub(super) const fn disk(&self) -> &Disk {
        &self.disk
    }
}
