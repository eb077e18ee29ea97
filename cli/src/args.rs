//! The command line: global flags and what clap says when it is wrong.
//!
//! The doc comments are the help. Global flags stand before or after the verb. Wrong usage exits
//! with 1, not with clap's 2, which means a bug here.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ErrorKind};
use clap::{CommandFactory, Parser, ValueEnum};

use crate::commands::Verb;
use crate::error::UserError;

mod duration;
mod state;

pub(crate) use duration::{Span, brief, precise};
pub(crate) use state::State;

/// A serverless messenger: end-to-end encrypted, device to device.
///
/// Start with `bitchat init`, then `bitchat daemon`, or see it work with `bitchat demo`.
#[derive(Debug, Parser)]
#[command(name = "bitchat", version, max_term_width = 100)]
#[command(propagate_version = false, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags that every command takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Globals {
    /// Directory of the profile: settings, keys, messages, socket, lock
    #[arg(long, global = true, value_name = "DIR", env = "BITCHAT_HOME", hide_env_values = true)]
    #[arg(help_heading = "Global options")]
    pub(crate) home: Option<PathBuf>,

    /// Profile in the data directory of this user; --home goes before
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    #[arg(help_heading = "Global options")]
    pub(crate) profile: String,

    /// File that holds the passphrase; `-`: first line of stdin
    #[arg(long, global = true, value_name = "FILE", env = "BITCHAT_PASSPHRASE_FILE")]
    #[arg(hide_env_values = true, help_heading = "Global options")]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// Key file, the second factor of a profile that has one
    #[arg(long, global = true, value_name = "FILE", env = "BITCHAT_KEY_FILE")]
    #[arg(hide_env_values = true, help_heading = "Global options")]
    pub(crate) key_file: Option<PathBuf>,

    /// One JSON object a line on stdout; errors as JSON on stderr
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,

    /// No remarks and confirmations: only what was asked for, and errors
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,

    /// No colours (so does the environment variable `NO_COLOR`)
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) no_color: bool,

    /// Form of the log on stderr [default: that of config.toml, or pretty]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Global options")]
    pub(crate) log_format: Option<LogFormat>,

    /// More log; twice: much more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    #[arg(help_heading = "Global options")]
    pub(crate) verbose: u8,
}

/// Form of the log: for people, or one JSON object a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Pretty,
    Json,
}

impl LogFormat {
    /// The word in the settings.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
        }
    }
}

/// What there is to do instead of a command.
#[derive(Debug)]
pub(crate) enum Instead {
    /// Print this and be done: help or version.
    Print(String),
    /// Say what is wrong.
    Fail {
        /// What.
        error: UserError,
        /// Whether the error is wanted as JSON.
        json: bool,
    },
}

/// Reads the command line.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Cli, Instead> {
    // Looked for by hand, because a command line that clap refuses has no parsed flags.
    let json = arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    Cli::try_parse_from(arguments).map_err(|error| {
        if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
            Instead::Print(error.to_string())
        } else {
            Instead::Fail { error: from_clap(&error, arguments), json }
        }
    })
}

/// Clap's message as cause and way out.
fn from_clap(error: &clap::Error, arguments: &[OsString]) -> UserError {
    let text = error.to_string();
    let cause: Vec<&str> = text
        .lines()
        .take_while(|line| !line.is_empty() && !line.starts_with("Usage:"))
        .map(str::trim)
        .collect();
    let cause = cause.join(" ");
    let missing = matches!(
        error.kind(),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand
    );
    let cause = cause.strip_prefix("error: ").unwrap_or(&cause);
    let cause = if missing { "a command is missing" } else { cause };
    let see = format!("see `{} --help`", command_path(arguments));
    let hint = match suggestion(error) {
        Some(other) => format!("did you mean `{other}`? {see}"),
        None => see,
    };
    UserError::usage("usage", cause, hint)
}

/// The likely word in place of a mistyped one.
fn suggestion(error: &clap::Error) -> Option<String> {
    [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| error.get(kind))
        .map(ToString::to_string)
        .filter(|words| !words.is_empty())
}

/// `bitchat contact add` out of what was typed: clap does not say where a wrong value stood.
fn command_path(arguments: &[OsString]) -> String {
    let mut command = Cli::command();
    let mut path = vec![command.get_name().to_owned()];
    for word in arguments.iter().skip(1) {
        if let Some(inner) = command.find_subcommand(word).cloned() {
            path.push(inner.get_name().to_owned());
            command = inner;
        }
    }
    path.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_definition_of_the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_stand_before_or_after_the_verb() {
        for line in ["bitchat --json --home /h status", "bitchat status --home /h --json"] {
            let cli = parse(&words(line)).unwrap();
            assert!(cli.globals.json);
            assert_eq!(cli.globals.home, Some(PathBuf::from("/h")));
        }
    }

    #[test]
    fn a_mistyped_flag_is_a_usage_error_with_the_nearest_flag() {
        let Err(Instead::Fail { error, json }) = parse(&words("bitchat send bob hi --wiat sent"))
        else {
            panic!("accepted");
        };

        assert_eq!(error.exit(), 1);
        assert!(!json);
        assert!(error.hint.contains("--wait"), "{}", error.hint);
        assert!(error.hint.contains("`bitchat send --help`"), "{}", error.hint);
    }
}
