//! `bitchat send WHO [TEXT | --stdin]`: one message, one exit code.
//!
//! Exit codes: 0 the state asked for was reached · 3 expired or undeliverable · 6 not in time, still
//! queued · 7 an open circuit breaker · 8 unknown or ambiguous name · 10 rejected by the recipient.

use std::io::{self, Read};
use std::time::Duration;

use bitchat_node::error::{Category, NodeError};
use bitchat_proto::limits::TEXT_BYTES_MAX;
use clap::ValueEnum;

use crate::args::{Span, State, precise};
use crate::client::{Client, Delivery, Wait};
use crate::error::{Stop, UserError};
use crate::output::{self, Output};

/// Send a message to a contact
///
/// Other users of this machine can see the command line: give the text on stdin (`--stdin`) where
/// that matters. Without a daemon the message leaves only while a node runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Send {
    /// Name, account or the start of an account
    who: String,
    /// The message
    #[arg(required_unless_present = "stdin", conflicts_with = "stdin")]
    text: Option<String>,
    /// Read the message from stdin
    #[arg(long)]
    stdin: bool,
    /// State to wait for [default: queued with a daemon, sent without]
    #[arg(long, value_name = "STATE")]
    wait: Option<State>,
    /// How long to wait for it
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    timeout: Span,
    /// Give up after this long, 30d at most [default: 14d]
    #[arg(long, value_name = "SPAN")]
    expires: Option<Span>,
    /// Send once for this id: the same again sends nothing and shows the message of the first time
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

impl Send {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        if self.timeout > Span::DAY {
            let hint = "wait up to `--timeout 1d`; the message goes on by itself";
            return Err(UserError::usage("out_of_range", "the timeout is above 1d", hint).into());
        }
        let text = match self.text {
            Some(text) => text,
            None => from_stdin()?,
        };
        let usual = if client.is_daemon() { State::Queued } else { State::Sent };
        let wait = Wait { state: self.wait.unwrap_or(usual), timeout: self.timeout };
        let delivery =
            client.send(&self.who, &text, wait, self.expires, self.id.as_deref()).await?;
        out.confirm(&delivery, |paint| output::delivery(&delivery, paint))?;
        out.flush()?;
        Ok(outcome(&delivery, wait, client)?)
    }
}

/// Whether a message got as far as was asked.
pub(super) fn outcome(delivery: &Delivery, wait: Wait, client: &Client) -> Result<(), UserError> {
    match delivery.state.as_str() {
        "rejected" => return Err(NodeError::Rejected.into()),
        "expired" => return Err(NodeError::Expired.into()),
        "undeliverable" => return Err(NodeError::Undeliverable.into()),
        _ => {}
    }
    if reaches(&delivery.state, wait.state) {
        return Ok(());
    }
    if let Some(withheld) = &delivery.withheld {
        let retry_after = Duration::from_millis(withheld.retry_after_ms);
        return Err(NodeError::PeerUnavailable(retry_after).into());
    }
    let state = &delivery.state;
    let (so_far, hint) = if reaches(state, State::Delivered) {
        (
            format!("it is {state}"),
            "nothing is left to do; the recipient may choose not to say more".to_owned(),
        )
    } else {
        let so_far = if state == State::Queued.as_str() { "still" } else { "so far" };
        if client.is_daemon() {
            (
                format!("{so_far} {state}, will go on"),
                format!("see it with `bitchat queue show {}`", delivery.id),
            )
        } else {
            let message = format!("{so_far} {state}, will go on when a node runs");
            (message, "start one with `bitchat daemon`".to_owned())
        }
    };
    let message = format!("not {} within {}: {so_far}", wait.state, precise(wait.timeout));
    Err(UserError::new(Category::TimedOut, "timed_out", message, hint))
}

/// Whether `state` is the rung `wanted` or a later one.
pub(super) fn reaches(state: &str, wanted: State) -> bool {
    State::from_str(state, false).is_ok_and(|state| state >= wanted)
}

/// The message on stdin, without the newline that `echo` appends.
fn from_stdin() -> Result<String, UserError> {
    let limit = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(2);
    let mut bytes = Vec::new();
    let read = io::stdin().lock().take(limit).read_to_end(&mut bytes);
    read.map_err(|error| UserError::io("cannot read the message from stdin", &error))?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.len() > TEXT_BYTES_MAX {
        let message = format!("the message has more than {TEXT_BYTES_MAX} bytes");
        let hint = "split it into several messages";
        return Err(UserError::usage("text_too_long", message, hint));
    }
    String::from_utf8(bytes).map_err(|_| {
        let hint = "send text only; convert it with `iconv -t utf-8`";
        UserError::usage("not_utf8", "the message on stdin is not UTF-8 text", hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_state_satisfies_an_earlier_one() {
        assert!(reaches("delivered", State::Sent));
        assert!(reaches("sent", State::Sent));
        assert!(!reaches("queued", State::Sent));
        assert!(!reaches("expired", State::Queued));
        assert!(!reaches("no such state", State::Queued));
    }
}
