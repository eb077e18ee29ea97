//! JSON lines: `schema` first, nothing in them that a terminal obeys.

use std::fmt::Write as _;

use serde::Serialize;

use crate::error::UserError;
use crate::sanitise;

/// Version of every object that this program prints.
const SCHEMA: u8 = 1;

#[derive(Serialize)]
struct Versioned<'a, T> {
    schema: u8,
    #[serde(flatten)]
    body: &'a T,
}

#[derive(Serialize)]
struct Failure<'a> {
    error: FailureBody<'a>,
}

#[derive(Serialize)]
struct FailureBody<'a> {
    code: &'a str,
    category: &'a str,
    message: &'a str,
    hint: &'a str,
    retry_after_ms: Option<u128>,
}

#[derive(Serialize)]
struct Warning<'a> {
    warning: WarningBody<'a>,
}

#[derive(Serialize)]
struct WarningBody<'a> {
    code: &'a str,
    message: &'a str,
    hint: &'a str,
}

/// One object on one line.
pub(super) fn line<T: Serialize>(body: &T) -> Result<String, UserError> {
    serde_json::to_string(&Versioned { schema: SCHEMA, body })
        .map(|text| escape(&text))
        .map_err(|_| UserError::internal("an answer has no JSON form"))
}

/// An error as one object.
pub(super) fn error(error: &UserError) -> String {
    let body = FailureBody {
        code: &error.code,
        category: error.category.as_str(),
        message: &error.message,
        hint: &error.hint,
        retry_after_ms: error.retry_after.map(|wait| wait.as_millis()),
    };
    line(&Failure { error: body }).unwrap_or_default()
}

/// A warning as one object.
pub(super) fn warning(code: &str, message: &str, hint: &str) -> String {
    line(&Warning { warning: WarningBody { code, message, hint } }).unwrap_or_default()
}

/// Writes format and C1 characters as `\u....`: the same JSON, harmless on a terminal. Such
/// characters occur only inside strings, so the text need not be parsed.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if sanitise::is_hazard(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_schema_stands_first() {
        assert_eq!(line(&json!({"a": 1})).unwrap(), r#"{"schema":1,"a":1}"#);
    }

    #[test]
    fn an_error_has_its_five_fields() {
        let text = error(&UserError::usage("x", "m", "h"));

        let expected = r#"{"schema":1,"error":{"code":"x","category":"usage","message":"m","hint":"h","retry_after_ms":null}}"#;
        assert_eq!(text, expected);
    }

    proptest! {
        #[test]
        fn escaping_changes_the_bytes_but_not_the_value(text in any::<String>(), c in any::<char>()) {
            let value = json!({ "text": format!("{text}{c}\u{9b}\u{202e}\u{e0041}") });

            let printed = line(&value).unwrap();

            prop_assert!(!printed.chars().any(sanitise::is_hazard));
            let read: Value = serde_json::from_str(&printed).unwrap();
            prop_assert_eq!(&read["text"], &value["text"]);
        }
    }
}
