//! `bitchat key rotate`: another data key for everything on this disk.
//!
//! Exit codes: 1 no profile, no passphrase · 5 too many wrong passphrases · 9 the profile is in use, or
//! the store is damaged · 12 the passphrase is wrong.

use std::time::{Duration, Instant};

use bitchat_node::{Rotation, rotate_keys};
use clap::Subcommand;
use serde_json::json;

use crate::attach::Context;
use crate::error::Stop;
use crate::output::Output;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Change the keys that this profile is sealed under
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    Rotate(Rotate),
}

/// Replace the key that this profile's data is sealed under
///
/// Whoever has a copy of the old one opens nothing that is written from now on; texts from before
/// keep their keys. Contacts notice nothing. May be interrupted at any moment: the profile then has
/// the old key or the new one.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {}

impl Key {
    pub(crate) async fn run(self, context: &Context, out: &mut Output) -> Result<(), Stop> {
        match self {
            Self::Rotate(Rotate {}) => rotate(context, out).await,
        }
    }
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
