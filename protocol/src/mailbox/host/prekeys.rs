//! One-time prekeys that owners leave: handed out once, gone from the disk before they are.
//!
//! See docs/SPEC.md, section "What a node gives".

use std::time::Duration;

use rand_core::CryptoRng;

use super::record::{decode_prekey, door_key, encode_prekey, prekey_key, prekey_scope};
use super::settings::{PREKEYS_KEPT_MAX, TAG_PREKEYS_MAX};
use super::{Host, HostFact, Refusal};
use crate::mailbox::{Admission, Answer, QueueKey, RefusalCode};
use crate::prekey::{Offer as PrekeyOffer, SignedPrekey};
use crate::store::{Row, Store, Table};

/// Keys that are over and thrown away in one draw.
const THROWN: usize = 16;

const DAY: Duration = Duration::from_secs(24 * 3_600);

impl<S: Store, R: CryptoRng> Host<S, R> {
    /// Hands out one of each kind, as far as there are any.
    pub(super) fn draw(&mut self, admission: &Admission) -> Result<Answer, Refusal> {
        let (tag, mut door) = self.admit(admission, &[])?;
        let queue = door.queue;
        match admission {
            Admission::Token(_) if door.prekeys >= TAG_PREKEYS_MAX => {
                return Err(Refusal::later(RefusalCode::QuotaExceeded, DAY));
            }
            Admission::Token(_) => door.prekeys = door.prekeys.saturating_add(1),
            Admission::Work { .. } => self
                .limits
                .stranger(queue, self.now.mono)
                .map_err(|wait| Refusal::later(RefusalCode::QuotaExceeded, wait))?,
        }
        let offer =
            PrekeyOffer { x25519: self.hand_out(queue, 0)?, ml_kem: self.hand_out(queue, 1)? };
        self.store.put(door_key(tag), door.encode());
        self.counts.prekeys = self.counts.prekeys.saturating_add(1);
        self.fact(HostFact::Prekeys);
        Ok(Answer::Prekeys(offer))
    }

    fn hand_out(&mut self, queue: QueueKey, kind: usize) -> Result<Option<SignedPrekey>, Refusal> {
        let scope = prekey_scope(queue, kind);
        let rows = self.store.scan(Table::MailboxPrekey, &scope, &[], THROWN)?;
        for Row { value, .. } in rows {
            let prekey = decode_prekey(&value)?;
            self.store.delete(prekey_key(queue, kind, prekey.id));
            self.change(queue, |rental| {
                if let Some(stock) = rental.stock.get_mut(kind) {
                    stock.left = stock.left.saturating_sub(1);
                }
            });
            if prekey.expires > self.now.wall {
                return Ok(Some(prekey));
            }
        }
        Ok(None)
    }

    /// Takes prekeys into stock. What was left before, or is too much, is passed over.
    pub(super) fn stock(&mut self, queue: QueueKey, kind: usize, mut prekeys: Vec<SignedPrekey>) {
        prekeys.sort_by_key(|prekey| prekey.id);
        for prekey in prekeys {
            let takes = self.change(queue, |rental| {
                let Some(stock) = rental.stock.get_mut(kind) else { return false };
                let is_new = prekey.id > stock.last && u64::from(stock.left) < PREKEYS_KEPT_MAX;
                if is_new {
                    stock.last = prekey.id;
                    stock.left = stock.left.saturating_add(1);
                }
                is_new
            });
            if takes == Some(true) {
                self.store.put(prekey_key(queue, kind, prekey.id), encode_prekey(prekey));
            }
        }
    }
}
