//! One request to the control API.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

/// Method, path and body of a request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: &'static str,
    path: String,
    body: Option<Value>,
    takes: Duration,
}

impl Request {
    /// A question.
    pub(crate) fn get(path: &'static str) -> Self {
        Self::new("GET", path, None)
    }

    /// Something to do.
    pub(crate) fn post(path: &'static str, body: Value) -> Self {
        Self::new("POST", path, Some(body))
    }

    /// Something to change; the last part of the path comes from the user.
    pub(crate) fn patch(path: &'static str, who: &str, body: Value) -> Self {
        Self::new("PATCH", path, Some(body)).at(who)
    }

    /// Something to remove; the last part of the path comes from the user.
    pub(crate) fn delete(path: &'static str, who: &str) -> Self {
        Self::new("DELETE", path, None).at(who)
    }

    /// Whether a part that comes from the user is empty: such a path has no route.
    pub(crate) fn is_nameless(&self) -> bool {
        self.path.contains("//") || self.path.ends_with('/') || self.path.contains("/?")
    }

    /// Adds a part of the path that comes from the user.
    pub(crate) fn at(mut self, part: &str) -> Self {
        self.path.push('/');
        self.path.push_str(&encode(part));
        self
    }

    /// Adds a part of the path that we know.
    pub(crate) fn then(mut self, part: &'static str) -> Self {
        self.path.push('/');
        self.path.push_str(part);
        self
    }

    /// Adds a field of the query, if it is there.
    pub(crate) fn with(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.path.push(if self.path.contains('?') { '&' } else { '?' });
            // Writing to a String cannot fail.
            let _ = write!(self.path, "{name}={}", encode(&value.to_string()));
        }
        self
    }

    /// Says how long the node may wait before it answers.
    pub(crate) const fn taking(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }

    /// How long the node may wait before it answers.
    pub(crate) const fn takes(&self) -> Duration {
        self.takes
    }

    /// As HTTP wants it.
    pub(super) fn parts(self) -> (&'static str, String, Option<Vec<u8>>) {
        (self.method, self.path, self.body.map(|body| body.to_string().into_bytes()))
    }

    fn new(method: &'static str, path: &'static str, body: Option<Value>) -> Self {
        Self { method, path: path.to_owned(), body, takes: Duration::ZERO }
    }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986. A lone `.` or `..` would
/// be taken for a step in the path, so dots are encoded too.
fn encode(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_types_stays_one_part_of_the_path() {
        let (_, path, _) =
            Request::get("/v1/history").at("../a b?c#ü").with("max", Some(3)).parts();

        assert_eq!(path, "/v1/history/%2E%2E%2Fa%20b%3Fc%23%C3%BC?max=3");
    }

    #[test]
    fn absent_fields_of_the_query_are_left_out() {
        let request =
            Request::get("/v1/inbox").with("since", None::<u64>).with("reader", Some("a&b"));

        assert_eq!(request.parts().1, "/v1/inbox?reader=a%26b");
    }
}
