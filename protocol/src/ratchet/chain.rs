//! The symmetric chains and the step that founds them.

use zeroize::Zeroizing;

use crate::crypto::{ChainWalk, DhPublic, Secret, expand};

use super::healing::Mix;
use super::skipped::SkippedChange;

/// Our sending chain.
pub(super) struct Sending {
    /// Key of the next message.
    pub(super) chain: Secret<32>,
    /// Seals the headers of this chain.
    pub(super) header: Secret<32>,
    /// Messages sent: number of the next one.
    pub(super) sent: u32,
}

/// The receiving chain in use.
pub(super) struct Receiving {
    /// Which one, from 1; counts the peer's turns.
    pub(super) index: u32,
    /// The peer's ratchet key, in every header of this chain.
    pub(super) theirs: DhPublic,
    /// Key of message `received`.
    pub(super) chain: Secret<32>,
    /// Opens the headers of this chain.
    pub(super) header: Secret<32>,
    /// Number after the highest one opened.
    pub(super) received: u32,
    /// Skipped keys in the store.
    pub(super) kept: u32,
}

/// A closed receiving chain that still has skipped keys in the store.
pub(super) struct OldChain {
    /// Its [`Receiving::index`].
    pub(super) index: u32,
    /// Opens its headers.
    pub(super) header: Secret<32>,
    /// Skipped keys in the store, at least one.
    pub(super) kept: u32,
}

/// What a turn of the root key gives (`KDF_RK_HE` of the specification).
pub(super) struct Turned {
    pub(super) root: Secret<32>,
    pub(super) chain: Secret<32>,
    pub(super) next_header: Secret<32>,
}

/// Mixes a DH output into the root key, and with it the secret of a KEM exchange if there is one.
pub(super) fn root_step(root: &Secret<32>, shared: &Secret<32>, mix: Option<&Mix>) -> Turned {
    let material: Secret<96> = match mix {
        None => expand(root.expose(), shared.expose(), b"bitchat/1 root"),
        Some(mix) => {
            let both = Zeroizing::new([*shared.expose(), *mix.shared.expose()]);
            let label = [b"bitchat/1 root kem".as_slice(), &mix.context].concat();
            expand(root.expose(), both.as_flattened(), &label)
        }
    };
    let mut parts = [[0; 32]; 3];
    for (part, bytes) in parts.iter_mut().zip(material.expose().chunks_exact(32)) {
        part.copy_from_slice(bytes);
    }
    let [root, chain, next_header] = &mut parts;
    Turned {
        root: Secret::take(root),
        chain: Secret::take(chain),
        next_header: Secret::take(next_header),
    }
}

/// A stretch of messages that did not come.
pub(super) struct Gap {
    /// The receiving chain.
    pub(super) index: u32,
    /// First missing number.
    pub(super) from: u32,
    /// Number after the last missing one.
    pub(super) to: u32,
    /// Keys to keep, the last ones of the gap.
    pub(super) keep: u32,
}

/// Walks `chain` from message `gap.from` to `gap.to` and keeps the last keys on the way; those
/// before them are not derived. Gives the chain key of message `gap.to`.
pub(super) fn skip(chain: &Secret<32>, gap: &Gap, kept: &mut Vec<SkippedChange>) -> Secret<32> {
    let first = gap.to.saturating_sub(gap.keep).max(gap.from);
    let mut walk = ChainWalk::new(chain);
    for _ in gap.from..first {
        walk.skip();
    }
    kept.reserve(usize::try_from(gap.to.saturating_sub(first)).unwrap_or(0));
    for number in first..gap.to {
        kept.push(SkippedChange::Keep { chain: gap.index, number, key: walk.step() });
    }
    walk.end()
}
