//! One value of a key, read from a file, the environment or a flag.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::key::Kind;

/// A value. In JSON it has the type that it has here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

impl Value {
    /// From the file; `None` if it is of another kind.
    pub(super) fn from_toml(kind: Kind, value: &toml::Value) -> Option<Self> {
        Some(match kind {
            Kind::Flag => Self::Flag(value.as_bool()?),
            Kind::Number => Self::Number(value.as_integer()?.try_into().ok()?),
            Kind::Text => Self::Text(value.as_str()?.to_owned()),
            Kind::List => {
                let texts = value.as_array()?.iter().map(|text| Some(text.as_str()?.to_owned()));
                Self::List(texts.collect::<Option<_>>()?)
            }
        })
    }

    /// From the environment or a flag; `None` if it is of another kind.
    pub(super) fn from_text(kind: Kind, text: &str) -> Option<Self> {
        Some(match kind {
            Kind::Flag => Self::Flag(text.parse().ok()?),
            Kind::Number => Self::Number(text.parse().ok()?),
            Kind::Text => Self::Text(text.to_owned()),
            Kind::List => {
                let texts = text.split(',').map(str::trim).filter(|text| !text.is_empty());
                Self::List(texts.map(str::to_owned).collect())
            }
        })
    }
}

/// As it would stand in the file.
impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{}", toml::Value::from(text.as_str())),
            Self::List(texts) => write!(f, "{}", toml::Value::from(texts.clone())),
        }
    }
}
