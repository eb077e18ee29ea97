//! Asks a real daemon under a veil, with the protocol's own types.

use std::time::Duration;

use bitchat_node::control::peer_id;
use bitchat_node::profile::SystemRng;
use bitchat_node::veil::{self, Told, Veils};
use bitchat_protocol::crypto::{Secret, SigningSecret};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::{
    Admission, Answer, Ask, Custody, Order, Question, Request, RequestId, Response, SignedOrder,
    Tag, Token, Unanswered, Veil,
};
use bitchat_protocol::time::UnixMillis;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// How long an answer may take.
pub(crate) const WITHIN: Duration = Duration::from_secs(20);

/// Longer than any test.
const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// Asks as one device, and owns one queue.
pub(crate) struct Asker {
    runtime: Runtime,
    _veils: Veils,
    asker: veil::Asker,
    told: mpsc::Receiver<Told>,
    veil: Veil,
    key: SigningSecret,
    pub(crate) node: DeviceId,
    addresses: Vec<String>,
    next: u64,
}

/// When custody is asked for.
pub(crate) fn tomorrow() -> UnixMillis {
    UnixMillis(bitchat_node::profile::wall_clock().0 + DAY_MS)
}

/// A seal of its own.
pub(crate) fn seal(number: u32) -> Vec<u8> {
    [&number.to_be_bytes()[..], &[7; 900]].concat()
}

impl Asker {
    /// Of the daemon at `address`, which ends with its peer id.
    pub(crate) fn new(address: &str) -> Self {
        let (address, peer) = address.rsplit_once("/p2p/").expect("a peer id");
        let runtime = Runtime::new().expect("a runtime");
        let veils = {
            let _inside = runtime.enter();
            veil::start(veil::Settings::default())
        };
        let (asker, told) = veils.asker();
        Self {
            runtime,
            _veils: veils,
            asker,
            told,
            veil: Veil::random(1, &mut SystemRng::default()),
            key: SigningSecret::from_seed(Secret::random(&mut SystemRng::default())),
            node: peer_id::parse(peer).expect("a peer id"),
            addresses: vec![address.to_owned()],
            next: 0,
        }
    }

    /// A token of this owner, and the tag that it shows.
    pub(crate) fn token(&self, number: u8) -> (Token, Tag) {
        let mut bytes = self.key.public();
        bytes[0] = number;
        (Token::new(bytes), Token::new(bytes).tag())
    }

    /// Sends a question on its way.
    pub(crate) fn send(&mut self, question: Question, within: Duration) -> RequestId {
        self.next += 1;
        let request = RequestId(self.next);
        let ask = Ask {
            request,
            node: self.node,
            addresses: self.addresses.clone(),
            veil: self.veil.duplicate(),
            frame: Request { id: request, question }.encode(),
            within,
        };
        self.asker.ask(ask).expect("room");
        request
    }

    /// What becomes of the next question that ends.
    pub(crate) fn told(&mut self) -> (RequestId, Result<Answer, Unanswered>) {
        let told = self.runtime.block_on(self.told.recv()).expect("every question ends");
        let answer = told.result.map(|frame| Response::decode(&frame).expect("of ours").answer);
        (told.request, answer)
    }

    /// Asks, and waits for the end of it.
    pub(crate) fn try_ask(&mut self, question: Question) -> Result<Answer, Unanswered> {
        let request = self.send(question, WITHIN);
        let (ended, answer) = self.told();
        assert_eq!(ended, request);
        answer
    }

    /// Asks until a node that starts answers.
    pub(crate) fn ask(&mut self, question: impl Fn() -> Question) -> Answer {
        for _ in 0..100 {
            if let Ok(answer) = self.try_ask(question()) {
                return answer;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the node does not answer");
    }

    /// The order as its owner signs it.
    pub(crate) fn signed(&self, order: &Order) -> Question {
        Question::Order(SignedOrder::sign(order, &self.key, self.node, self.veil.device()))
    }

    /// Orders, and waits for the answer.
    pub(crate) fn order(&mut self, order: &Order) -> Answer {
        let Question::Order(signed) = self.signed(order) else { unreachable!("an order") };
        self.ask(|| Question::Order(signed.clone()))
    }

    /// A rental that lets tokens 0 to 9 in, and strangers under tag 99.
    pub(crate) fn rent(&mut self, access: &str) {
        let access = access.to_owned();
        let rent = Order::Rent { access, request_tag: Some(self.token(99).1), work: 0 };
        let rented = self.order(&rent);
        assert!(matches!(rented, Answer::Offer(_)), "{rented:?}");
        let add = (0..10).map(|number| (self.token(number).1, tomorrow())).collect();
        let added = self.order(&Order::Tags { add, remove: Vec::new() });
        assert!(matches!(added, Answer::Done | Answer::Offer(_)), "{added:?}");
    }

    /// The deposit of a seal for this owner.
    pub(crate) fn deposit(&self, number: u32) -> Question {
        let token = self.token(u8::try_from(number % 10).expect("small")).0;
        let admission = Admission::Token(token);
        Question::Deposit { admission, until: tomorrow(), seal: seal(number) }
    }

    /// Deposits a seal for this owner, and waits for the answer.
    pub(crate) fn deposited(&mut self, number: u32) -> Answer {
        let Question::Deposit { admission: Admission::Token(token), until, .. } =
            self.deposit(number)
        else {
            unreachable!("a deposit with a token")
        };
        let bytes = *token.as_bytes();
        self.ask(|| Question::Deposit {
            admission: Admission::Token(Token::new(bytes)),
            until,
            seal: seal(number),
        })
    }

    /// Custody of the node for a seal; anything else is `None`.
    pub(crate) fn custody(&self, answer: Answer, number: u32) -> Option<Custody> {
        let Answer::Custody(custody) = answer else { return None };
        custody.verify(self.node, &seal(number)).expect("the node's own word");
        Some(custody)
    }

    /// Every envelope behind a cursor: cursors and seals.
    pub(crate) fn fetch(&mut self, mut after: u64) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        loop {
            let answer = self.order(&Order::Fetch { after, wait_ms: 0 });
            let Answer::Page(page) = answer else { panic!("{answer:?}") };
            found.extend(page.items.into_iter().map(|item| (item.cursor, item.seal)));
            after = page.next;
            if !page.more {
                return found;
            }
        }
    }
}
