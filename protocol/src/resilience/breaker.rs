//! Circuit breaker for one operation with one peer.
//!
//! ```text
//!            failures in a row                 until passed, asked again
//!   Closed ───────────────────────> Open ────────────────────────────────> HalfOpen
//!     ^                              ^                                      │   │
//!     │                              └────────────── one failure ───────────┘   │
//!     └─────────────────────── as many successes as probes ────────────────────┘
//! ```
//!
//! Sans-IO: time comes in as `now`, on the monotonic clock only; decisions go out as values. Leave to
//! act is a `Pass` that is handed back once. A pass belongs to the state in which it was given
//! (its generation), so a late answer says nothing about a newer state; a probe that is never handed
//! back gives its slot back at its deadline, so a breaker cannot stay half-open for ever.
//!
//! It does not judge what a failure is, keeps no timer, and does not know who the peer is. See
//! docs/SPEC.md, "Circuit breakers", and docs/decisions/0024-circuit-breakers.md.

mod map;

pub use map::{BREAKERS_MAX, Breakers, Counts, Move, Operation, Permit, Seen, Withheld};

use std::time::Duration;

use rand_core::CryptoRng;

use crate::time::Moment;

/// How long a probe keeps its slot without an answer: longer than any operation of ours waits for one.
pub const PROBE_MAX: Duration = Duration::from_secs(120);

/// Added to every time but the first that a breaker stays open: up to this part of it, so that the
/// probes of many peers spread.
const JITTER_PERCENT: u32 = 20;

/// The thresholds of every breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open the first time.
    pub open_for: Duration,
    /// What that doubles up to, before jitter.
    pub open_max: Duration,
    /// Requests let through when it is half-open, and successes that close it.
    pub probes: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            failures: 5,
            open_for: Duration::from_secs(60),
            open_max: Duration::from_secs(900),
            probes: 3,
        }
    }
}

impl Policy {
    /// How long a breaker stays open that has opened `before` times without closing.
    fn pause(&self, before: u32, rng: &mut impl CryptoRng) -> Duration {
        if before == 0 {
            return self.open_for;
        }
        let factor = 1u32.checked_shl(before).unwrap_or(u32::MAX);
        let doubled = self.open_for.saturating_mul(factor).min(self.open_max.max(self.open_for));
        let most = doubled.saturating_mul(JITTER_PERCENT) / 100;
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        // The bias of the remainder is below 2^-30 for any pause under five hours.
        doubled + Duration::from_micros(rng.next_u64() % most.saturating_add(1))
    }
}

/// What a breaker does with the next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Lets it through.
    Closed,
    /// Lets a few through to see.
    HalfOpen,
    /// Refuses it.
    Open,
}

impl State {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Closed, Self::HalfOpen, Self::Open];

    /// The word in JSON and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The peer answered: also with busy, with a limit, or with the fault of a task.
    Success,
    /// It did not; says how, for a person.
    Failure(&'static str),
}

/// Leave for one request.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "hand it back, or its failure is never counted and its slot is held until its deadline"]
struct Pass {
    generation: u64,
    /// Which probe it is; `None` while closed.
    probe: Option<u64>,
}

impl Pass {
    /// For a peer without a breaker: there was no failure, so it is closed and never moved.
    const UNTRACKED: Self = Self { generation: 0, probe: None };

    const fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

/// Decides whether requests may leave.
#[derive(Debug)]
struct Breaker {
    circuit: Circuit,
    /// Counts state changes.
    generation: u64,
    /// Times that it has opened since it was last closed.
    opened: u32,
    /// The last failure.
    cause: &'static str,
}

#[derive(Debug)]
enum Circuit {
    Closed { failures: u32 },
    Open { until: Moment },
    HalfOpen { passed: u32, given: u64, under_way: Vec<(u64, Moment)> },
}

impl Breaker {
    const fn new() -> Self {
        Self { circuit: Circuit::Closed { failures: 0 }, generation: 0, opened: 0, cause: "" }
    }

    const fn state(&self) -> State {
        match self.circuit {
            Circuit::Closed { .. } => State::Closed,
            Circuit::Open { .. } => State::Open,
            Circuit::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Asks leave for one request.
    ///
    /// # Errors
    ///
    /// When to ask again: when it half-opens, or when the first probe under way loses its slot.
    fn ask(&mut self, policy: &Policy, now: Moment) -> Result<Pass, Moment> {
        if let Circuit::Open { until } = self.circuit {
            if now < until {
                return Err(until);
            }
            self.turn(Circuit::HalfOpen { passed: 0, given: 0, under_way: Vec::new() });
        }
        let generation = self.generation;
        let Circuit::HalfOpen { passed, given, under_way } = &mut self.circuit else {
            return Ok(Pass { generation, probe: None });
        };
        under_way.retain(|(_, deadline)| now < *deadline);
        let taken = u32::try_from(under_way.len()).unwrap_or(u32::MAX).saturating_add(*passed);
        if taken >= policy.probes
            && let Some(first) = under_way.iter().map(|(_, deadline)| *deadline).min()
        {
            return Err(first);
        }
        *given = given.saturating_add(1);
        under_way.push((*given, now + PROBE_MAX));
        Ok(Pass { generation, probe: Some(*given) })
    }

    /// Whether a request would be refused, and until when; changes nothing.
    fn refuses(&self, policy: &Policy, now: Moment) -> Option<Moment> {
        match &self.circuit {
            Circuit::Closed { .. } => None,
            Circuit::Open { until } => (now < *until).then_some(*until),
            Circuit::HalfOpen { passed, under_way, .. } => {
                let standing = || under_way.iter().filter(|(_, deadline)| now < *deadline);
                let taken = u32::try_from(standing().count()).unwrap_or(u32::MAX);
                (taken.saturating_add(*passed) >= policy.probes)
                    .then(|| standing().map(|(_, deadline)| *deadline).min())
                    .flatten()
            }
        }
    }

    /// Takes back a pass. One of an older state, and a probe past its deadline, count for nothing.
    fn record(
        &mut self,
        pass: &Pass,
        outcome: Outcome,
        policy: &Policy,
        now: Moment,
        rng: &mut impl CryptoRng,
    ) {
        if pass.generation != self.generation {
            return;
        }
        if let Outcome::Failure(cause) = outcome {
            self.cause = cause;
        }
        match (&mut self.circuit, outcome) {
            (Circuit::Closed { failures }, Outcome::Success) => *failures = 0,
            (Circuit::Closed { failures }, Outcome::Failure(_)) => {
                *failures = failures.saturating_add(1);
                if *failures >= policy.failures {
                    self.open(policy, now, rng);
                }
            }
            (Circuit::HalfOpen { passed, under_way, .. }, outcome) => {
                let Some(at) = under_way
                    .iter()
                    .position(|(number, deadline)| pass.probe == Some(*number) && now < *deadline)
                else {
                    return;
                };
                under_way.remove(at);
                if outcome != Outcome::Success {
                    return self.open(policy, now, rng);
                }
                *passed = passed.saturating_add(1);
                if *passed >= policy.probes {
                    self.close();
                }
            }
            (Circuit::Open { .. }, _) => {} // Gives no passes, so none has its generation.
        }
    }

    /// Closes it, whatever it is: something else has shown that the peer is well.
    fn close(&mut self) {
        self.opened = 0;
        if let Circuit::Closed { failures } = &mut self.circuit {
            *failures = 0;
        } else {
            self.turn(Circuit::Closed { failures: 0 });
        }
    }

    /// Failures in a row while it is closed.
    const fn failures(&self) -> u32 {
        match self.circuit {
            Circuit::Closed { failures } => failures,
            Circuit::Open { .. } | Circuit::HalfOpen { .. } => 0,
        }
    }

    /// When it lets requests through again, if it is open.
    const fn until(&self) -> Option<Moment> {
        match self.circuit {
            Circuit::Open { until } => Some(until),
            Circuit::Closed { .. } | Circuit::HalfOpen { .. } => None,
        }
    }

    /// The last failure; empty if there was none.
    const fn cause(&self) -> &'static str {
        self.cause
    }

    /// Whether it says what a new one would say.
    const fn is_fresh(&self) -> bool {
        self.generation == 0 && self.failures() == 0
    }

    fn open(&mut self, policy: &Policy, now: Moment, rng: &mut impl CryptoRng) {
        let until = now + policy.pause(self.opened, rng);
        self.opened = self.opened.saturating_add(1);
        self.turn(Circuit::Open { until });
    }

    fn turn(&mut self, circuit: Circuit) {
        self.circuit = circuit;
        self.generation = self.generation.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
