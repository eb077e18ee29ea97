//! `bitchat key rotate|words|reclaim`: the keys of this profile.
//!
//! Exit codes: 1 no profile, no passphrase · 5 too many wrong passphrases · 9 the profile is in use, or
//! the store is damaged · 12 the passphrase is wrong.

use std::time::{Duration, Instant};

use bitchat_node::{Rotation, reclaim, recovery_words, rotate_keys};
use clap::Subcommand;
use serde::Serialize;
use serde_json::json;

use super::init::numbered;
use crate::attach::Context;
use crate::error::Stop;
use crate::output::Output;

#[derive(Serialize)]
struct Phrase<'a> {
    phrase: &'a str,
}

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Change and show the keys of this profile
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    Rotate(Rotate),
    Words(Words),
    Reclaim(Reclaim),
}

/// Replace the key that this profile's data is sealed under
///
/// Whoever has a copy of the old one opens nothing that is written from now on; texts from before
/// keep their keys. Contacts notice nothing. May be interrupted at any moment: the profile then has
/// the old key or the new one.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {}

/// Show the 24 words of the account
///
/// Whoever reads them has the account. `init` shows them too; this is for those who could not write
/// them down then.
#[derive(Debug, clap::Args)]
pub(crate) struct Words {}

/// Take the account back from a later device, for this one
///
/// For a `status` that says `superseded` on the device that you use: it was made under a clock that
/// was behind, or somebody else has your words. Contacts take this device for the latest from then
/// on. The daemon must not run meanwhile.
#[derive(Debug, clap::Args)]
pub(crate) struct Reclaim {}

impl Key {
    pub(crate) async fn run(self, context: &Context, out: &mut Output) -> Result<(), Stop> {
        match self {
            Self::Rotate(Rotate {}) => rotate(context, out).await,
            Self::Words(Words {}) => words(context, out),
            Self::Reclaim(Reclaim {}) => take_back(context, out).await,
        }
    }
}

fn words(context: &Context, out: &mut Output) -> Result<(), Stop> {
    let words =
        context.open_keys(out, |credentials, _| recovery_words(&context.home, credentials))?;
    out.answer(&Phrase { phrase: &words }, |_| numbered(&words).to_string())
}

async fn take_back(context: &Context, out: &mut Output) -> Result<(), Stop> {
    context.no_daemon().await?;
    let generation =
        context.open_keys(out, |credentials, _| reclaim(&context.home, credentials))?;
    out.confirm(&json!({ "generation": generation }), |_| {
        "this device is the latest of its account again; start the daemon to tell the contacts"
            .to_owned()
    })?;
    out.remark("If the other device is not yours, somebody has your 24 words: make a new account.");
    Ok(())
}

async fn rotate(context: &Context, out: &mut Output) -> Result<(), Stop> {
    context.no_daemon().await?;
    let started = Instant::now();
    let mut told = started;
    let rows = context.open_keys(out, |credentials, out| {
        rotate_keys(&context.home, credentials, &mut |step| {
            if let Rotation::Moved(rows) = step
                && told.elapsed() >= TELL_EVERY
            {
                told = Instant::now();
                out.remark(&format!("{rows} rows are sealed under new keys"));
            }
        })
    })?;
    let millis = started.elapsed().as_millis();
    out.confirm(&json!({ "rows": rows, "took_ms": millis }), |_| {
        format!("the data key is new, and {rows} rows are sealed under new keys")
    })
}
