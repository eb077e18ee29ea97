//! Mailboxes that we rent at other nodes, as JSON, and how they are named.

use bitchat_protocol::engine::{MailboxState, MailboxView};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::RefusalCode;
use serde::Serialize;

use super::peer_id;
use super::problem::Problem;
use super::request::bad;

/// The shortest part of a peer id that names a node: each begins with the same eight characters.
const PART_MIN: usize = 6;

/// A mailbox of ours.
#[derive(Debug, Serialize)]
pub(super) struct Mailbox {
    node: String,
    addresses: Vec<String>,
    rank: u32,
    state: &'static str,
    refusal: Option<&'static str>,
    bytes: u64,
    bytes_max: u64,
    envelopes: u64,
    envelopes_max: u64,
    until_ms: Option<u64>,
    fetched_ms: Option<u64>,
    round_trip_ms: Option<u64>,
    error: Option<&'static str>,
}

/// `GET /v1/mailboxes`
#[derive(Debug, Serialize)]
pub(super) struct Mailboxes {
    pub(super) mailboxes: Vec<Mailbox>,
}

impl From<MailboxView> for Mailbox {
    fn from(view: MailboxView) -> Self {
        let (state, refusal) = match view.state {
            MailboxState::Renting => ("renting", None),
            MailboxState::Active => ("active", None),
            MailboxState::Unreachable => ("unreachable", None),
            MailboxState::Refused(code) => ("refused", Some(word(code))),
            MailboxState::Lapsed => ("lapsed", None),
        };
        let round_trip = view.round_trip.map(|time| time.as_millis());
        Self {
            node: peer_id::text(&view.node),
            addresses: view.addresses,
            rank: view.rank,
            state,
            refusal,
            bytes: view.bytes,
            bytes_max: view.bytes_max,
            envelopes: view.envelopes,
            envelopes_max: view.envelopes_max,
            until_ms: view.until.map(|time| time.0),
            fetched_ms: view.fetched.map(|time| time.0),
            round_trip_ms: round_trip.map(|millis| u64::try_from(millis).unwrap_or(u64::MAX)),
            error: view.error,
        }
    }
}

const fn word(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::Rejected => "rejected",
        RefusalCode::Busy => "busy",
        RefusalCode::Internal => "internal",
        RefusalCode::QuotaExceeded => "quota_exceeded",
        RefusalCode::Unknown => "unknown",
        RefusalCode::Unpaid => "unpaid",
        RefusalCode::NoMailboxes => "no_mailboxes",
    }
}

/// The node of `/../p2p/ID` and its addresses without that part; all must name the same node.
pub(super) fn parse(addresses: &[String]) -> Result<(DeviceId, Vec<String>), Problem> {
    let mut node = None;
    let mut bare = Vec::new();
    for address in addresses {
        let (before, id) = address.rsplit_once("/p2p/").unwrap_or((address, ""));
        let device = peer_id::parse(id)
            .ok_or_else(|| bad(format!("{address} does not end with /p2p/ and a peer id")))?;
        if node.is_some_and(|node| node != device) {
            return Err(bad("the addresses are of several nodes".to_owned()));
        }
        node = Some(device);
        bare.push(before.to_owned());
    }
    node.map(|node| (node, bare)).ok_or_else(|| bad("an address is missing".to_owned()))
}

/// The node that `text` names among `known`: a peer id, or a part of one that no other has.
pub(super) fn find(text: &str, known: &[MailboxView]) -> Result<DeviceId, Problem> {
    if let Some(device) = peer_id::parse(text) {
        return Ok(device);
    }
    let is_named = |view: &&MailboxView| peer_id::text(&view.node).contains(text);
    let mut named = known.iter().filter(is_named);
    match (named.next(), named.next()) {
        (Some(view), None) if text.len() >= PART_MIN => Ok(view.node),
        (Some(_), Some(_)) => Err(bad(format!("several mailboxes have {text} in their peer id"))),
        _ => Err(bad(format!("no mailbox has {text} in its peer id"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(byte: u8) -> MailboxView {
        MailboxView {
            node: DeviceId([byte; 32]),
            addresses: Vec::new(),
            rank: 0,
            state: MailboxState::Active,
            bytes: 0,
            bytes_max: 0,
            envelopes: 0,
            envelopes_max: 0,
            until: None,
            fetched: None,
            error: None,
            round_trip: None,
        }
    }

    #[test]
    fn addresses_of_one_node_are_taken_apart_and_those_of_two_refused() {
        let id = |byte| peer_id::text(&DeviceId([byte; 32]));
        let address = |byte| format!("/ip4/10.0.0.1/tcp/4001/p2p/{}", id(byte));

        let (node, bare) = parse(&[address(1), address(1)]).expect("of one node");

        assert_eq!(node, DeviceId([1; 32]));
        assert_eq!(bare, ["/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.1/tcp/4001"]);
        assert!(parse(&[address(1), address(2)]).is_err());
        assert!(parse(&["/ip4/10.0.0.1/tcp/4001".to_owned()]).is_err());
        assert!(parse(&[]).is_err());
    }

    #[test]
    fn a_part_of_a_peer_id_names_a_node_if_no_other_has_it() {
        let known = [view(1), view(2)];
        let second = peer_id::text(&DeviceId([2; 32]));

        assert_eq!(find(&second, &[]).ok(), Some(DeviceId([2; 32])), "a whole one needs no list");
        assert_eq!(find(&second[44..], &known).ok(), Some(DeviceId([2; 32])));
        assert!(find(&second[..8], &known).is_err(), "both begin so");
        assert!(find(&second[49..], &known).is_err(), "too short");
        assert!(find("nobody", &known).is_err());
    }
}
