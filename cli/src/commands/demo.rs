//! `bitchat demo`: see it work, in a few seconds, without touching anything of yours.
//!
//! ```text
//!   alice's daemon ──invitation──> bob's daemon        two real processes of this program,
//!        └──────── encrypted, over loopback ─┘         throw-away homes, ephemeral ports
//! ```
//!
//! Exit codes: 0 every message was delivered · 3 a daemon did not start · 6 not delivered in time.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::args::{Span, State};
use crate::client::{Change, Delivery, Wait};
use crate::commands::daemon::stop_signal;
use crate::commands::send::{outcome, reaches};
use crate::error::{Stop, UserError};
use crate::output::{self, Output, Text, mark};
use crate::sanitise;

mod node;
mod scratch;

use node::DemoNode;
use scratch::Scratch;

/// How long a message may take over loopback before the demo gives up.
const DELIVERY_MAX: Duration = Duration::from_secs(15);

/// How often a message under way is looked at: states pass within milliseconds.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The states that a message passes on a direct way.
const LADDER: [State; 3] = [State::Queued, State::Sent, State::Delivered];

/// Start two throw-away nodes on this machine, send messages, and survive an outage
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {}

/// When a message was seen in a state.
#[derive(Clone, Copy)]
enum Seen {
    /// It had just got there.
    Then(Duration),
    /// It was in a later state already: it passed this one between two looks.
    By(Duration),
}

impl Demo {
    pub(crate) async fn run(self, out: &mut Output) -> Result<(), Stop> {
        let scratch = Scratch::create()?;
        let show = show(&scratch, out);
        let told_to_stop = stop_signal(1)?;
        // Dropping the nodes on the way out stops them; then the directory goes.
        tokio::select! {
            result = show => result,
            () = told_to_stop => Ok(()),
        }
    }
}

async fn show(scratch: &Scratch, out: &mut Output) -> Result<(), Stop> {
    step(out, "two nodes, each with its own keys, on this machine only")?;
    let alice = DemoNode::create(scratch, "alice").await?;
    let bob = DemoNode::create(scratch, "bob").await?;
    for node in [&alice, &bob] {
        let address = node.address().await?;
        step(
            out,
            &format!("  {} is process {} and listens on {address}", node.name, node.process()),
        )?;
    }

    step(out, "alice invites, bob adds the link: no server, no account anywhere")?;
    let invitation = alice.client.invite(true, None).await?;
    let contact = bob.client.add(&invitation.link, Some("alice")).await?;
    step(out, &format!("  $ bitchat contact add {}...", head(&invitation.link)))?;
    step(out, &format!("  bob knows alice by the fingerprint {}", contact.fingerprint))?;

    deliver(&bob, "alice", "Hello Alice, this came over no server.", out).await?;
    introduce(&alice).await?;
    deliver(&alice, "bob", "Hello Bob. Nobody else can read this.", out).await?;
    let bob = survive(scratch, &alice, bob, out).await?;

    for (node, other) in [(&alice, "bob"), (&bob, "alice")] {
        step(out, &format!("{} keeps: $ bitchat history {other}", node.name))?;
        for message in node.client.history(other, 10, None).await? {
            out.answer(&message, |paint| {
                format!("  {}", output::conversation(&message, Text::Clean, paint))
            })?;
        }
    }
    step(out, "now yours: `bitchat init`, then `bitchat daemon`")?;
    out.flush()
}

/// Bob's first message made him a contact of Alice, by whatever name he gives himself.
async fn introduce(alice: &DemoNode) -> Result<(), UserError> {
    let contacts = alice.client.contacts().await?;
    match contacts.first() {
        Some(contact) if contact.name == "bob" => Ok(()),
        Some(contact) => alice.client.change(&contact.account, Change::Name("bob")).await.map(drop),
        None => Err(UserError::internal("the sender of a message is no contact")),
    }
}

/// Sends a message and prints each state that it passes.
async fn deliver(from: &DemoNode, to: &str, text: &str, out: &mut Output) -> Result<(), Stop> {
    step(out, &format!("{} writes: $ bitchat send {to} \"{text}\" --wait delivered", from.name))?;
    let started = Instant::now();
    let delivery = from.client.send(to, text, until(State::Queued), None, None).await?;
    let shown = show_progress(out, None, &delivery.state, started.elapsed())?;
    follow(from, delivery, Progress { started, shown }, out).await
}

/// What is written while the recipient is away waits, and arrives when he is back.
async fn survive(
    scratch: &Scratch,
    alice: &DemoNode,
    bob: DemoNode,
    out: &mut Output,
) -> Result<DemoNode, Stop> {
    drop(bob);
    let text = "You are away. This waits on my disk.";
    step(out, "bob's node is stopped")?;
    step(out, &format!("alice writes: $ bitchat send bob \"{text}\""))?;
    let started = Instant::now();
    let delivery = alice.client.send("bob", text, until(State::Queued), None, None).await?;
    let shown = show_progress(out, None, &delivery.state, started.elapsed())?;
    step(out, "bob's node starts again, and nobody types anything")?;
    let bob = DemoNode::start(scratch, "bob").await?;
    follow(alice, delivery, Progress { started, shown }, out).await?;
    Ok(bob)
}

/// When a message was sent, and the last rung of it that was printed.
struct Progress {
    started: Instant,
    shown: Option<State>,
}

/// Prints each further state of a message until it is delivered.
async fn follow(
    from: &DemoNode,
    mut delivery: Delivery,
    Progress { started, mut shown }: Progress,
    out: &mut Output,
) -> Result<(), Stop> {
    let begun = Instant::now();
    while !reaches(&delivery.state, State::Delivered) && begun.elapsed() < DELIVERY_MAX {
        outcome(&delivery, until(State::Queued), &from.client)?;
        sleep(LOOK_EVERY).await;
        delivery = from.client.delivery(&delivery.id).await?;
        shown = show_progress(out, shown, &delivery.state, started.elapsed())?;
    }
    Ok(outcome(&delivery, until(State::Delivered), &from.client)?)
}

fn until(state: State) -> Wait {
    Wait { state, timeout: Span::seconds(DELIVERY_MAX.as_secs()) }
}

/// Prints the rungs between the last one shown and the present one; returns the last one shown.
fn show_progress(
    out: &mut Output,
    shown: Option<State>,
    state: &str,
    after: Duration,
) -> Result<Option<State>, Stop> {
    let mut last = shown;
    for rung in LADDER.into_iter().filter(|rung| shown < Some(*rung) && reaches(state, *rung)) {
        let here = rung.as_str() == state;
        show_rung(out, rung, if here { Seen::Then(after) } else { Seen::By(after) })?;
        last = Some(rung);
    }
    Ok(last)
}

fn show_rung(out: &mut Output, rung: State, seen: Seen) -> Result<(), Stop> {
    let (word, after) = match seen {
        Seen::Then(after) => ("after", after),
        Seen::By(after) => ("within", after),
    };
    let millis = after.as_secs_f64() * 1_000.0;
    out.answer(&json!({ "state": rung.as_str(), "after_ms": after.as_millis() }), |paint| {
        let mark = mark(rung.as_str(), paint);
        format!("  {mark:<3} {:<10} {word:<6} {millis:>7.1} ms", rung.as_str())
    })?;
    out.flush()
}

/// What happens, for people.
fn step(out: &mut Output, text: &str) -> Result<(), Stop> {
    if out.is_json() { Ok(()) } else { out.line(&sanitise::line(text)) }
}

/// Enough of a link to know it again.
fn head(link: &str) -> &str {
    link.get(..40).unwrap_or(link)
}
