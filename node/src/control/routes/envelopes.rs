//! Sealed envelopes for and from a file: the bytes as base64, page by page.

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bitchat_protocol::engine::{Command, Export, IMPORT_MAX, ImportView, Reply};
use bitchat_protocol::id::{AccountId, MessageId};
use bitchat_protocol::outbox::Place;
use serde::{Deserialize, Serialize};

use super::{Answer, answer, mismatch};
use crate::control::Handle;
use crate::control::problem::Problem;
use crate::control::request::{Body, bad};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Wanted {
    id: Option<String>,
    after: Option<String>,
}

/// A page of sealed envelopes.
#[derive(Debug, Serialize)]
pub(in crate::control) struct Exported {
    envelopes: Vec<String>,
    messages: u64,
    receipts: u64,
    no_keys: u64,
    held_back: u64,
    next: Option<String>,
}

/// Seals what waits: one message, or a page of everything. It is durable before it is answered.
pub(in crate::control) async fn export(
    State(handle): State<Handle>,
    Body(wish): Body<Wanted>,
) -> Answer<Exported> {
    let what = match (wish.id, wish.after) {
        (Some(_), Some(_)) => return Err(bad("give `id` or `after`, not both".to_owned())),
        (Some(id), None) => Export::One(message(&id)?),
        (None, after) => Export::All { after: after.as_deref().map(place).transpose()? },
    };
    let Reply::Exported(page) = handle.ask(Command::Export(what)).await? else {
        return Err(mismatch().into());
    };
    answer(Exported {
        envelopes: page.seals.iter().map(|seal| STANDARD.encode(seal)).collect(),
        messages: page.messages,
        receipts: page.receipts,
        no_keys: page.no_keys,
        held_back: page.held_back,
        next: page.next.map(|(account, sequence)| format!("{account}.{sequence}")),
    })
}

fn message(text: &str) -> Result<MessageId, Problem> {
    text.parse().map_err(|_| bad("a message id has 32 digits of 0-9 and a-f".to_owned()))
}

/// Reads `next` of the page before.
fn place(text: &str) -> Result<Place, Problem> {
    let parsed = text.split_once('.').and_then(|(account, sequence)| {
        Some((account.parse::<AccountId>().ok()?, sequence.parse().ok()?))
    });
    parsed.ok_or_else(|| bad("`after` is not the `next` of another page".to_owned()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Given {
    envelopes: Vec<String>,
}

/// What became of imported envelopes.
#[derive(Debug, Serialize)]
pub(in crate::control) struct Imported {
    delivered: u64,
    receipts: u64,
    duplicates: u64,
    not_for_us: u64,
    refused: u64,
    busy: Vec<usize>,
}

impl From<ImportView> for Imported {
    fn from(view: ImportView) -> Self {
        Self {
            delivered: view.delivered,
            receipts: view.receipts,
            duplicates: view.duplicates,
            not_for_us: view.not_for_us,
            refused: view.refused,
            busy: view.busy,
        }
    }
}

/// Takes sealed envelopes as if they had come over a link.
pub(in crate::control) async fn import(
    State(handle): State<Handle>,
    Body(given): Body<Given>,
) -> Answer<Imported> {
    if given.envelopes.len() > IMPORT_MAX {
        return Err(bad(format!("more than {IMPORT_MAX} envelopes")));
    }
    let seals = given.envelopes.iter().map(|text| STANDARD.decode(text));
    let seals = seals
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| bad("an envelope is not base64".to_owned()))?;
    let Reply::Imported(view) = handle.ask(Command::Import(seals)).await? else {
        return Err(mismatch().into());
    };
    answer(view.into())
}
