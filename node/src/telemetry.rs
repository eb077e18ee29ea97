//! Logs: pretty on a terminal, JSON for machines, always on stderr.
//!
//! JSON is one object a line: `schema`, `timestamp`, `level`, `target`, `fields`, `span`, `spans`.
//! `schema` grows when a field changes its meaning or goes. Control characters are escaped in both
//! forms, so one event is one line whatever its fields hold.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing::field::Field;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{self, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

pub use crate::config::LogFormat as Format;
use crate::config::log_filter;
use crate::error::NodeError;

/// Version of the JSON form.
pub const SCHEMA: u32 = 1;

/// Changes the level of a running process.
#[derive(Clone, Debug)]
pub struct Level(reload::Handle<EnvFilter, Registry>);

impl Level {
    /// Logs by `filter` from now on.
    ///
    /// # Errors
    ///
    /// [`NodeError::Config`] when `filter` is none.
    pub fn set(&self, filter: &str) -> Result<(), NodeError> {
        let filter = parse(filter)?;
        self.0.reload(filter).map_err(|_| NodeError::bug("the log filter is gone"))
    }
}

/// Starts logging for the whole process: `filter` is a level (`info`) or directives
/// (`info,libp2p=warn`). Panics are logged by their place only: their words may hold anything.
///
/// # Errors
///
/// [`NodeError::Config`] when `filter` is none, [`NodeError::Protocol`] when called twice.
pub fn init(filter: &str, format: Format) -> Result<Level, NodeError> {
    let (filter, level) = reload::Layer::new(parse(filter)?);
    tracing_subscriber::registry()
        .with(filter)
        .with(layer(format, is_coloured(), io::stderr))
        .try_init()
        .map_err(|_| NodeError::bug("logging was started twice"))?;
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    Ok(Level(level))
}

/// What libraries may say at most: at their chattier levels they name peers and addresses.
const LIBRARIES: &str = "libp2p=error,multistream_select=error,yamux=off,quinn=error,rustls=error,\
                         hickory=error,netlink=error,if_watch=error,sled=error,hyper=error";

/// A filter, or why it is none.
fn parse(filter: &str) -> Result<EnvFilter, NodeError> {
    log_filter(filter).map_err(refused)?;
    log_filter(&format!("{filter},{LIBRARIES}")).map_err(refused)
}

fn refused(reason: String) -> NodeError {
    NodeError::Config {
        problem: format!("log.level: {reason}"),
        hint: "use error, warn, info, debug or trace, or `info,bitchat_node::network=debug`"
            .to_owned(),
    }
}

/// Colours only for a person who did not refuse them (<https://no-color.org>).
fn is_coloured() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stderr().is_terminal()
}

fn layer<S, W>(format: Format, coloured: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        Format::Pretty => {
            let fields = format::debug_fn(plain).delimited(" ");
            lines.with_ansi(coloured).fmt_fields(fields).boxed()
        }
        Format::Json => lines
            .with_ansi(false)
            .fmt_fields(JsonFields::new())
            .event_format(Versioned(format::format().json()))
            .boxed(),
    }
}

/// Puts the version in front of the library's JSON.
struct Versioned<F>(F);

impl<S, N, F> FormatEvent<S, N> for Versioned<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let rest = line.strip_prefix('{').ok_or(fmt::Error)?;
        write!(writer, "{{\"schema\":{SCHEMA},{rest}")
    }
}

/// Writes one field; control characters become escapes, which keeps an event on its line and
/// the terminal out of the hands of whoever chose the value.
fn plain(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{field}=")?;
    }
    format!("{value:?}").chars().try_for_each(|character| {
        if character.is_control() {
            write!(writer, "{}", character.escape_default())
        } else {
            writer.write_char(character)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex, PoisonError};

    use serde_json::Value;

    use super::*;

    #[test]
    fn a_json_event_is_one_line_with_schema_span_and_fields() {
        let log = Log::default();
        tracing::subscriber::with_default(subscriber(Format::Json, &log), || {
            let span = tracing::info_span!("request", id = "abc");
            span.in_scope(|| tracing::info!(status = 200, name = "a\nb\u{1b}[2J", "answered"));
        });

        let text = log.text();
        let event: Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}'));
        assert_eq!(event["schema"], 1);
        assert_eq!(event["level"], "INFO");
        assert_eq!(event["fields"]["status"], 200);
        assert_eq!(event["span"]["id"], "abc");
        assert!(event["timestamp"].is_string());
    }

    #[test]
    fn a_pretty_event_is_one_line_without_escapes() {
        let log = Log::default();
        tracing::subscriber::with_default(subscriber(Format::Pretty, &log), || {
            tracing::info!(name = %"a\r\nb\u{1b}[2J", "{}", "x\ny");
        });

        let text = log.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_filter_is_a_level_or_directives() {
        assert!(parse("info").is_ok());
        assert!(parse("info,libp2p=warn").is_ok());
        assert_eq!(parse("bitchat=loud").unwrap_err().code(), "config");
    }

    /// What a subscriber wrote.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn subscriber(format: Format, log: &Log) -> impl Subscriber + use<> {
        let log = log.clone();
        tracing_subscriber::registry().with(layer(format, false, move || log.clone()))
    }
}
