//! What the node tells operators: status, gauges, warnings.

use bitchat_protocol::copies::CopiesSeen;
use bitchat_protocol::engine::{Fact, Input};
use bitchat_protocol::prekey::PrekeyUse;

use super::{Driver, copies};
use crate::control::{NodeStatus, OutboxStatus, PeerStatus, Warning, peer_id};
use crate::metrics::label::{Direction, Queue, Transport};
use crate::metrics::{Traffic, WarningCode};
use crate::network::{Count, PeerInfo};

impl Driver {
    #[expect(clippy::cognitive_complexity, reason = "a tracing macro counts as seven branches")]
    pub(super) fn fact(&mut self, fact: &Fact) {
        self.ends.metrics.observe(fact);
        self.show(fact);
        if let Fact::Copies(seen) = fact {
            self.warn_of_copies(*seen);
        }
        if let Fact::KeysUnanswered { changed, blocked } = fact {
            self.keys = (*changed, *blocked);
            self.report();
        }
        if let Fact::ClockJumped { skew_ms } = fact {
            self.skew_ms = *skew_ms;
            self.report();
        }
        if let Fact::RateLimited { class, .. } = fact {
            self.rejected.count(*class);
        }
        match level(fact) {
            Level::Error => tracing::error!(?fact),
            Level::Warn => tracing::warn!(?fact),
            Level::Debug => tracing::debug!(?fact),
            Level::Trace => tracing::trace!(?fact),
        }
    }

    /// Keeps what `status` shows.
    fn show(&self, fact: &Fact) {
        let status = &self.ends.status;
        if let Fact::Outbox { rows, oldest_ms } = fact {
            let outbox = OutboxStatus { rows: *rows, oldest_ms: *oldest_ms };
            status.send_modify(|status| status.outbox = outbox);
        }
        if let Fact::Breakers(counts) = fact {
            status.send_modify(|status| status.breakers = *counts);
        }
        if let Fact::LimitKeys(keys) = fact {
            status.send_modify(|status| status.limits.keys = *keys);
        }
        if let Fact::Prekeys(left) = fact {
            status.send_modify(|status| {
                (status.prekeys.x25519, status.prekeys.ml_kem) = (left.x25519, left.ml_kem);
            });
        }
        if let Fact::SessionFounded { prekeys: PrekeyUse::LastResort, .. } = fact {
            status.send_modify(|status| {
                let sessions = &mut status.prekeys.last_resort_sessions;
                *sessions = sessions.saturating_add(1);
            });
        }
    }

    /// Makes the standing warnings say what is known now.
    fn warn_of_copies(&self, seen: CopiesSeen) {
        let warnings = copies::warnings(seen);
        for warning in &warnings {
            tracing::warn!(code = warning.code.as_str(), "{}", warning.message);
        }
        self.ends.status.send_modify(|status| {
            status.warnings.retain(|warning| !copies::CODES.contains(&warning.code));
            status.warnings.extend(warnings);
        });
    }

    pub(super) fn every_second(&mut self) {
        self.look_at_room();
        self.reopen();
        self.ends.mail.door.flush();
        self.release_held();
        if self.is_open() && self.may_write() {
            self.feed(Input::Timeout); // An idle engine learns of a clock that was set.
        }
        self.report_erasure();
        self.report_queues();
        let rejected = self.rejected.second();
        self.ends.status.send_if_modified(|status| {
            std::mem::replace(&mut status.limits.rejected, rejected) != rejected
        });
        self.report();
    }

    /// Publishes how far the store is behind with forgetting.
    fn report_erasure(&mut self) {
        let Some(erasure) = self.running.as_ref().map(|running| running.store.erasure()) else {
            return;
        };
        // A store that was opened anew counts from 0 again.
        let moved = erasure.moved.checked_sub(self.moved).unwrap_or(erasure.moved);
        self.moved = erasure.moved;
        self.ends.metrics.erasure(erasure.epoch_age, erasure.unerased_age, moved);
        let warning = erasure.is_overdue.then(|| overdue(erasure.failure.as_deref()));
        let publish =
            |status: &mut NodeStatus| status.warn_anew(WarningCode::ErasureOverdue, warning);
        self.ends.status.send_if_modified(publish);
    }

    /// Publishes where something waits, and what the network counted.
    fn report_queues(&self) {
        let (ends, counted) = (&self.ends, &self.ends.counters);
        for (queue, count) in [
            (Queue::Commands, ends.requests.len()),
            (Queue::Heard, ends.heard.len()),
            (Queue::Outgoing, self.outgoing.len()),
            (Queue::Replies, self.replies.len()),
        ] {
            ends.metrics.queued(queue, count);
        }
        ends.metrics.traffic(&Traffic {
            frames: [counted.frames_in.get(), counted.frames_out.get()],
            streams: [counted.streams_accepted.get(), counted.streams_opened.get()],
            refusals: [counted.refusals_in.get(), counted.refusals_out.get()],
            dials_failed: counted.dials_failed.get(),
            connections_refused: counted.connections_refused.get(),
        });
    }

    /// Publishes what changed since the last time.
    pub(super) fn report(&mut self) {
        let peers = self.ends.peers.borrow().clone();
        let storage = self.storage_refuses();
        let ready = !storage && (!self.ends.listens || !self.addresses.is_empty());
        let (disk, keys) = (self.disk_warning(), key_warning(self.keys));
        let clock = clock_warning(self.skew_ms);
        self.ends.status.send_modify(|status| {
            status.ready = ready;
            status.peers = peers.iter().map(peer_status).collect();
            status.addresses.clone_from(&self.addresses);
            status.storage_refuses = storage;
            let exhausted = status.prekeys.is_exhausted() && self.running.is_some();
            status.warn(WarningCode::DiskLow, disk);
            status.warn(WarningCode::PrekeysLow, exhausted.then(prekeys_low));
            status.warn(WarningCode::UnverifiedKeyChange, keys);
            status.warn(WarningCode::ClockSkew, clock);
        });
        let standing: Vec<_> = self.ends.status.borrow().warnings.iter().map(|w| w.code).collect();
        self.ends.metrics.warnings(standing);
        self.ends.metrics.degraded(&self.ends.status.borrow().degraded());
        self.report_links();
    }

    /// Publishes new addresses at once: a start waits for them.
    pub(super) fn report_addresses(&mut self) {
        if self.ends.status.borrow().addresses != self.addresses {
            self.report();
        }
    }

    fn report_links(&self) {
        let (opened, closed) =
            (&self.ends.counters.connections_opened, &self.ends.counters.connections_closed);
        let standing = |opened: &Count, closed: &Count| {
            u32::try_from(opened.get().saturating_sub(closed.get())).unwrap_or(u32::MAX)
        };
        let metrics = &self.ends.metrics;
        for (transport, direction, count) in [
            (
                Transport::Tcp,
                Direction::Inbound,
                standing(&opened.tcp_inbound, &closed.tcp_inbound),
            ),
            (
                Transport::Tcp,
                Direction::Outbound,
                standing(&opened.tcp_outbound, &closed.tcp_outbound),
            ),
            (
                Transport::Quic,
                Direction::Inbound,
                standing(&opened.quic_inbound, &closed.quic_inbound),
            ),
            (
                Transport::Quic,
                Direction::Outbound,
                standing(&opened.quic_outbound, &closed.quic_outbound),
            ),
        ] {
            metrics.links(transport, direction, count);
        }
    }
}

/// What was deleted more than an hour ago is not erased, and why.
fn overdue(failure: Option<&str>) -> Warning {
    let why = failure.map_or_else(|| "it is still at work".to_owned(), ToOwned::to_owned);
    Warning {
        code: WarningCode::ErasureOverdue,
        message: format!("what was deleted more than an hour ago is not erased yet: {why}"),
        hint:
            "see that the disk takes writes to `data/keys` in the home; the node goes on by itself"
                .to_owned(),
    }
}

/// The wall clock is not where it would be if nobody had set it.
fn clock_warning(skew_ms: i64) -> Option<Warning> {
    let seconds = skew_ms.unsigned_abs() / 1_000;
    let direction = if skew_ms > 0 { "ahead" } else { "back" };
    (skew_ms != 0).then(|| Warning {
        code: WarningCode::ClockSkew,
        message: format!(
            "the clock was set {direction} by {seconds} s while the node ran; nothing expires for it"
        ),
        hint: "set it right (`timedatectl`); if it is right now, restart the node".to_owned(),
    })
}

fn prekeys_low() -> Warning {
    Warning {
        code: WarningCode::PrekeysLow,
        message: "no one-time prekeys are left; new sessions start on the last-resort key".to_owned(),
        hint: "keys that founded nothing come back within 37 days; see docs/SPEC.md, \"One-time prekeys\""
            .to_owned(),
    }
}

/// Names nobody: whoever reads the status need not see the contacts.
fn key_warning((changed, blocked): (usize, usize)) -> Option<Warning> {
    let contacts = if changed == 1 { "contact" } else { "contacts" };
    let waiting =
        if blocked > 0 { format!("; {blocked} blocked until then") } else { String::new() };
    (changed > 0).then(|| Warning {
        code: WarningCode::UnverifiedKeyChange,
        message: format!(
            "{changed} {contacts} with a new device that you have not trusted{waiting}"
        ),
        hint: "see `bitchat contact list`, ask the contact whether it is its own, then \
            `bitchat contact trust NAME`"
            .to_owned(),
    })
}

enum Level {
    Error,
    Warn,
    Debug,
    Trace,
}

/// How loud a fact is: a bug is an error, a bound reached wakes somebody, a message is a trace.
const fn level(fact: &Fact) -> Level {
    match fact {
        Fact::Bug(_) => Level::Error,
        Fact::BoundReached(_) | Fact::KeyChanged { .. } | Fact::ClockJumped { .. } => Level::Warn,
        Fact::SessionHealed(_)
        | Fact::Unreadable(_)
        | Fact::Refused(_)
        | Fact::SealDropped
        | Fact::RateLimited { .. }
        | Fact::SessionFounded { .. }
        | Fact::PrekeysExhausted
        | Fact::BreakerMoved(_)
        | Fact::KeysEvicted(_)
        | Fact::Gap => Level::Debug,
        Fact::Outbox { .. }
        | Fact::LimitKeys(_)
        | Fact::KeysUnanswered { .. }
        | Fact::Breakers(_)
        | Fact::Queued
        | Fact::Copies(_)
        | Fact::Reached { .. }
        | Fact::Received
        | Fact::Duplicate
        | Fact::KemMixed
        | Fact::KeysSkipped(_)
        | Fact::Retried
        | Fact::RetryHeld
        | Fact::SendKnown
        | Fact::Prekeys(_)
        | Fact::Step(..) => Level::Trace,
    }
}

fn peer_status(peer: &PeerInfo) -> PeerStatus {
    PeerStatus {
        peer: peer_id::text(&peer.device),
        device: peer.device,
        path: peer.path.as_str().to_owned(),
        rtt_ms: peer.rtt.map(|rtt| u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overdue_erasure_says_why() {
        let warning = overdue(Some("Bad file descriptor"));

        assert_eq!(warning.code, WarningCode::ErasureOverdue);
        assert!(warning.message.contains("Bad file descriptor"), "{}", warning.message);
        assert!(overdue(None).message.contains("at work"));
    }
}
