//! `bitchat peers`: to whom am I connected, and how? Who is left alone, and why?

use crate::args::brief;
use crate::client::{self, Client};
use crate::error::Stop;
use crate::output::{Output, table};
use crate::sanitise;

/// List connected devices, and those left alone because they failed
#[derive(Debug, clap::Args)]
pub(crate) struct Peers {}

impl Peers {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let peers = client.peers().await?;
        if out.is_json() {
            return peers.iter().try_for_each(|peer| out.object(peer));
        }
        if peers.is_empty() {
            out.remark("no connections");
            return Ok(());
        }
        out.line(&table(&peers.iter().map(row).collect::<Vec<_>>()))
    }
}

fn row(peer: &client::Peer) -> Vec<String> {
    vec![
        sanitise::line(&peer.peer),
        sanitise::line(peer.path.as_deref().unwrap_or("-")),
        peer.rtt_ms.map_or_else(|| "-".to_owned(), |rtt| format!("{rtt} ms")),
        peer.contact.as_deref().map_or_else(String::new, sanitise::name),
        peer.breakers.iter().map(describe).collect::<Vec<_>>().join("; "),
    ]
}

/// Such as `dial open for 41s (no address answered a dial)`.
fn describe(breaker: &client::Breaker) -> String {
    let state = match (breaker.state.as_str(), breaker.retry_after_ms, breaker.failures) {
        ("half_open", ..) => "being tried again".to_owned(),
        ("open", Some(0) | None, _) => "open, tried again when something waits".to_owned(),
        ("open", Some(left), _) => format!("open for {}", brief(left)),
        ("closed", _, 0) => "well again".to_owned(),
        ("closed", _, failures) => format!("failed {failures} times in a row"),
        (other, ..) => sanitise::line(other),
    };
    let (operation, cause) = (sanitise::line(&breaker.operation), sanitise::line(&breaker.cause));
    format!("{operation} {state} ({cause})")
}
