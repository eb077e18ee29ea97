//! A network over loopback with its driver's end, and the waits of the tests: each has a deadline.

use std::time::Duration;

use bitchat_node::network::{Command, Event, Limits, Network, NetworkError, Settings, start};
use bitchat_proto::prost::Message;
use bitchat_proto::wire::{Envelope, Link, link};
use bitchat_protocol::crypto::{Secret, SigningSecret};
use bitchat_protocol::engine::SendToken;
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::resilience::Prefix;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// Where the links of a test come from.
pub(crate) const LOOPBACK: Prefix = Prefix::V4([127, 0, 0, 1]);

/// No wait of a test is longer, however slow the machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    pub(crate) network: Network,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) device: DeviceId,
    pub(crate) addresses: Vec<String>,
}

impl Node {
    pub(crate) async fn start(seed: u8, listen: &str) -> Self {
        Self::with(seed, listen, Limits::default()).await
    }

    pub(crate) async fn with(seed: u8, listen: &str, limits: Limits) -> Self {
        Self::try_with(seed, listen, limits).await.expect("the network starts")
    }

    pub(crate) async fn try_with(
        seed: u8,
        listen: &str,
        limits: Limits,
    ) -> Result<Self, NetworkError> {
        Self::of(Settings { limits, ..settings(seed, listen) }, seed).await
    }

    pub(crate) async fn of(settings: Settings, seed: u8) -> Result<Self, NetworkError> {
        let (network, mut events) = start(settings).await?;
        let addresses = match timeout(DEADLINE, events.recv()).await.expect("in time") {
            Some(Event::Listening(addresses)) => addresses,
            other => panic!("the first event tells the addresses, not {other:?}"),
        };
        Ok(Self { network, events, device: device(seed), addresses })
    }

    pub(crate) async fn next(&mut self) -> Event {
        timeout(DEADLINE, self.events.recv()).await.expect("an event in time").expect("a network")
    }

    /// Events up to the one wanted; the earlier ones are dropped.
    pub(crate) async fn until(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await;
            if wanted(&event) {
                return event;
            }
        }
    }

    pub(crate) async fn command(&self, command: Command) {
        timeout(DEADLINE, self.network.commands().send(command))
            .await
            .expect("room in time")
            .expect("a network");
    }

    pub(crate) async fn send(&self, peer: DeviceId, token: u64, frame: Vec<u8>) {
        self.command(Command::Send { peer, token: SendToken(token), frame }).await;
    }

    pub(crate) async fn dial(&self, other: &Self) {
        let addresses = other.addresses.clone();
        self.command(Command::Connect { peer: other.device, addresses }).await;
    }

    /// Dials `other` and waits until both know.
    pub(crate) async fn connect(&mut self, other: &mut Self) {
        self.dial(other).await;
        assert_eq!(self.next().await, Event::Connected { peer: other.device, prefix: LOOPBACK });
        assert_eq!(other.next().await, Event::Connected { peer: self.device, prefix: LOOPBACK });
    }

    /// The next `count` fates of sends: (token, accepted).
    pub(crate) async fn fates(&mut self, count: usize) -> Vec<(u64, bool)> {
        let mut fates = Vec::new();
        while fates.len() < count {
            match self.next().await {
                Event::Accepted { token, .. } => fates.push((token.0, true)),
                Event::SendFailed { token, .. } => fates.push((token.0, false)),
                _ => {}
            }
        }
        fates
    }
}

/// Quiet settings.
pub(crate) fn settings(seed: u8, listen: &str) -> Settings {
    Settings {
        listen: vec![listen.to_owned()],
        key: Secret::take(&mut [seed; 32]),
        mdns: false,
        own_ports: Vec::new(),
        limits: Limits::default(),
    }
}

/// The device of a seed.
pub(crate) fn device(seed: u8) -> DeviceId {
    DeviceId(SigningSecret::from_seed(Secret::take(&mut [seed; 32])).public())
}

/// An envelope that says `number`.
pub(crate) fn frame(number: u64) -> Vec<u8> {
    let envelope = Envelope { body: number.to_be_bytes().to_vec(), ..Envelope::default() };
    Link { frame: Some(link::Frame::Envelope(envelope)) }.encode_to_vec()
}

/// An envelope of about `bytes` bytes.
pub(crate) fn big_frame(bytes: usize) -> Vec<u8> {
    let envelope = Envelope { body: vec![7; bytes], ..Envelope::default() };
    Link { frame: Some(link::Frame::Envelope(envelope)) }.encode_to_vec()
}

/// Looks until `reached`, or until the deadline.
pub(crate) async fn eventually(reached: impl Fn() -> bool) {
    let looking = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, looking).await.expect("it comes to pass in time");
}
