//! `bitchat backup create FILE|-`, `verify FILE|-`, `restore FILE|-`: the account in one encrypted file.
//!
//! Exit codes: 1 the file exists, is no backup, or the home has a profile · 3 it cannot be read or
//! written · 12 wrong passphrase, or the backup is damaged.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use bitchat_node::backup::{Contents, NOT_HELD};
use bitchat_node::error::NodeError;
use clap::Subcommand;
use serde::Serialize;

use crate::attach::Context;
use crate::error::{Stop, UserError, reason};
use crate::output::{Output, stamp};
use crate::passphrase::{self, Secret};
use crate::sanitise;

mod create;
mod restore;

/// Make, check and restore a backup of the account
///
/// A backup is one file in the age format, under a passphrase. A restore is a new device of the same
/// account: contacts learn it when it greets them, and sessions begin anew.
#[derive(Debug, Subcommand)]
pub(crate) enum Backup {
    Create(create::Create),
    Verify(Verify),
    Restore(restore::Restore),
}

/// Where the passphrase of a backup comes from.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// File that holds the passphrase of the backup [default: the profile's passphrase]
    #[arg(long, value_name = "FILE")]
    backup_passphrase_file: Option<PathBuf>,
}

/// Read all of a backup and say what is in it; nothing is changed
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The backup; `-`: stdin
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    #[command(flatten)]
    source: Source,
}

/// What is said about a backup.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    account: &'a str,
    nickname: &'a str,
    created_ms: u64,
    generation: u64,
    contacts: u64,
    verified: u64,
    history: bool,
    messages: u64,
    not_held: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
}

impl Backup {
    pub(crate) async fn run(self, context: &Context, out: &mut Output) -> Result<(), Stop> {
        match self {
            Self::Create(verb) => verb.run(context, out).await,
            Self::Verify(verb) => verb.run(context, out),
            Self::Restore(verb) => verb.run(context, out),
        }
    }
}

impl Verify {
    fn run(self, context: &Context, out: &mut Output) -> Result<(), Stop> {
        let input = open(&self.file)?; // Before anybody types a passphrase for nothing.
        let passphrase = self.source.of_backup(context, out)?;
        let contents = bitchat_node::backup::verify(input, &passphrase)?;
        let report = Report::new(&self.file, &contents, None);
        out.answer(&report, |_| format!("the backup is whole\n{}", report.lines()))
    }
}

impl Source {
    /// The backup's own passphrase, if one is named.
    fn named(&self, out: &mut Output) -> Result<Option<Secret>, UserError> {
        let named = self.backup_passphrase_file.as_deref();
        named.map(|path| passphrase::from_path(path, out)).transpose()
    }

    /// The passphrase of a backup that exists: named, the profile's, or asked for.
    fn of_backup(&self, context: &Context, out: &mut Output) -> Result<Secret, UserError> {
        if let Some(named) = self.named(out)? {
            return Ok(named);
        }
        if let Some(given) = passphrase::given(&context.globals, out)? {
            return Ok(given);
        }
        passphrase::ask_for("Passphrase of the backup: ")?.ok_or_else(|| {
            let hint = "type it when asked, or give `--backup-passphrase-file FILE`";
            UserError::usage("no_passphrase", "the backup needs a passphrase", hint)
        })
    }
}

impl<'a> Report<'a> {
    fn new(file: &Path, contents: &'a Contents, device: Option<&'a str>) -> Self {
        Self {
            file: (!is_standard(file)).then(|| file.display().to_string()),
            account: &contents.account,
            nickname: &contents.nickname,
            created_ms: contents.created_ms,
            generation: contents.generation,
            contacts: contents.counts.contacts,
            verified: contents.counts.verified,
            history: contents.history,
            messages: contents.counts.messages,
            not_held: NOT_HELD,
            device,
        }
    }

    fn lines(&self) -> String {
        let mut lines = Vec::new();
        if let Some(file) = &self.file {
            lines.push(format!("file      {}", sanitise::line(file)));
        }
        lines.push(format!("account   {}", self.account));
        if let Some(device) = self.device {
            lines.push(format!("device    {device} (new)"));
        }
        if !self.nickname.is_empty() {
            lines.push(format!("name      {}", sanitise::name(self.nickname)));
        }
        lines.push(format!("made      {}", stamp(self.created_ms)));
        lines.push(format!("contacts  {} ({} verified)", self.contacts, self.verified));
        lines.push(if self.history {
            format!("messages  {}", self.messages)
        } else {
            "messages  none (made without --history)".to_owned()
        });
        lines.push(format!("not held  {NOT_HELD}"));
        lines.join("\n")
    }
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The file to read, or stdin.
fn open(path: &Path) -> Result<Box<dyn Read>, UserError> {
    if is_standard(path) {
        if io::stdin().is_terminal() {
            let hint = "name a file, or pipe one in";
            return Err(UserError::usage("terminal", "a terminal is no backup", hint));
        }
        return Ok(Box::new(io::stdin()));
    }
    let failed = |error: io::Error| {
        let what = format!("cannot read {}", path.display());
        UserError::from(NodeError::BackupIo { what, reason: reason(&error) })
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    Ok(Box::new(file))
}
