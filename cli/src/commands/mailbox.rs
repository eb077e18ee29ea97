//! `bitchat mailbox ..`: mailboxes of ours at other nodes, and those that this node keeps for others.
//!
//! Exit codes: 8 no such mailbox.

use clap::Subcommand;

use crate::client::{self, Client};
use crate::error::Stop;
use crate::output::{Output, stamp, table};
use crate::sanitise;

mod serve;

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
        let mailbox = client.add_mailbox(&self.addresses, &self.access).await?;
        out.confirm(&mailbox, |_| "the node is being asked; see `bitchat mailbox list`".to_owned())
    }
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

fn row(mailbox: &client::Mailbox) -> Vec<String> {
    let time = |millis: Option<u64>| millis.map_or_else(|| "-".to_owned(), stamp);
    let why = mailbox.refusal.as_deref().or(mailbox.error.as_deref());
    vec![
        mailbox.rank.to_string(),
        sanitise::line(&mailbox.node),
        sanitise::line(&mailbox.state),
        format!("{} of {}", size(mailbox.bytes), size(mailbox.bytes_max)),
        format!("{} of {}", mailbox.envelopes, mailbox.envelopes_max),
        format!("until {}", time(mailbox.until_ms)),
        format!("fetched {}", time(mailbox.fetched_ms)),
        mailbox.round_trip_ms.map_or_else(|| "-".to_owned(), |time| format!("{time} ms")),
        why.map_or_else(String::new, sanitise::line),
    ]
}
