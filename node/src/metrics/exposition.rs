//! The two text forms: OpenMetrics, and the classic one that older tools read.
//!
//! ```text
//!   OpenMetrics                              classic 0.0.4
//!   # TYPE bitchat_retries counter           # TYPE bitchat_retries_total counter
//!   bitchat_retries_total 1                  bitchat_retries_total 1
//!   # TYPE bitchat_build info                # TYPE bitchat_build_info gauge
//!   # UNIT ..., # EOF                        (none)
//! ```

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// A text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4.
    Classic,
}

impl Format {
    /// The form that an `Accept` header asks for; classic unless OpenMetrics is named.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let named = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next() == Some("application/openmetrics-text");
            named && !parts.any(|part| matches!(part, "q=0" | "q=0.0"))
        };
        if accept.split(',').any(named) { Self::OpenMetrics } else { Self::Classic }
    }

    /// The media type of a reply.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The registry as text.
pub(super) fn encode(registry: &Registry, format: Format) -> String {
    let mut open = String::new();
    // Writing to a string cannot fail; a label that refuses to encode leaves the text so far.
    if text::encode(&mut open, registry).is_err() {
        tracing::error!("a metric could not be encoded");
    }
    match format {
        Format::OpenMetrics => open,
        Format::Classic => classic(&open),
    }
}

/// Renames in the comments what the classic form names differently; samples are the same.
fn classic(open: &str) -> String {
    let mut text = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest); // Its name depends on the type, which comes next.
            continue;
        }
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        else {
            push(&mut text, &[line]);
            continue;
        };
        let (suffix, kind) = match kind {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            "unknown" => ("", "untyped"),
            other => ("", other),
        };
        if let Some((_, words)) = help.take().and_then(|help| help.split_once(' ')) {
            push(&mut text, &["# HELP ", name, suffix, " ", words]);
        }
        push(&mut text, &["# TYPE ", name, suffix, " ", kind]);
    }
    text
}

fn push(text: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| text.push_str(part));
    text.push('\n');
}
