//! `bitchat demo`: see it work, in a few seconds, without touching anything of yours.
//!
//! ```text
//!   alice's daemon ──invitation──> bob's daemon        two real processes of this program,
//!        └──────── encrypted, over loopback ─┘         throw-away homes, ephemeral ports
//! ```
//!
//! Exit codes: 0 both messages were delivered · 3 a daemon did not start · 6 not delivered in time.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::args::{Span, State};
use crate::client::Wait;
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

/// Start two throw-away nodes on this machine and send a message each way
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {}

/// A state of a message and when it was seen first.
struct Rung {
    state: String,
    after: Duration,
}

impl Demo {
    pub(crate) async fn run(self, out: &mut Output) -> Result<(), Stop> {
        let scratch = Scratch::create()?;
        let show = show(&scratch, out);
        // Dropping the nodes on the way out stops them; then the directory goes.
        tokio::select! {
            result = show => result,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    }
}

async fn show(scratch: &Scratch, out: &mut Output) -> Result<(), Stop> {
    step(out, "two nodes, each with its own keys, on this machine only")?;
    let alice = DemoNode::start(scratch, "alice").await?;
    let bob = DemoNode::start(scratch, "bob").await?;
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
        Some(contact) => alice.client.change(&contact.account, Some("bob"), None).await.map(drop),
        None => Err(UserError::internal("the sender of a message is no contact")),
    }
}

/// Sends a message and prints each state that it passes.
async fn deliver(from: &DemoNode, to: &str, text: &str, out: &mut Output) -> Result<(), Stop> {
    step(out, &format!("{} writes: $ bitchat send {to} \"{text}\" --wait delivered", from.name))?;
    let started = Instant::now();
    let wait = Wait { state: State::Delivered, timeout: Span::seconds(DELIVERY_MAX.as_secs()) };
    let queued = Wait { state: State::Queued, ..wait };
    let mut delivery = from.client.send(to, text, queued, None).await?;
    rung(out, &Rung { state: delivery.state.clone(), after: started.elapsed() })?;
    while !reaches(&delivery.state, wait.state) && started.elapsed() < DELIVERY_MAX {
        sleep(LOOK_EVERY).await;
        let now = from.client.delivery(&delivery.id).await?;
        if now.state != delivery.state {
            rung(out, &Rung { state: now.state.clone(), after: started.elapsed() })?;
        }
        delivery = now;
        if let Err(error) = outcome(&delivery, queued, &from.client) {
            return Err(error.into());
        }
    }
    Ok(outcome(&delivery, wait, &from.client)?)
}

fn rung(out: &mut Output, rung: &Rung) -> Result<(), Stop> {
    let millis = rung.after.as_secs_f64() * 1_000.0;
    let body = json!({ "state": rung.state, "after_ms": millis });
    out.answer(&body, |paint| {
        format!("  {:<3} {:<10} after {millis:>7.1} ms", mark(&rung.state, paint), rung.state)
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
