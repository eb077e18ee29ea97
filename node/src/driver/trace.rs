//! Which line of the log belongs to which request or frame.
//!
//! ```text
//!   request or frame ─ span with its id ─> engine ─> batch N ─> "durable" batch=N, in every such span
//!                                                     └─> "leaves", in the span of batch N
//! ```
//!
//! An id is for this machine: no command to the network has a place for one.

use std::collections::VecDeque;

use bitchat_protocol::store::BatchId;
use rand::TryRng;
use tracing::{Level, Span};

/// Spans that are remembered until their batch is durable; more are not, and miss that one line.
const SPANS_MAX: usize = 4_096;

/// The spans whose writes are on their way to the disk. Empty unless somebody logs traces.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Of inputs since the last batch.
    open: Vec<Span>,
    flying: VecDeque<(BatchId, Vec<Span>)>,
}

/// The span of one frame of a peer, with an id of its own.
pub(super) fn frame() -> Span {
    if !tracing::enabled!(Level::TRACE) {
        return Span::none();
    }
    let id = rand::rngs::SysRng.try_next_u64().unwrap_or_default();
    tracing::trace_span!("frame", id = format_args!("{id:016x}"))
}

impl Traces {
    /// An input was handled in this span.
    pub(super) fn handled(&mut self, span: &Span) {
        let known =
            self.open.len() + self.flying.iter().map(|(_, spans)| spans.len()).sum::<usize>();
        if tracing::enabled!(Level::TRACE) && !span.is_disabled() && known < SPANS_MAX {
            self.open.push(span.clone());
        }
    }

    /// A batch leaves for the disk with all that was written since the last one.
    pub(super) fn sealed(&mut self, batch: BatchId) {
        if !self.open.is_empty() {
            self.flying.push_back((batch, std::mem::take(&mut self.open)));
        }
    }

    /// The disk has the batch.
    pub(super) fn durable(&mut self, batch: BatchId) {
        while self.flying.front().is_some_and(|(first, _)| *first <= batch) {
            let Some((batch, spans)) = self.flying.pop_front() else { return };
            for span in spans {
                span.in_scope(|| tracing::trace!(batch = batch.0, "durable"));
            }
        }
    }

    /// The engine is gone with all that it had written.
    pub(super) fn abandoned(&mut self) {
        *self = Self::default();
    }
}
