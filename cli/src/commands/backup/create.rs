//! `bitchat backup create FILE|-`.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use bitchat_node::backup::{Contents, Creator, NewFile};
use bitchat_node::error::NodeError;
use bitchat_node::keystore::Protection;
use bitchat_node::profile;

use super::{Report, Source, is_standard};
use crate::attach::{Context, attach_with};
use crate::client::Client;
use crate::error::{Stop, UserError};
use crate::output::Output;
use crate::passphrase::{self, Secret};

/// Write the account, its contacts and, if asked for, its messages into one encrypted file
///
/// Works while a daemon runs. The file appears whole or not at all. Sessions, device keys and
/// messages that wait are not in it; the output says so.
#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Where to; `-`: stdout
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Include the messages of every conversation
    #[arg(long)]
    history: bool,
    /// Replace a file that is there already
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    source: Source,
}

impl Create {
    pub(super) async fn run(self, context: &Context, out: &mut Output) -> Result<(), Stop> {
        if is_standard(&self.file) {
            if io::stdout().is_terminal() {
                let hint = "name a file, or pipe it somewhere";
                let error = UserError::usage("terminal", "a backup is nothing to look at", hint);
                return Err(error.into());
            }
            let (_, contents) = self.write(context, || Ok(crate::output::raw()), out).await?;
            out.remark(&Report::new(&self.file, &contents, None).lines());
            return Ok(());
        }
        let file = || NewFile::create(&self.file, self.force);
        // Before anybody types a passphrase for nothing; and not kept open meanwhile, because whoever
        // interrupts the question would leave it there.
        drop(file()?);
        let (file, contents) = self.write(context, file, out).await?;
        file.keep()?;
        let report = Report::new(&self.file, &contents, None);
        out.confirm(&report, |_| report.lines())
    }

    async fn write<W: Write>(
        &self,
        context: &Context,
        sink: impl FnOnce() -> Result<W, NodeError>,
        out: &mut Output,
    ) -> Result<(W, Contents), Stop> {
        if !context.home.has_profile() {
            return Err(NodeError::NoProfile { home: context.home.root().to_owned() }.into());
        }
        // The keys never cross the socket: whoever makes a backup opens the key store.
        let mut own = None;
        let unlocked = context.open_keys(out, |credentials, _| {
            own.clone_from(&credentials.passphrase);
            profile::unlock(&context.home, credentials)
        })?;
        if unlocked.protection == Protection::TwoFactors {
            out.warn(
                "backup_one_factor",
                "the key file does not guard the backup: its passphrase alone opens it",
                "give it a passphrase of its own with `--backup-passphrase-file FILE`",
            );
        }
        let secrets = unlocked.secrets;
        let passphrase = match self.source.named(out)? {
            Some(named) => named,
            None => match own.clone() {
                Some(own) => own,
                None => new_passphrase()?,
            },
        };
        let mut creator = Creator::begin(sink()?, &passphrase, &secrets, self.history)?;
        drop(secrets);
        let (client, guest) = attach_with(context, own, out).await?;
        let filled = self.fill(&client, &mut creator).await;
        let stopped = guest.stop().await;
        filled.and(stopped)?;
        Ok(creator.finish()?)
    }

    async fn fill<W: Write>(
        &self,
        client: &Client,
        creator: &mut Creator<W>,
    ) -> Result<(), UserError> {
        let mut cursor = None;
        loop {
            let page = client.backup_page(self.history, cursor.as_deref()).await?;
            creator.take(&page.items)?;
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }
}

/// For the backup of a profile that has none.
fn new_passphrase() -> Result<Secret, UserError> {
    passphrase::ask_new().map_err(|error| {
        if error.code != NodeError::NoPassphrase.code() {
            return error;
        }
        let hint = "give one with `--backup-passphrase-file FILE` (`-`: first line of stdin)";
        UserError {
            message: "a backup needs a passphrase".to_owned(),
            hint: hint.to_owned(),
            ..error
        }
    })
}
