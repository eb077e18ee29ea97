//! A peer that speaks libp2p and our protocol's name, and then says what it likes.

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::swarm::SwarmEvent;
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, SwarmBuilder, identify, noise, tcp, yamux,
};
use libp2p_stream::{Control, IncomingStreams};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::node::{DEADLINE, Node};

pub(crate) const MESSAGES: StreamProtocol = StreamProtocol::new("/bitchat/message/1");

pub(crate) struct Stranger {
    pub(crate) control: Control,
    pub(crate) incoming: IncomingStreams,
    pub(crate) victim: PeerId,
    pub(crate) swarm: JoinHandle<()>,
}

impl Stranger {
    /// Connects to `victim` with the device key of `seed`.
    pub(crate) async fn dial(seed: u8, victim: &Node) -> Self {
        let key = libp2p::identity::Keypair::ed25519_from_bytes([seed; 32]).expect("a seed");
        let mut swarm = SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .expect("a transport")
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .expect("a behaviour")
            .with_swarm_config(|config| config.with_idle_connection_timeout(DEADLINE))
            .build();
        let mut control = swarm.behaviour().new_control();
        let incoming = control.accept(MESSAGES).expect("a free protocol");
        let address: Multiaddr = victim.addresses[0].parse().expect("an address");
        swarm.dial(address).expect("a dial");
        let connected = async {
            loop {
                if let SwarmEvent::ConnectionEstablished { peer_id, .. } =
                    swarm.select_next_some().await
                {
                    return peer_id;
                }
            }
        };
        let victim = timeout(DEADLINE, connected).await.expect("a connection");
        let swarm = tokio::spawn(async move { while swarm.next().await.is_some() {} });
        Self { control, incoming, victim, swarm }
    }

    /// Opens a message stream and writes `bytes`.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> Stream {
        let opened = self.control.open_stream(self.victim, MESSAGES);
        let mut stream = timeout(DEADLINE, opened).await.expect("in time").expect("a stream");
        stream.write_all(bytes).await.expect("written");
        stream.flush().await.expect("flushed");
        stream
    }

    /// Takes the stream that the victim opened.
    pub(crate) async fn taken(&mut self) -> Stream {
        let (_, stream) =
            timeout(DEADLINE, self.incoming.next()).await.expect("in time").expect("a stream");
        stream
    }
}

/// Everything that comes until the stream ends, cleanly or not.
pub(crate) async fn rest(stream: &mut Stream) -> Vec<u8> {
    let mut read = Vec::new();
    let mut chunk = [0; 1_024];
    loop {
        match timeout(DEADLINE, stream.read(&mut chunk)).await.expect("the stream ends in time") {
            Ok(0) | Err(_) => return read,
            Ok(count) => read.extend_from_slice(&chunk[..count]),
        }
    }
}

/// What the victim says of itself to whoever connects.
pub(crate) async fn identity_of(victim: &Node) -> identify::Info {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|key| {
            identify::Behaviour::new(identify::Config::new("/bitchat/id/1".into(), key.public()))
        })
        .expect("a behaviour")
        .build();
    swarm.dial(victim.addresses[0].parse::<Multiaddr>().expect("an address")).expect("a dial");
    let told = async {
        loop {
            let event = swarm.select_next_some().await;
            if let SwarmEvent::Behaviour(identify::Event::Received { info, .. }) = event {
                return info;
            }
        }
    };
    timeout(DEADLINE, told).await.expect("an answer in time")
}
