//! Where the passphrase comes from: a file, the first line of stdin, or a prompt.
//!
//! Never from an argument or the environment, which other users and logs can see; the environment
//! may name a file (`BITCHAT_PASSPHRASE_FILE`).

use std::io::{self, BufRead, IsTerminal, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bitchat_node::error::NodeError;
use zeroize::Zeroizing;

use crate::args::Globals;
use crate::error::{UserError, reason};
use crate::output::Output;

mod keyboard;

use keyboard::Keyboard;

/// Longest passphrase, in bytes: far beyond anything typed, so a wrong file is noticed.
const BYTES_MAX: u64 = 4_096;

/// A passphrase or a recovery phrase.
pub(crate) type Secret = Zeroizing<String>;

/// Reads the passphrase that the flags or the environment name; `None` if they name none.
pub(crate) fn given(globals: &Globals, out: &mut Output) -> Result<Option<Secret>, UserError> {
    let path = globals.passphrase_file.as_deref();
    path.map(|path| from_path(path, out)).transpose()
}

/// Reads the passphrase in a file; `-`: the first line of stdin.
pub(crate) fn from_path(path: &Path, out: &mut Output) -> Result<Secret, UserError> {
    if is_stdin(path) { first_line() } else { from_file(path, out) }
}

/// Reads the passphrase now if it comes from stdin: its line must not be taken for a message, even
/// where a daemon makes the passphrase unnecessary.
pub(crate) fn given_on_stdin(globals: &Globals) -> Result<Option<Secret>, UserError> {
    match globals.passphrase_file.as_deref() {
        Some(path) if is_stdin(path) => first_line().map(Some),
        _ => Ok(None),
    }
}

/// Asks for the passphrase; `None` if there is nobody to ask.
pub(crate) fn ask() -> Result<Option<Secret>, UserError> {
    ask_for("Passphrase: ")
}

/// Asks a question; `None` if there is nobody to ask.
pub(crate) fn ask_for(question: &str) -> Result<Option<Secret>, UserError> {
    if somebody_is_there() { prompt(question).map(Some) } else { Ok(None) }
}

/// Asks for a new passphrase, twice.
pub(crate) fn ask_new() -> Result<Secret, UserError> {
    if !somebody_is_there() {
        let hint = "give `--passphrase-file FILE` (`-`: first line of stdin), or `--no-passphrase` \
            to keep the keys unprotected";
        return Err(UserError { hint: hint.to_owned(), ..NodeError::NoPassphrase.into() });
    }
    let first = prompt("New passphrase: ")?;
    let second = prompt("Again: ")?;
    if *first == *second {
        return Ok(first);
    }
    Err(UserError::usage("passphrases_differ", "the two passphrases differ", "type them again"))
}

/// Reads the 24 words: asked for on a terminal, else what stdin still holds.
pub(crate) fn recovery_words() -> Result<Secret, UserError> {
    if io::stdin().is_terminal() {
        return prompt("The 24 words: ");
    }
    let mut words = Zeroizing::new(String::new());
    let read = io::stdin().lock().take(BYTES_MAX).read_to_string(&mut words);
    read.map_err(|error| UserError::io("cannot read the 24 words from stdin", &error))?;
    Ok(words)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Whether a prompt would be seen. It goes to the terminal itself, so a text may be piped in
/// meanwhile; but a program that keeps both streams to itself must not be left waiting.
fn somebody_is_there() -> bool {
    io::stdin().is_terminal() || io::stderr().is_terminal()
}

fn prompt(question: &str) -> Result<Secret, UserError> {
    let answer = Keyboard::silent().and_then(|keyboard| keyboard.ask(question));
    answer.map_err(|error| {
        if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::Interrupted) {
            return NodeError::NoPassphrase.into();
        }
        UserError::io("cannot read from the terminal", &error)
    })
}

fn first_line() -> Result<Secret, UserError> {
    let mut line = Zeroizing::new(String::new());
    let read = io::stdin().lock().take(BYTES_MAX).read_line(&mut line);
    read.map_err(|error| UserError::io("cannot read the passphrase from stdin", &error))?;
    without_newline(line, "stdin")
}

fn from_file(path: &Path, out: &mut Output) -> Result<Secret, UserError> {
    let shown = path.display().to_string();
    let unreadable = |error: io::Error| {
        let message = format!("cannot read the passphrase file {shown}: {}", reason(&error));
        let hint = "name a file that you can read by `--passphrase-file FILE`";
        UserError::usage("passphrase_file", message, hint)
    };
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    // Pipes and the like belong to whoever made them for us.
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        let message = format!("others may read the passphrase file {shown}");
        out.warn("loose_passphrase_file", &message, &format!("run `chmod 600 '{shown}'`"));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.by_ref().take(BYTES_MAX).read_to_string(&mut text);
    read.map_err(unreadable)?;
    without_newline(text, &shown)
}

/// Strips the newline that editors and `echo` append, and nothing else. A second line is no part
/// of a passphrase that a prompt could take: rather the wrong file than a key nobody can type.
fn without_newline(mut text: Secret, from: &str) -> Result<Secret, UserError> {
    if u64::try_from(text.len()).is_ok_and(|length| length >= BYTES_MAX) {
        let message = format!("{from} holds more than a passphrase");
        return Err(UserError::usage("passphrase_file", message, "name the right file"));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.contains(['\n', '\r']) {
        let message = format!("{from} holds more than one line");
        let hint = "keep the passphrase alone in the file, on its first line";
        return Err(UserError::usage("passphrase_file", message, hint));
    }
    if text.is_empty() {
        let message = format!("{from} holds no passphrase");
        let hint = "write the passphrase on its first line";
        return Err(UserError::usage("passphrase_file", message, hint));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &str) -> Option<String> {
        without_newline(Zeroizing::new(text.to_owned()), "x").ok().map(|text| text.to_string())
    }

    #[test]
    fn a_second_line_is_refused() {
        for text in ["a\nb", "a\nb\n", "a\n\n", "a\rb"] {
            assert_eq!(stripped(text), None, "{text:?}");
        }
    }

    #[test]
    fn one_newline_is_stripped_and_spaces_stay() {
        assert_eq!(stripped("a b \n").as_deref(), Some("a b "));
        assert_eq!(stripped("a\r\n").as_deref(), Some("a"));
        assert_eq!(stripped("\n"), None);
        assert_eq!(stripped(&"x".repeat(5_000)), None);
    }
}
