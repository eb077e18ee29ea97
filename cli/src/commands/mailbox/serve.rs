//! `bitchat mailbox serve-status`: what does this node keep for others?
//!
//! Exit codes: those of reaching the node.

use crate::args::brief;
use crate::client::{Client, Serving};
use crate::error::Stop;
use crate::output::Output;
use crate::sanitise;

/// Show what this node keeps for others, its terms, and the address to hand out
#[derive(Debug, clap::Args)]
pub(crate) struct ServeStatus {}

impl ServeStatus {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let serving = client.serving().await?;
        out.answer(&serving, |_| describe(&serving))
    }
}

fn describe(serving: &Serving) -> String {
    if !serving.enabled {
        return "this node keeps no mailboxes; `[mailbox] enabled = true` in config.toml and a \
                daemon change that"
            .to_owned();
    }
    let access = if serving.needs_access { "a word of the operator" } else { "work" };
    let mut lines = vec![
        format!("takes         {}", if serving.taking { "yes" } else { "no" }),
        format!("rentals       {} of {}", serving.rentals, serving.rentals_max),
        format!("envelopes     {}", serving.envelopes),
        format!("bytes         {}", size(serving.bytes)),
        format!("custody       {} since the start", serving.custody),
        format!("refusals      {} since the start", serving.refusals),
        format!("evictions     {} since the start", serving.evictions),
        format!(
            "each mailbox  {}, {} envelopes, kept {}",
            size(serving.bytes_max),
            serving.envelopes_max,
            brief(serving.keep_ms)
        ),
        format!("to rent       {access}; strangers do work of {} bits", serving.work_bits),
    ];
    let addresses = serving.addresses.iter();
    lines.extend(addresses.map(|address| format!("hand out      {}", sanitise::line(address))));
    lines.join("\n")
}

/// In the unit that leaves at most four digits.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes / 1_024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_told_in_the_unit_that_keeps_it_short() {
        for (bytes, told) in
            [(0, "0 B"), (10_239, "10239 B"), (10_240, "10 KiB"), (64 << 20, "64 MiB")]
        {
            assert_eq!(size(bytes), told);
        }
    }
}
