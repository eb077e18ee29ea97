//! The settings as this command line leaves them: flags over environment over `config.toml`.

use std::io::ErrorKind;

use bitchat_node::config::{Config, ConfigError, Sources};
use bitchat_node::error::NodeError;
use bitchat_node::home::Home;
use bitchat_node::telemetry::{self, Level};

use crate::args::Globals;
use crate::error::{UserError, reason};

/// Variables that belong to this program and not to the settings.
const OURS: &[&str] = &["BITCHAT_HOME", "BITCHAT_PASSPHRASE_FILE", "BITCHAT_KEY_FILE"];

/// What flags of one command change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides(Vec<(&'static str, String)>);

impl Overrides {
    /// The flags that every command takes.
    pub(crate) fn of(globals: &Globals) -> Self {
        let mut overrides = Self::default();
        overrides.set("log.format", globals.log_format.map(|format| format.as_str().to_owned()));
        overrides.set("log.level", level(globals.verbose).map(str::to_owned));
        overrides
    }

    /// Sets a key, if there is a value.
    pub(crate) fn set(&mut self, key: &'static str, value: Option<String>) {
        self.0.extend(value.map(|value| (key, value)));
    }
}

/// Reads the settings of a profile. A missing file is an empty one.
pub(crate) fn load(home: &Home, overrides: &Overrides) -> Result<Config, UserError> {
    Ok(read(home, overrides)?)
}

/// As [`load`], for who tells the node rather than a person.
pub(crate) fn read(home: &Home, overrides: &Overrides) -> Result<Config, NodeError> {
    let path = home.config();
    let file = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(ConfigError::Unreadable { path, reason: reason(&error) }.into());
        }
    };
    let environment: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !OURS.contains(&name.as_str()))
        .collect();
    let flags: Vec<(&str, &str)> =
        overrides.0.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let sources = Sources { file: &file, environment: &environment, flags: &flags };
    Ok(Config::load(&sources)?)
}

/// Starts the log of this process; returns what changes its level.
pub(crate) fn start_log(config: &Config) -> Result<Level, UserError> {
    Ok(telemetry::init(&config.log.level, config.log.format)?)
}

/// How much `-v` asks for.
const fn level(verbose: u8) -> Option<&'static str> {
    match verbose {
        0 => None,
        1 => Some("debug"),
        _ => Some("trace"),
    }
}
