//! The verbs, one file each. Each file begins with its synopsis and exit codes.

use clap::Subcommand;

use crate::attach::{Context, attach};
use crate::client::Client;
use crate::error::{Stop, UserError};
use crate::output::Output;

mod backup;
mod chat;
mod completions;
mod config;
mod contact;
mod daemon;
mod demo;
mod export;
mod history;
mod id;
mod import;
mod init;
mod key;
mod mailbox;
mod passwd;
mod peers;
mod queue;
mod receive;
mod send;
mod session;
mod status;

/// A verb.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Init(init::Init),
    Daemon(daemon::Daemon),
    #[command(flatten)]
    Node(NodeVerb),
    #[command(subcommand)]
    Config(config::Config),
    #[command(subcommand)]
    Backup(backup::Backup),
    Passwd(passwd::Passwd),
    #[command(subcommand)]
    Key(key::Key),
    Completions(completions::Completions),
    Demo(demo::Demo),
}

/// A verb that needs a node: the daemon's, or one in this process.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    Id(id::Id),
    #[command(subcommand, visible_alias = "contacts")]
    Contact(contact::Contact),
    Send(send::Send),
    #[command(visible_alias = "listen")]
    Receive(receive::Receive),
    History(history::History),
    Chat(chat::Chat),
    Status(status::Status),
    Peers(peers::Peers),
    #[command(subcommand)]
    Queue(queue::Queue),
    #[command(subcommand)]
    Mailbox(mailbox::Mailbox),
    ExportEnvelope(export::ExportEnvelope),
    ImportEnvelope(import::ImportEnvelope),
    #[command(subcommand)]
    Session(session::Session),
}

impl Verb {
    /// Does it.
    pub(crate) async fn run(self, context: &Context, out: &mut Output) -> Result<(), Stop> {
        match self {
            Self::Init(verb) => verb.run(context, out),
            Self::Daemon(verb) => verb.run(context, out).await,
            Self::Config(verb) => verb.run(context, out),
            Self::Backup(verb) => verb.run(context, out).await,
            Self::Passwd(verb) => verb.run(context, out).await,
            Self::Key(verb) => verb.run(context, out).await,
            Self::Completions(verb) => verb.run(out),
            Self::Demo(verb) => verb.run(out).await,
            Self::Node(verb) => {
                let (client, guest) = attach(context, out).await?;
                // A daemon has said so in its log, and `status` says it itself.
                if !client.is_daemon() && !matches!(verb, NodeVerb::Status(_)) {
                    warn_of_copies(&client, out).await?;
                }
                let result = verb.run(&client, out).await;
                // Seen before the node stops, which may take a moment.
                let flushed = out.flush();
                let stopped = guest.stop().await.map_err(Stop::from);
                result.and(flushed).and(stopped)
            }
        }
    }
}

/// Says that another copy of this profile is or may be in use: what is done here spoils that one.
async fn warn_of_copies(client: &Client, out: &mut Output) -> Result<(), UserError> {
    for said in client.status().await?.warnings {
        match said.code.as_str() {
            "copied_datadir" => out.warn("copied_datadir", &said.message, &said.hint),
            "superseded" => out.warn("superseded", &said.message, &said.hint),
            _ => {}
        }
    }
    Ok(())
}

impl NodeVerb {
    async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        match self {
            Self::Id(verb) => verb.run(client, out).await,
            Self::Contact(verb) => verb.run(client, out).await,
            Self::Send(verb) => verb.run(client, out).await,
            Self::Receive(verb) => verb.run(client, out).await,
            Self::History(verb) => verb.run(client, out).await,
            Self::Chat(verb) => verb.run(client, out).await,
            Self::Status(verb) => verb.run(client, out).await,
            Self::Peers(verb) => verb.run(client, out).await,
            Self::Queue(verb) => verb.run(client, out).await,
            Self::Mailbox(verb) => verb.run(client, out).await,
            Self::ExportEnvelope(verb) => verb.run(client, out).await,
            Self::ImportEnvelope(verb) => verb.run(client, out).await,
            Self::Session(verb) => verb.run(client, out).await,
        }
    }
}
