//! `bitchat passwd`: another passphrase, with or without a key file.
//!
//! Exit codes: 1 no profile, no or weak passphrase, key file not taken · 5 too many wrong passphrases ·
//! 9 the profile is in use · 12 the present passphrase is wrong.

use std::path::PathBuf;

use bitchat_node::keystore::Protection;
use bitchat_node::{Credentials, FactorChange};
use serde_json::json;

use crate::attach::Context;
use crate::error::{Stop, UserError};
use crate::output::Output;
use crate::passphrase;

/// Change the passphrase of this profile, and its key file
///
/// Asks for the present passphrase, then for the new one. The daemon must not run meanwhile.
#[derive(Debug, clap::Args)]
pub(crate) struct Passwd {
    /// File that holds the new passphrase; `-`: next line of stdin
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    /// Key file from now on, made if it does not exist; `none`: no key file
    #[arg(long, value_name = "FILE|none")]
    new_key_file: Option<PathBuf>,
}

impl Passwd {
    pub(crate) async fn run(self, context: &Context, out: &mut Output) -> Result<(), Stop> {
        context.no_daemon().await?;
        let opened = context
            .open_keys(out, |credentials, _| FactorChange::begin(&context.home, credentials))?;
        // Asked only now: a wrong present passphrase is told before anybody invents a new one.
        let mut globals = context.globals.clone();
        globals.passphrase_file = self.new_passphrase_file;
        let new = match passphrase::given(&globals, out)? {
            Some(new) => new,
            None => passphrase::ask_new().map_err(unasked)?,
        };
        let key_file = match self.new_key_file {
            Some(path) if path.as_os_str() == "none" => None,
            Some(path) => Some(path),
            None if opened.protection() == Protection::TwoFactors => globals.key_file,
            None => None,
        };
        let guarded = opened.finish(Credentials { passphrase: Some(new), key_file })?;
        let with_key_file = guarded == Protection::TwoFactors;
        out.confirm(&json!({ "changed": true, "key_file": with_key_file }), |_| {
            let and = if with_key_file { " and the key file" } else { "" };
            format!("from now on the new passphrase{and} opens this profile")
        })?;
        out.remark("Old copies of the key store open as before; after `bitchat key rotate` they open nothing new.");
        Ok(())
    }
}

/// Where there is nobody to ask, the flag of this command is the way out, and not that of `init`.
fn unasked(error: UserError) -> UserError {
    let hint = "give the new one by `--new-passphrase-file FILE` (`-`: next line of stdin)";
    if error.code == "no_passphrase" { UserError { hint: hint.to_owned(), ..error } } else { error }
}
