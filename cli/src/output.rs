//! The only module that prints.
//!
//! ```text
//!   stdout   what was asked for: lines for people, or one JSON object a line
//!   stderr   remarks, warnings, errors
//! ```
//!
//! A closed stdout ends the program with success ([`Stop::PipeClosed`]): `bitchat receive | head`
//! is no error. Nothing is acknowledged before [`Output::flush`] has succeeded.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};

use serde::Serialize;

use crate::args::Globals;
use crate::error::{Stop, UserError};
use crate::sanitise;

mod json;
mod mark;
mod message;
mod pipe;
mod time;

pub(crate) use mark::mark;
pub(crate) use message::{Text, conversation, delivery, received};
pub(crate) use time::stamp;

/// Where a command writes.
pub(crate) struct Output {
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
    style: Style,
    is_pipe: bool,
    buffered: u64,
    flushed: u64,
}

/// How a command writes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    json: bool,
    quiet: bool,
    colour: bool,
    ascii: bool,
}

/// A few colours, for terminals.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Colour {
    /// Failure.
    Red,
    /// Verified, delivered.
    Green,
    /// Of less weight.
    Dim,
}

/// How lines for people are drawn: in colours or not, with characters of Unicode or of ASCII alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paint {
    colour: bool,
    ascii: bool,
}

impl Output {
    /// Writes to the standard streams as the flags say.
    pub(crate) fn new(globals: &Globals) -> Self {
        let plain = globals.no_color
            || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let terminal = io::stdout().is_terminal();
        let colour = !plain && !globals.json && terminal;
        // A pipe carries bytes; only a terminal has to draw them.
        let ascii = terminal && !mark::is_utf8(|name| std::env::var(name).ok());
        Self::standard(Style { json: globals.json, quiet: globals.quiet, colour, ascii })
    }

    /// For errors that come before the flags are known.
    pub(crate) fn plain(json: bool) -> Self {
        Self::standard(Style { json, ..Style::default() })
    }

    fn standard(style: Style) -> Self {
        let stdout = Box::new(BufWriter::new(io::stdout()));
        let stderr = Box::new(io::stderr());
        Self { stdout, stderr, style, is_pipe: pipe::is_stdout(), buffered: 0, flushed: 0 }
    }

    /// Whether JSON is wanted.
    pub(crate) const fn is_json(&self) -> bool {
        self.style.json
    }

    /// Colours for lines on stdout.
    pub(crate) const fn paint(&self) -> Paint {
        Paint { colour: self.style.colour, ascii: self.style.ascii }
    }

    /// The answer of a command: as one JSON object, or as the lines that `human` makes.
    pub(crate) fn answer<T: Serialize>(
        &mut self,
        body: &T,
        human: impl FnOnce(Paint) -> String,
    ) -> Result<(), Stop> {
        if self.style.json { self.object(body) } else { self.line(&human(self.paint())) }
    }

    /// A confirmation: JSON always, a line for people unless `--quiet`.
    pub(crate) fn confirm<T: Serialize>(
        &mut self,
        body: &T,
        human: impl FnOnce(Paint) -> String,
    ) -> Result<(), Stop> {
        if self.style.quiet && !self.style.json { Ok(()) } else { self.answer(body, human) }
    }

    /// One JSON object on a line of stdout, `schema` first.
    pub(crate) fn object<T: Serialize>(&mut self, body: &T) -> Result<(), Stop> {
        let text = json::line(body)?;
        self.line(&text)
    }

    /// One line (or several) on stdout.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Stop> {
        let written = self.stdout.write_all(text.as_bytes());
        written.and_then(|()| self.stdout.write_all(b"\n")).map_err(|error| stopped(&error))?;
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX).saturating_add(1);
        self.buffered = self.buffered.saturating_add(bytes);
        Ok(())
    }

    /// Bytes of a file on stdout.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.stdout.write_all(bytes).map_err(|error| stopped(&error))
    }

    /// Whether stdout is a terminal, where nobody wants the bytes of a file.
    pub(crate) fn is_terminal() -> bool {
        io::stdout().is_terminal()
    }

    /// Hands everything to the reader of stdout.
    pub(crate) fn flush(&mut self) -> Result<(), Stop> {
        self.stdout.flush().map_err(|error| stopped(&error))?;
        self.flushed = self.flushed.saturating_add(std::mem::take(&mut self.buffered));
        Ok(())
    }

    /// Whether stdout is a pipe, so that [`Output::taken`] knows more than [`Output::flushed`].
    pub(crate) const fn is_pipe(&self) -> bool {
        self.is_pipe
    }

    /// Bytes handed over so far.
    pub(crate) const fn flushed(&self) -> u64 {
        self.flushed
    }

    /// Those of the bytes that the reader of stdout took: of a pipe, what does not lie in it.
    pub(crate) fn taken(&self) -> u64 {
        let unread = if self.is_pipe { pipe::unread() } else { 0 };
        self.flushed.saturating_sub(unread)
    }

    /// Whether nobody can read stdout any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.is_pipe && pipe::is_abandoned()
    }

    /// Something worth knowing, on stderr, for people only.
    pub(crate) fn remark(&mut self, text: &str) {
        if !self.style.quiet && !self.style.json {
            self.complain(text);
        }
    }

    /// Something that may go wrong later, on stderr.
    pub(crate) fn warn(&mut self, code: &str, message: &str, hint: &str) {
        if self.style.json {
            self.complain(&json::warning(code, message, hint));
            return;
        }
        self.complain(&format!("bitchat: warning: {}", sanitise::line(message)));
        if !hint.is_empty() {
            self.complain(&format!("bitchat: hint: {}", sanitise::line(hint)));
        }
    }

    /// Why the command failed, on stderr.
    pub(crate) fn fail(&mut self, error: &UserError) {
        if self.style.json {
            self.complain(&json::error(error));
            return;
        }
        self.complain(&format!("bitchat: error: {}", sanitise::line(&error.message)));
        self.complain(&format!("bitchat: hint: {}", sanitise::line(&error.hint)));
        if let Some(wait) = error.retry_after {
            let seconds = wait.as_millis().div_ceil(1_000);
            self.complain(&format!("bitchat: retry-after: {seconds}s"));
        }
    }

    /// One JSON object on a line of stderr, whatever the flags say.
    pub(crate) fn log<T: Serialize>(&mut self, body: &T) {
        if let Ok(text) = json::line(body) {
            self.complain(&text);
        }
    }

    /// One line of stderr as it is.
    pub(crate) fn complain(&mut self, text: &str) {
        // Nobody is left to tell when stderr itself is closed.
        // In one piece, so that a log line of another thread cannot fall into it.
        let _ = self.stderr.write_all(format!("{text}\n").as_bytes());
        let _ = self.stderr.flush();
    }
}

/// Stdout for bytes that are no text. A reader sees by the file itself whether it is whole.
pub(crate) fn raw() -> impl Write {
    BufWriter::new(io::stdout())
}

impl Debug for Output {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("style", &self.style).finish_non_exhaustive()
    }
}

impl Paint {
    /// The same without colours, for cells of a table.
    pub(crate) const fn plain(self) -> Self {
        Self { colour: false, ..self }
    }

    /// The first where the terminal can draw it, else the second.
    pub(crate) const fn either(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.ascii { ascii } else { unicode }
    }

    /// `text` in a colour.
    pub(crate) fn on(self, colour: Colour, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Red => "31",
            Colour::Green => "32",
            Colour::Dim => "2",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

fn stopped(error: &io::Error) -> Stop {
    if error.kind() == ErrorKind::BrokenPipe {
        Stop::PipeClosed
    } else {
        UserError::io("cannot write to stdout", error).into()
    }
}

/// Columns of a table for people, the last one ragged. Cells are clean already.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}
