//! What a backup is made of, page by page, and the warning about copies.
//!
//! No key ever leaves by these routes: whoever makes a backup opens the key store with the passphrase.

use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bitchat_protocol::engine::{BackupCursor, Command, Reply};
use serde::{Deserialize, Serialize};

use super::{Answer, answer, done, mismatch};
use crate::control::Handle;
use crate::control::request::{Params, bad};
use crate::control::view::Nothing;
use crate::metrics::WarningCode;

/// A part of a backup.
#[derive(Debug, Serialize)]
pub(in crate::control) struct PageView {
    /// Items, each behind its length, in base64.
    pub(in crate::control) items: String,
    /// Where to go on; null: this was the last.
    pub(in crate::control) next: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Wish {
    #[serde(default)]
    history: bool,
    cursor: Option<String>,
}

pub(in crate::control) async fn page(
    State(handle): State<Handle>,
    Params(wish): Params<Wish>,
) -> Answer<PageView> {
    let cursor = match wish.cursor.as_deref() {
        None => BackupCursor::default(),
        Some(text) => text.parse().map_err(|_| bad("no cursor of a backup".to_owned()))?,
    };
    let reply = handle.ask(Command::BackupPage { cursor, history: wish.history }).await?;
    let Reply::BackupPage(page) = reply else { return Err(mismatch().into()) };
    let next = page.next.map(|next| next.to_string());
    answer(PageView { items: STANDARD.encode(&page.items), next })
}

/// Ends a warning that only a person can judge.
pub(in crate::control) async fn dismiss(
    State(handle): State<Handle>,
    Path(code): Path<String>,
) -> Answer<Nothing> {
    if code != WarningCode::CopiedDatadir.as_str() {
        return Err(bad("only `copied_datadir` can be dismissed".to_owned()));
    }
    done(&handle.ask(Command::AcceptCopy).await?)?;
    answer(Nothing {})
}
