//! `bitchat mailbox ..`: mailboxes of ours at other nodes, and those that this node keeps for others.
//!
//! Exit codes: 3 the node was not reached, 8 no such mailbox, 10 the node refused.

use std::time::{Duration, Instant};

use bitchat_node::error::Category;
use clap::Subcommand;

use crate::client::{self, Client};
use crate::error::{Stop, UserError};
use crate::output::{Output, stamp, table};
use crate::sanitise;

mod serve;

/// How long `add` waits for the node's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

use serve::size;

/// Mailboxes: they keep messages while the recipient is away
#[derive(Debug, Subcommand)]
pub(crate) enum Mailbox {
    Add(Add),
    List(List),
    Test(Test),
    Remove(Remove),
    ServeStatus(serve::ServeStatus),
}

/// Rent a mailbox at a node, or change its addresses and the operator's word
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// Where the node is: 1 to 4 multiaddresses, each ending with /p2p/PEER
    #[arg(value_name = "ADDRESS", required = true, num_args = 1..=4)]
    addresses: Vec<String>,

    /// Word of the node's operator, if it wants one
    #[arg(long, value_name = "WORD", default_value = "")]
    access: String,
}

/// List mailboxes that we rent: state, room, when they were last fetched from
#[derive(Debug, clap::Args)]
pub(crate) struct List {}

/// Ask mailbox nodes how they are, and show the round trip and the terms
#[derive(Debug, clap::Args)]
pub(crate) struct Test {
    /// Peer id of the node, or a part of it; all without it
    who: Option<String>,
}

/// Rent there no more; what lies there is fetched before
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Peer id of the node, or a part of it
    who: String,
}

impl Mailbox {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        match self {
            Self::Add(verb) => verb.run(client, out).await,
            Self::List(_) => show(&client.mailboxes().await?, out),
            Self::Test(verb) => verb.run(client, out).await,
            Self::Remove(Remove { who }) => {
                let gone = client.remove_mailbox(&who).await?;
                out.confirm(&gone, |_| {
                    "the mailbox is given up as soon as what lies there is fetched".to_owned()
                })
            }
            Self::ServeStatus(verb) => verb.run(client, out).await,
        }
    }
}

impl Add {
    async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        if let Some(wrong) = self.addresses.iter().find(|address| !address.contains("/p2p/")) {
            return Err(Stop::Failed(UserError::usage(
                "mailbox_address",
                format!("{wrong} does not end with /p2p/ and the id of a peer"),
                "copy the address from `bitchat mailbox serve-status` of that node",
            )));
        }
        let asked = client.add_mailbox(&self.addresses, &self.access).await?;
        let end = Instant::now() + ANSWER_WITHIN;
        loop {
            let known = client.mailboxes().await?.into_iter().find(|it| it.node == asked.node);
            let mailbox = known.unwrap_or_else(|| asked.clone());
            match mailbox.state.as_str() {
                "active" => {
                    return out.confirm(&mailbox, |_| {
                        let (room, until) = (size(mailbox.bytes_max), mailbox.until_ms.map(stamp));
                        let until = until.unwrap_or_else(|| "-".to_owned());
                        format!("rented: room for {room}, until {until}; it is renewed every day")
                    });
                }
                "refused" => return Err(Stop::Failed(refused(&mailbox))),
                _ if Instant::now() > end => return Err(Stop::Failed(unreached(&mailbox))),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}

/// The mailbox stays in the list: what helps may happen at the node.
fn refused(mailbox: &client::Mailbox) -> UserError {
    let (why, hint) = match mailbox.refusal.as_deref() {
        Some("unpaid") => (
            "its operator's word is missing or wrong",
            "ask the operator for the word, then add it again with `--access WORD`",
        ),
        Some("no_mailboxes") => {
            ("it keeps no mailboxes", "ask its operator to set `enabled` under `[mailbox]`")
        }
        Some("quota_exceeded") => ("it has no room for another", "add another node"),
        _ => ("not now", "it is asked again by itself; see `bitchat mailbox list`"),
    };
    let message = format!("the node refused the mailbox: {why}");
    UserError::new(Category::Rejected, "mailbox_refused", message, hint)
}

fn unreached(mailbox: &client::Mailbox) -> UserError {
    let why = mailbox.error.as_deref().unwrap_or("no answer yet");
    let message = format!("the node does not answer: {}", sanitise::line(why));
    let hint = "look at the address; it is asked again by itself until `bitchat mailbox remove`";
    UserError::new(Category::Network, "mailbox_unreached", message, hint)
}

impl Test {
    async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let nodes = match self.who {
            Some(who) => vec![who],
            None => client.mailboxes().await?.into_iter().map(|mailbox| mailbox.node).collect(),
        };
        let mut tested = Vec::new();
        for node in nodes {
            tested.push(client.test_mailbox(&node).await?);
        }
        show(&tested, out)
    }
}

fn show(mailboxes: &[client::Mailbox], out: &mut Output) -> Result<(), Stop> {
    if out.is_json() {
        return mailboxes.iter().try_for_each(|mailbox| out.object(mailbox));
    }
    if mailboxes.is_empty() {
        out.remark("no mailboxes; rent one with `bitchat mailbox add ADDRESS`");
        return Ok(());
    }
    out.line(&table(&mailboxes.iter().map(row).collect::<Vec<_>>()))
}

/// What is used of what there is; nothing if the node has not said so since the start.
fn room(known: u64, used: &str, most: &str) -> String {
    if known == 0 { "-".to_owned() } else { format!("{used} of {most}") }
}

fn row(mailbox: &client::Mailbox) -> Vec<String> {
    let time = |millis: Option<u64>| millis.map_or_else(|| "-".to_owned(), stamp);
    let why = mailbox.refusal.as_deref().or(mailbox.error.as_deref());
    vec![
        mailbox.rank.to_string(),
        sanitise::line(&mailbox.node),
        sanitise::line(&mailbox.state),
        room(mailbox.bytes_max, &size(mailbox.bytes), &size(mailbox.bytes_max)),
        room(
            mailbox.envelopes_max,
            &mailbox.envelopes.to_string(),
            &mailbox.envelopes_max.to_string(),
        ),
        format!("until {}", time(mailbox.until_ms)),
        format!("fetched {}", time(mailbox.fetched_ms)),
        mailbox.round_trip_ms.map_or_else(|| "-".to_owned(), |time| format!("{time} ms")),
        why.map_or_else(String::new, sanitise::line),
    ]
}
