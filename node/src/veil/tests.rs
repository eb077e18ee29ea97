use bitchat_protocol::crypto::{Secret, SigningSecret};
use bitchat_protocol::engine::SendToken;
use bitchat_protocol::error::Code;
use bitchat_protocol::mailbox::{Answer, Question as Asked, RefusalCode, Request, Response};
use tokio::time::timeout;

use super::*;
use crate::network::{self, Command, Event, Limits, Network};

const PATIENCE: Duration = Duration::from_secs(20);
const WITHIN: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);

/// A node that listens, and does with questions what a test wants.
struct Node {
    device: DeviceId,
    addresses: Vec<String>,
    network: Network,
    events: mpsc::Receiver<Event>,
}

impl Node {
    async fn start(seed: u8) -> Self {
        let settings = network::Settings {
            listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
            key: Secret::take(&mut [seed; 32]),
            mdns: false,
            own_ports: Vec::new(),
            limits: Limits::default(),
        };
        let (network, mut events) = network::start(settings).await.expect("starts");
        let Some(Event::Listening(addresses)) = events.recv().await else { panic!("listens") };
        let device = DeviceId(SigningSecret::from_seed(Secret::take(&mut [seed; 32])).public());
        Self { device, addresses, network, events }
    }

    async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.expect("in time").expect("an event")
    }

    /// The next question: who asks, under which number of a frame, and its id.
    async fn question(&mut self) -> (DeviceId, u64, RequestId) {
        loop {
            if let Event::Frame { peer, number, bytes } = self.event().await {
                let request = Request::decode(&bytes).expect("a question");
                return (peer, number, request.id);
            }
        }
    }

    async fn gone(&mut self) -> DeviceId {
        loop {
            if let Event::Disconnected { peer } = self.event().await {
                return peer;
            }
        }
    }

    async fn answer(&self, peer: DeviceId, id: RequestId) {
        let frame = Response { id, answer: Answer::Done }.encode();
        let token = SendToken(id.0);
        self.network.commands().send(Command::Send { peer, token, frame }).await.expect("open");
    }
}

fn veil(number: u64) -> Veil {
    Veil::random(number, &mut crate::profile::SystemRng::default())
}

fn ask(id: u64, node: &Node, veil: &Veil, within: Duration) -> Ask {
    let request = RequestId(id);
    Ask {
        request,
        node: node.device,
        addresses: node.addresses.clone(),
        veil: veil.duplicate(),
        frame: Request { id: request, question: Asked::Offer }.encode(),
        within,
    }
}

async fn told(answers: &mut mpsc::Receiver<Told>) -> (u64, Result<Vec<u8>, Unanswered>) {
    let told = timeout(PATIENCE, answers.recv()).await.expect("in time").expect("told");
    (told.request.0, told.result)
}

fn is_done(result: Result<Vec<u8>, Unanswered>) -> bool {
    result.is_ok_and(|frame| {
        Response::decode(&frame).is_ok_and(|response| matches!(response.answer, Answer::Done))
    })
}

#[tokio::test]
async fn several_questions_go_over_one_link_and_are_paired_by_number() {
    let mut node = Node::start(1).await;
    let veils = start(Settings::default());
    let (asker, mut answers) = veils.asker();
    let (one, other) = (veil(1), veil(2));

    for id in 1..=3 {
        asker.ask(ask(id, &node, &one, WITHIN)).expect("room");
    }
    let asked = [node.question().await, node.question().await, node.question().await];
    for (peer, _, id) in asked.iter().rev() {
        assert_eq!(*peer, one.device(), "the node sees the veil and nobody else");
        node.answer(*peer, *id).await;
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (id, result) = told(&mut answers).await;
        assert!(is_done(result));
        ids.push(id);
    }
    asker.ask(ask(4, &node, &other, WITHIN)).expect("room");

    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
    assert_eq!(node.question().await.0, other.device());
    assert_ne!(one.device(), other.device());
}

#[tokio::test]
async fn an_answer_of_another_device_does_not_count() {
    let (mut node, mut liar) = (Node::start(1).await, Node::start(2).await);
    let veils = start(Settings::default());
    let (asker, mut answers) = veils.asker();
    let veil = veil(1);
    asker.ask(ask(1, &node, &veil, WITHIN)).expect("room");
    asker.ask(ask(2, &liar, &veil, WITHIN)).expect("room");
    let (peer, _, _) = node.question().await;
    liar.question().await;

    liar.answer(peer, RequestId(1)).await;
    liar.answer(peer, RequestId(2)).await;

    assert_eq!(told(&mut answers).await.0, 2, "the lie was passed over");
    node.answer(peer, RequestId(1)).await;
    let (id, result) = told(&mut answers).await;
    assert!(id == 1 && is_done(result));
}

#[tokio::test]
async fn silence_an_unreachable_node_and_a_refused_frame_are_told_once_each() {
    let mut node = Node::start(1).await;
    let veils = start(Settings::default());
    let (asker, mut answers) = veils.asker();
    let veil = veil(1);

    let nowhere = Ask {
        addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
        node: DeviceId(SigningSecret::from_seed(Secret::take(&mut [9; 32])).public()),
        ..ask(1, &node, &veil, WITHIN)
    };
    asker.ask(nowhere).expect("room");
    assert_eq!(told(&mut answers).await, (1, Err(Unanswered::Unreachable)));
    asker.ask(ask(2, &node, &veil, SHORT)).expect("room");
    assert_eq!(told(&mut answers).await, (2, Err(Unanswered::Silent)));
    let (peer, _, id) = node.question().await;
    node.answer(peer, id).await; // Too late.
    asker.ask(ask(3, &node, &veil, WITHIN)).expect("room");
    let (peer, number, _) = node.question().await;
    let (code, retry_after) = (Code::Busy, Duration::from_millis(7));
    let refuse = Command::Refuse { peer, number, code, retry_after };
    node.network.commands().send(refuse).await.expect("open");

    let (id, result) = told(&mut answers).await;
    let response = Response::decode(&result.expect("an answer")).expect("of ours");
    let busy = Answer::Refused { code: RefusalCode::Busy, retry_after, work_bits: 0 };
    assert_eq!((id, response.answer), (3, busy));
    assert!(answers.try_recv().is_err(), "nothing is told twice");
}

#[tokio::test]
async fn the_least_recently_used_idle_link_makes_room_and_a_busy_one_never() {
    let mut node = Node::start(1).await;
    let veils = start(Settings { links: 2, ..Settings::default() });
    let (asker, mut answers) = veils.asker();
    let (first, second, third) = (veil(1), veil(2), veil(3));
    for (id, veil) in [(1, &first), (2, &second)] {
        asker.ask(ask(id, &node, veil, WITHIN)).expect("room");
        node.question().await;
    }

    asker.ask(ask(3, &node, &third, WITHIN)).expect("the pool decides");
    assert_eq!(told(&mut answers).await, (3, Err(Unanswered::Full)));
    node.answer(second.device(), RequestId(2)).await;
    assert!(is_done(told(&mut answers).await.1));
    asker.ask(ask(4, &node, &third, WITHIN)).expect("room");

    let (mut gone, mut asked) = (None, None);
    while gone.is_none() || asked.is_none() {
        let event = node.event().await;
        if let Event::Disconnected { peer } = event {
            gone = Some(peer);
        } else if let Event::Frame { peer, .. } = event {
            asked = Some(peer);
        }
    }
    assert_eq!((gone, asked), (Some(second.device()), Some(third.device())));
    node.answer(first.device(), RequestId(1)).await;
    assert_eq!(told(&mut answers).await.0, 1, "the busy link still stands");
}

#[tokio::test]
async fn an_idle_link_is_closed() {
    let mut node = Node::start(1).await;
    let veils = start(Settings { idle: SHORT, ..Settings::default() });
    let (asker, mut answers) = veils.asker();
    let veil = veil(1);
    asker.ask(ask(1, &node, &veil, WITHIN)).expect("room");
    node.question().await;
    tokio::time::sleep(2 * SHORT).await;
    node.answer(veil.device(), RequestId(1)).await;

    assert!(is_done(told(&mut answers).await.1), "an open question keeps its link");
    assert_eq!(node.gone().await, veil.device());
}

#[tokio::test]
async fn a_question_without_room_for_its_answer_is_refused_at_once() {
    let node = Node::start(1).await;
    let veils = start(Settings::default());
    let (asker, answers) = veils.asker();
    let veil = veil(1);
    let taken = (1..=600).take_while(|id| asker.ask(ask(*id, &node, &veil, SHORT)).is_ok());
    assert_eq!(taken.count(), OPEN_MAX);

    drop(answers);
    let gone = asker.ask(ask(700, &node, &veil, SHORT));
    assert_eq!(gone.map_err(|told| told.result), Err(Err(Unanswered::Full)));
}
