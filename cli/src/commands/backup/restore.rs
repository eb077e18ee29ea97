//! `bitchat backup restore FILE|-`.

use std::path::PathBuf;

use bitchat_node::backup;
use bitchat_node::error::NodeError;

use super::{Report, Source, open};
use crate::attach::Context;
use crate::error::{Stop, UserError};
use crate::output::Output;
use crate::passphrase;

/// Make a profile out of a backup: a new device of the same account
///
/// Only in an empty home. The passphrase of the backup guards the new profile as well, unless both
/// are given, and with `--key-file` a key file does, too. Stop the old device first: it is replaced, and says so once a contact tells it.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The backup; `-`: stdin
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// Keep the keys of the new profile unprotected: whoever reads the disk is you
    #[arg(long)]
    no_passphrase: bool,
    #[command(flatten)]
    source: Source,
}

impl Restore {
    pub(super) fn run(self, context: &Context, out: &mut Output) -> Result<(), Stop> {
        let home = &context.home;
        if home.has_profile() {
            let hint = "restore into an empty one: `--home DIR` or `--profile NAME`";
            let error = UserError::from(NodeError::ProfileExists { home: home.root().to_owned() });
            return Err(UserError { hint: hint.to_owned(), ..error }.into());
        }
        let input = open(&self.file)?;
        let named = self.source.named(out)?;
        let both = named.is_some();
        let own = if both { passphrase::given(&context.globals, out)? } else { None };
        let of_backup = match named {
            Some(named) => named,
            None => self.source.of_backup(context, out)?,
        };
        let own = own.unwrap_or_else(|| of_backup.clone());
        let own = context.credentials((!self.no_passphrase).then_some(own));
        let restored = backup::restore(home, input, &of_backup, own)?;
        if self.no_passphrase {
            let message = "the keys of this profile are not protected by a passphrase";
            out.warn("no_passphrase", message, "use such a profile for tests only");
        }
        let report = Report::new(&self.file, &restored.contents, Some(&restored.device));
        out.answer(&report, |_| format!("restored as a new device\n{}", report.lines()))?;
        out.remark("Start it with `bitchat daemon`: it greets every contact, which then know it.");
        Ok(())
    }
}
