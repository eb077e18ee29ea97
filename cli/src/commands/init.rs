//! `bitchat init`: a new profile, or an old account on a new device.
//!
//! Asks for nothing when everything is given. Exit codes: 1 a profile exists, no or weak passphrase,
//! not a recovery phrase · 3 the directory cannot be written.

use std::io::{self, IsTerminal};

use bitchat_node::{CreatedProfile, NewProfile, create_profile};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::attach::Context;
use crate::error::Stop;
use crate::output::{Output, table};
use crate::passphrase::{self, Secret};

/// Words in a line of the recovery phrase, as shown.
const WORDS_PER_LINE: usize = 4;

/// Create a profile: keys, settings, an empty history
///
/// Shows 24 words. They restore the account on another device; nothing else but a backup does.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// What contacts see as your name [default: none]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Keep the keys unprotected: whoever reads the disk is you
    #[arg(long, conflicts_with = "passphrase_file")]
    no_passphrase: bool,
    /// Restore an account from its 24 words (asked for, or on stdin)
    #[arg(long)]
    recover: bool,
}

#[derive(Serialize)]
struct Created<'a> {
    account: &'a str,
    device: &'a str,
    phrase: &'a str,
}

impl Init {
    pub(crate) fn run(self, context: &Context, out: &mut Output) -> Result<(), Stop> {
        let passphrase = self.passphrase(context, out)?;
        let recover = if self.recover { Some(passphrase::recovery_words()?) } else { None };
        let request = NewProfile {
            name: self.name.clone().unwrap_or_default(),
            credentials: context.credentials(passphrase),
            allow_no_passphrase: self.no_passphrase,
            recover,
        };
        let created = create_profile(&context.home, request)?;
        if self.no_passphrase {
            let message = "the keys of this profile are not protected by a passphrase";
            out.warn("no_passphrase", message, "use such a profile for tests only");
        }
        self.show(&created, out)
    }

    fn passphrase(&self, context: &Context, out: &mut Output) -> Result<Option<Secret>, Stop> {
        if self.no_passphrase {
            return Ok(None);
        }
        Ok(Some(match passphrase::given(&context.globals, out)? {
            Some(passphrase) => passphrase,
            None => passphrase::ask_new()?,
        }))
    }

    fn show(&self, created: &CreatedProfile, out: &mut Output) -> Result<(), Stop> {
        let body =
            Created { account: &created.account, device: &created.device, phrase: &created.phrase };
        out.answer(&body, |_| {
            let ids = format!("account  {}\ndevice   {}", created.account, created.device);
            if self.recover { ids } else { format!("{ids}\n\n{}", *numbered(&created.phrase)) }
        })?;
        if !self.recover {
            out.remark(
                "Write these 24 words down. They restore the account; `bitchat key words` shows them again.",
            );
            if io::stdout().is_terminal() {
                out.remark("Clear the screen afterwards.");
            }
        }
        Ok(())
    }
}

/// The words with their numbers, a few in a line.
pub(super) fn numbered(phrase: &str) -> Zeroizing<String> {
    let words: Vec<&str> = phrase.split_whitespace().collect();
    let mut number = 0_usize;
    let mut rows = Vec::new();
    for chunk in words.chunks(WORDS_PER_LINE) {
        let mut row = Vec::new();
        for word in chunk {
            number += 1;
            row.push(format!("{number:>2} {word}"));
        }
        rows.push(row);
    }
    Zeroizing::new(table(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_numbered_in_reading_order() {
        assert_eq!(*numbered("a b c d e"), " 1 a   2 b   3 c   4 d\n 5 e");
    }
}
