//! Where values come from, and which one wins.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;

use super::key::{self, KEYS, Key, Kind};
use super::problem::ConfigError;
use super::value::Value;

/// Variables of ours begin with it; the rest is `SECTION__KEY`.
const PREFIX: &str = "BITCHAT_";

/// What a configuration is made from, weakest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sources<'a> {
    /// The text of `config.toml`.
    pub file: &'a str,
    /// Environment variables, ours and others.
    pub environment: &'a [(String, String)],
    /// `(key, value)` of the command line; the values of one list key add up.
    pub flags: &'a [(&'a str, &'a str)],
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// `config.toml`
    File,
    /// An environment variable.
    Environment,
    /// The command line.
    Flag,
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::File => "config.toml",
            Self::Environment => "environment",
            Self::Flag => "flag",
        })
    }
}

/// One line of `config show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `section.key`
    pub key: &'static str,
    /// Its display is what would stand in the file.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// One value for each key.
#[derive(Clone, Debug)]
pub(super) struct Settled(BTreeMap<&'static str, (Value, Origin)>);

impl Settled {
    /// Lets stronger sources replace the values of weaker ones.
    pub(super) fn from(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let mut settled = Self(BTreeMap::new());
        settled.add_file(&defaults(), Origin::Default)?;
        settled.add_file(sources.file, Origin::File)?;
        settled.add_environment(sources.environment)?;
        settled.add_flags(sources.flags)?;
        Ok(settled)
    }

    /// Every key in the order of the example.
    pub(super) fn rows(&self) -> Vec<Row> {
        let rows = KEYS.iter().filter_map(|key| {
            let (value, origin) = self.0.get(key.name)?;
            Some(Row { key: key.name, value: value.clone(), origin: *origin })
        });
        rows.collect()
    }

    pub(super) fn flag(&self, key: &'static str) -> Result<bool, ConfigError> {
        match self.0.get(key) {
            Some((Value::Flag(flag), _)) => Ok(*flag),
            _ => Err(self.bad(key, "not true or false".to_owned())),
        }
    }

    pub(super) fn text(&self, key: &'static str) -> Result<String, ConfigError> {
        match self.0.get(key) {
            Some((Value::Text(text), _)) => Ok(text.clone()),
            _ => Err(self.bad(key, "not a text".to_owned())),
        }
    }

    pub(super) fn number(
        &self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<u32, ConfigError> {
        let number = match self.0.get(key) {
            Some((Value::Number(number), _)) => u32::try_from(*number).ok(),
            _ => None,
        };
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            self.bad(key, format!("not a number from {} to {}", range.start(), range.end()))
        })
    }

    pub(super) fn texts(&self, key: &'static str) -> Result<Vec<String>, ConfigError> {
        match self.0.get(key) {
            Some((Value::List(texts), _)) => Ok(texts.clone()),
            _ => Err(self.bad(key, "not a list of texts".to_owned())),
        }
    }

    /// A list of what could be multiaddresses; the network parses them fully.
    pub(super) fn addresses(&self, key: &'static str) -> Result<Vec<String>, ConfigError> {
        let texts = self.texts(key)?;
        match texts.iter().find(|text| !text.starts_with('/')) {
            None => Ok(texts),
            Some(wrong) => Err(self.bad(key, format!("{wrong} is no multiaddress"))),
        }
    }

    /// An error about a key's present value.
    pub(super) fn bad(&self, key: &'static str, reason: String) -> ConfigError {
        let origin = self.0.get(key).map_or(Origin::Default, |(_, origin)| *origin);
        ConfigError::BadValue { key, origin, reason }
    }

    fn add_file(&mut self, text: &str, origin: Origin) -> Result<(), ConfigError> {
        let table: toml::Table = text.parse().map_err(|error| syntax(text, &error))?;
        for (section, value) in &table {
            let Some(keys) = value.as_table() else {
                known(section, origin)?; // Never: every key has a section.
                continue;
            };
            if keys.is_empty() && !KEYS.iter().any(|key| key.name.starts_with(section.as_str())) {
                known(section, origin)?;
            }
            for (name, value) in keys {
                let key = known(&format!("{section}.{name}"), origin)?;
                let value = Value::from_toml(key.kind, value);
                self.put(key, value, origin)?;
            }
        }
        Ok(())
    }

    fn add_environment(&mut self, variables: &[(String, String)]) -> Result<(), ConfigError> {
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            // `BITCHAT_HOME` and the like belong to the program.
            let Some((section, key)) = rest.split_once("__") else {
                if key::is_secret(rest) {
                    let key = name.clone();
                    return Err(ConfigError::Secret { key, origin: Origin::Environment });
                }
                continue;
            };
            let dotted = format!("{section}.{key}").to_ascii_lowercase();
            let key = known(&dotted, Origin::Environment)?;
            self.put(key, Value::from_text(key.kind, text), Origin::Environment)?;
        }
        Ok(())
    }

    fn add_flags(&mut self, flags: &[(&str, &str)]) -> Result<(), ConfigError> {
        for (name, text) in flags {
            let key = known(name, Origin::Flag)?;
            let mut value = Value::from_text(key.kind, text);
            let earlier = self.0.get(key.name).filter(|(_, origin)| *origin == Origin::Flag);
            if let (Some((Value::List(earlier), _)), Some(Value::List(more))) = (earlier, &value) {
                value = Some(Value::List(earlier.iter().chain(more).cloned().collect()));
            }
            self.put(key, value, Origin::Flag)?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        key: &'static Key,
        value: Option<Value>,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        let Some(value) = value else {
            let reason = match key.kind {
                Kind::Flag => "must be true or false",
                Kind::Number => "must be a whole number, 0 or more",
                Kind::Text => "must be a text in quotes",
                Kind::List => "must be a list of texts, [\"...\"]",
            };
            return Err(ConfigError::BadValue { key: key.name, origin, reason: reason.to_owned() });
        };
        self.0.insert(key.name, (value, origin));
        Ok(())
    }
}

/// The key of a name, or why there is none. Never the value: it may be a secret.
fn known(name: &str, origin: Origin) -> Result<&'static Key, ConfigError> {
    if let Some(key) = key::find(name) {
        return Ok(key);
    }
    let key = name.to_owned();
    if key::is_secret(name) {
        return Err(ConfigError::Secret { key, origin });
    }
    Err(ConfigError::UnknownKey { key, origin, nearest: key::nearest(name) })
}

/// The parser's words without the excerpt, which could hold a secret.
fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    ConfigError::Syntax {
        line: before.matches('\n').count() + 1,
        reason: error.message().to_owned(),
    }
}

/// The defaults as a file, so that they are read and checked like one.
fn defaults() -> String {
    let lines = KEYS.iter().map(|key| format!("{} = {}\n", key.name, key.default));
    lines.collect()
}
