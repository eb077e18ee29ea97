//! What a mailbox node is told by whoever asks under a veil.

use std::time::Duration;

use bitchat_node::veil;
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::{Ask, Question, Request, RequestId, Veil};
use futures::StreamExt as _;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, SwarmBuilder, identify, noise, tcp, yamux};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use tokio::time::timeout;

use super::node::{DEADLINE, Node, TCP};
use super::stranger::identity_of;

/// Listens, and returns what the next peer says of itself.
async fn identity_of_asker(veil: &Veil) -> identify::Info {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|key| {
            identify::Behaviour::new(identify::Config::new("/bitchat/id/1".into(), key.public()))
        })
        .expect("a behaviour")
        .build();
    let us = swarm.local_peer_id().to_bytes();
    let node = DeviceId(us[us.len() - 32..].try_into().expect("an Ed25519 key"));
    swarm
        .listen_on("/ip4/127.0.0.1/tcp/0".parse::<Multiaddr>().expect("an address"))
        .expect("free");
    let veils = veil::start(veil::Settings::default());
    let (asker, _told) = veils.asker();
    let told = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => {
                    let request = RequestId(1);
                    let ask = Ask {
                        request,
                        node,
                        addresses: vec![address.to_string()],
                        veil: veil.duplicate(),
                        frame: Request { id: request, question: Question::Offer }.encode(),
                        within: Duration::from_secs(10),
                    };
                    asker.ask(ask).expect("room");
                }
                SwarmEvent::Behaviour(identify::Event::Received { info, .. }) => return info,
                _ => {}
            }
        }
    };
    timeout(DEADLINE, told).await.expect("an identity in time")
}

#[tokio::test]
async fn a_veil_tells_its_key_and_what_every_node_tells_and_nothing_else() {
    let veil = Veil::random(1, &mut UnwrapErr(SysRng));

    let seen = identity_of_asker(&veil).await;
    let node = Node::start(1, TCP).await;
    let of_a_node = identity_of(&node).await;

    let key = seen.public_key.clone().try_into_ed25519().expect("Ed25519").to_bytes();
    assert_eq!(key, veil.device().0);
    assert_eq!(seen.listen_addrs, Vec::new());
    assert_eq!(seen.agent_version, of_a_node.agent_version);
    assert_eq!(seen.protocol_version, of_a_node.protocol_version);
    let protocols = |info: &identify::Info| {
        let mut names: Vec<_> = info.protocols.iter().map(ToString::to_string).collect();
        names.sort();
        names
    };
    assert_eq!(protocols(&seen), protocols(&of_a_node));
}
