//! What a command says when it fails: cause, way out, exit code.
//!
//! Exit codes are those of `Category`; docs/CLI.md lists them. A reader of stdout that went away
//! is no failure: [`Stop::PipeClosed`] ends the program with 0.

use std::borrow::Cow;
use std::time::Duration;

use bitchat_node::error::{Category, NodeError};

/// A failure, as the user sees it. Texts may come from peers; `Output` cleans them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserError {
    /// Stable word for scripts.
    pub(crate) code: Cow<'static, str>,
    /// Decides the exit code.
    pub(crate) category: Category,
    /// What happened.
    pub(crate) message: String,
    /// What to type now.
    pub(crate) hint: String,
    /// When the same request can pass.
    pub(crate) retry_after: Option<Duration>,
}

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Nobody reads stdout any more: success.
    PipeClosed,
    /// It failed.
    Failed(UserError),
}

impl UserError {
    /// Wrong arguments.
    pub(crate) fn usage(
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::new(Category::Usage, code, message, hint)
    }

    /// Input or output of this program failed.
    pub(crate) fn io(what: &str, error: &std::io::Error) -> Self {
        let hint = "look at the path, its permissions and the free space";
        Self::new(Category::Network, "io", format!("{what}: {}", reason(error)), hint)
    }

    /// A bug of ours.
    pub(crate) fn internal(what: &str) -> Self {
        let hint = "report it with the command that you typed and `bitchat --version`";
        Self::new(Category::Internal, "internal", format!("internal error: {what}"), hint)
    }

    /// Any failure.
    pub(crate) fn new(
        category: Category,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (message, hint) = (without_numbers(&message.into()), hint.into());
        Self { code: code.into(), category, message, hint, retry_after: None }
    }

    /// The exit code.
    pub(crate) const fn exit(&self) -> u8 {
        self.category.exit()
    }
}

impl From<NodeError> for UserError {
    fn from(error: NodeError) -> Self {
        let message = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.message()),
            None => error.message(),
        };
        Self {
            retry_after: error.retry_after(),
            ..Self::new(error.category(), error.code(), message, error.hint())
        }
    }
}

impl From<UserError> for Stop {
    fn from(error: UserError) -> Self {
        Self::Failed(error)
    }
}

impl From<NodeError> for Stop {
    fn from(error: NodeError) -> Self {
        Self::Failed(error.into())
    }
}

/// What the system said, without the number that Rust appends.
pub(crate) fn reason(error: &std::io::Error) -> String {
    without_numbers(&error.to_string()).to_lowercase()
}

/// A message without the numbers of system errors, ` (os error 13)`, which say nothing to people.
fn without_numbers(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(')');
        match rest {
            Some(rest) => clean.push_str(rest),
            None => clean.extend([" (os error ", part]),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_system_error_is_not_shown() {
        let error = std::io::Error::from_raw_os_error(13);

        assert_eq!(reason(&error), "permission denied");
        let listen = NodeError::Listen { address: "a".to_owned(), reason: error.to_string() };
        assert!(!UserError::from(listen).message.contains("os error"));
        assert_eq!(without_numbers("a (os error 13): b (os error 2)"), "a: b");
        assert_eq!(without_numbers("a (os error x) (os error"), "a (os error x) (os error");
    }

    #[test]
    fn a_failure_of_the_node_keeps_its_code_and_exit_code() {
        let error = UserError::from(NodeError::LockHeld { pid: Some(7) });

        assert_eq!((error.code.as_ref(), error.exit()), ("lock_held", 9));
        assert!(error.message.contains("process 7"));
    }
}
