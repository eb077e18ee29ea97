//! Scenarios: what is done to a world, and what must hold at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use bitchat_protocol::engine::{Command, CommandId, Reply, Who};

use crate::world::{Faults, NodeId, World};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that a node acknowledged as queued, both ways.
    pub acknowledged: usize,
    /// Invariants that did not hold, in words.
    pub violations: Vec<String>,
    /// Hash over every byte on links and disks.
    pub hash: [u8; 32],
    /// Virtual time.
    pub elapsed: Duration,
    /// Frames that came twice.
    pub duplicates: u64,
    /// Messages sent again.
    pub retries: u64,
    /// Texts that the engines sealed, each under a key and nonce of its own.
    #[cfg(feature = "ledger")]
    pub seals: u64,
    /// Sessions started anew because something did not open.
    pub heals: u64,
}

/// Two contacts send `messages` each to one another while links break and nodes crash; then the
/// faults stop. Every acknowledged message must be shown exactly once and in order (I1), within five
/// virtual minutes (I7).
#[must_use]
pub fn two(seed: u64, messages: u32, faults: Faults) -> Outcome {
    run(seed, messages, faults, meet)
}

/// As [`two`], but both add one another in the same instant, so that both start a session.
#[must_use]
pub fn two_at_once(seed: u64, messages: u32, faults: Faults) -> Outcome {
    run(seed, messages, faults, meet_at_once)
}

type Meeting = fn(&mut World, NodeId, NodeId) -> Result<(), String>;

fn run(seed: u64, messages: u32, faults: Faults, meet: Meeting) -> Outcome {
    let calm = Faults { breaks_per_mille: 0, crashes_per_mille: 0, ..faults };
    let mut world = World::new(seed, calm);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    let mut violations = meet(&mut world, alice, bob).err().into_iter().collect::<Vec<_>>();

    world.set_faults(faults);
    let mut acknowledged = BTreeMap::new();
    let mut asked: Vec<Asked> = Vec::new();
    for number in 0..messages {
        for (from, to, name) in [(alice, bob, "bob"), (bob, alice, "alice")] {
            let command =
                Command::Send { to: Who(name.to_owned()), text: number.to_string(), expires: None };
            asked.push(Asked { to, number, id: world.command(from, command) });
        }
        world.run_for(Duration::from_millis(5));
        collect(&mut world, &mut asked, &mut acknowledged);
    }
    world.set_faults(calm);
    world.run_for(Duration::from_secs(300));
    collect(&mut world, &mut asked, &mut acknowledged);

    for (to, sent) in &acknowledged {
        violations.extend(check(&mut world, *to, sent));
        violations.extend(check_drained(&mut world, *to));
    }
    Outcome {
        acknowledged: acknowledged.values().map(Vec::len).sum(),
        violations,
        hash: world.hash(),
        elapsed: world.elapsed(),
        duplicates: world.fact("Duplicate"),
        retries: world.fact("Retried"),
        #[cfg(feature = "ledger")]
        seals: world.seals(),
        heals: world.heals(),
    }
}

/// A message that a node was told to send.
#[derive(Debug)]
struct Asked {
    to: NodeId,
    number: u32,
    id: CommandId,
}

/// Alice invites, Bob adds her; both know each other.
fn meet(world: &mut World, alice: NodeId, bob: NodeId) -> Result<(), String> {
    world.run_for(Duration::from_secs(1));
    let invited = world.ask(alice, Command::Invite { once: true, expires: None });
    let Some(Ok(Reply::Invitation(invitation))) = invited else {
        return Err(format!("no invitation: {invited:?}"));
    };
    let added = world.ask(bob, Command::AddContact { link: invitation.link, name: None });
    if !matches!(added, Some(Ok(Reply::Contact(_)))) {
        return Err(format!("not added: {added:?}"));
    }
    world.run_for(Duration::from_secs(5));
    match world.ask(alice, Command::Contact(Who("bob".to_owned()))) {
        Some(Ok(_)) => Ok(()),
        other => Err(format!("the inviter does not know the invited: {other:?}")),
    }
}

/// Both invite, and both add the other at once; nobody waits for anything.
fn meet_at_once(world: &mut World, alice: NodeId, bob: NodeId) -> Result<(), String> {
    let mut links = Vec::new();
    for node in [alice, bob] {
        match world.ask(node, Command::Invite { once: true, expires: None }) {
            Some(Ok(Reply::Invitation(invitation))) => links.push(invitation.link),
            other => return Err(format!("no invitation: {other:?}")),
        }
    }
    for (node, link) in [bob, alice].into_iter().zip(links) {
        world.command(node, Command::AddContact { link, name: None });
    }
    Ok(())
}

/// I7 at one node: when the faults have stopped, nothing waits.
fn check_drained(world: &mut World, node: NodeId) -> Option<String> {
    match world.ask(node, Command::Queue) {
        Some(Ok(Reply::Queue(rows))) if rows.is_empty() => None,
        other => Some(format!("the outbox did not drain: {other:?}")),
    }
}

/// Moves what was acknowledged from `asked` to `acknowledged`.
fn collect(
    world: &mut World,
    asked: &mut Vec<Asked>,
    acknowledged: &mut BTreeMap<NodeId, Vec<u32>>,
) {
    asked.retain(|asked| match world.reply(asked.id) {
        Some(Ok(_)) => {
            acknowledged.entry(asked.to).or_default().push(asked.number);
            false
        }
        Some(Err(_)) => false,
        None => true,
    });
}

/// I1 at one receiver: each acknowledged message once, all in order. A message whose
/// acknowledgement a crash swallowed may be there too.
fn check(world: &mut World, receiver: NodeId, acknowledged: &[u32]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut numbers: Vec<u32> = Vec::new();
    for message in world.inbox(receiver) {
        let number = message.text.parse().unwrap_or(u32::MAX);
        if message.gap > 0 || message.late {
            violations
                .push(format!("{number} shown with gap {} late {}", message.gap, message.late));
        }
        numbers.push(number);
    }
    if !numbers.is_sorted_by(|a, b| a < b) {
        violations.push(format!("shown out of order or twice: {numbers:?}"));
    }
    let lost = acknowledged.iter().filter(|number| !numbers.contains(number));
    violations.extend(lost.map(|number| format!("{number} was acknowledged and is lost")));
    violations
}
