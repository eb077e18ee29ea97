//! Two contacts and their mailboxes.

#![allow(
    dead_code,
    clippy::panic,
    reason = "each test binary uses a part; a test that cannot go on ends"
)]

use std::time::Duration;

use bitchat_protocol::engine::{Command, DeliveryState, MailboxView, Reply, Who};
use bitchat_simulations::{Faults, Keeping, MailboxId, NodeId, World};

pub(crate) const CALM: Faults = Faults {
    latency: Duration::from_millis(40),
    flush: Duration::from_millis(10),
    breaks_per_mille: 0,
    crashes_per_mille: 0,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Two contacts, and the mailboxes of each.
pub(crate) struct Town {
    pub(crate) world: World,
    pub(crate) alice: NodeId,
    pub(crate) bob: NodeId,
    pub(crate) alices: Vec<MailboxId>,
    pub(crate) bobs: Vec<MailboxId>,
    pub(crate) sent: u32,
}

impl Town {
    /// They have met, and each knows where the other rents.
    pub(crate) fn new(seed: u64, alices: usize, bobs: &[Keeping]) -> Self {
        let mut world = World::new(seed, CALM);
        let (alice, bob) = (world.add("alice"), world.add("bob"));
        let alices: Vec<_> = (0..alices).map(|_| world.add_mailbox(Keeping::Honest)).collect();
        let bobs: Vec<_> = bobs.iter().map(|keeping| world.add_mailbox(*keeping)).collect();
        world.rent(alice, &alices);
        world.rent(bob, &bobs);
        world.run_for(2 * SECOND);
        befriend(&mut world, alice, bob);
        world.run_for(MINUTE);
        Self { world, alice, bob, alices, bobs, sent: 0 }
    }

    /// She writes; returns what she was told to be queued.
    pub(crate) fn alice_writes(&mut self, count: u32) -> Vec<String> {
        let mut queued = Vec::new();
        for _ in 0..count {
            let text = self.sent.to_string();
            self.sent += 1;
            let to = Who("bob".to_owned());
            let send = Command::Send { to, text: text.clone(), expires: None };
            if let Some(Ok(_)) = self.world.ask(self.alice, send) {
                queued.push(text);
            }
        }
        queued
    }

    /// What she has written, by its state.
    pub(crate) fn states(&mut self) -> Vec<DeliveryState> {
        let history = Command::History { who: Who("bob".to_owned()), before: None, max: 1_000 };
        match self.world.ask(self.alice, history) {
            Some(Ok(Reply::Messages(messages))) => {
                messages.iter().filter_map(|message| message.state).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn all_are(&mut self, state: DeliveryState) -> bool {
        let states = self.states();
        states.len() == self.sent as usize && states.iter().all(|one| *one == state)
    }

    /// What he was shown: each once, in order, nothing missing or late.
    pub(crate) fn shown_in_order(&mut self) -> usize {
        let shown = self.world.inbox(self.bob);
        for (place, message) in shown.iter().enumerate() {
            assert_eq!(message.text, place.to_string());
            assert!(!message.late && message.gap == 0, "{message:?}");
        }
        shown.len()
    }
}

pub(crate) fn befriend(world: &mut World, alice: NodeId, bob: NodeId) {
    let invite = Command::Invite { once: true, expires: None };
    let Some(Ok(Reply::Invitation(invitation))) = world.ask(alice, invite) else {
        panic!("no invitation")
    };
    let add = Command::AddContact { link: invitation.link, name: Some("alice".to_owned()) };
    assert!(matches!(world.ask(bob, add), Some(Ok(_))));
    world.run_for(10 * SECOND);
}

pub(crate) fn mailboxes(world: &mut World, node: NodeId) -> Vec<MailboxView> {
    match world.ask(node, Command::MailboxList) {
        Some(Ok(Reply::Mailboxes(views))) => views,
        other => panic!("{other:?}"),
    }
}
