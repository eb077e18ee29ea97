//! `bitchat contact add LINK|-`: accept an invitation.
//!
//! Exit codes: 1 malformed or expired link, taken name · 4 the contact's key changed.

use std::io::{self, Read};

use bitchat_proto::limits::LINK_CHARS_MAX;

use super::{person, warn_of_keys};
use crate::client::Client;
use crate::error::{Stop, UserError};
use crate::output::{Output, Paint};

/// Add the person behind an invitation link
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The link (`bitchat:...`); `-`: from stdin
    link: String,
    /// Call the contact this [default: as it calls itself]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl Add {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let link = if self.link == "-" { from_stdin()? } else { self.link };
        let contact = client.add(link.trim(), self.name.as_deref()).await?;
        let known = contact.known == Some(true);
        if known {
            let message = format!("{} was a contact already", person(&contact, Paint::default()));
            let hint = "nothing to do, unless you expected somebody else: compare the fingerprint";
            out.warn("known_contact", &message, hint);
        }
        warn_of_keys(&contact, out);
        out.confirm(&contact, |paint| {
            let word = if known { "kept" } else { "added" };
            format!("{word} {}", person(&contact, paint))
        })?;
        if !contact.verified {
            out.remark("compare the safety number by another way: `bitchat contact show NAME`");
        }
        Ok(())
    }
}

fn from_stdin() -> Result<String, UserError> {
    // One more than allowed, so that the node sees that it is too long; white space on top.
    let bytes = u64::try_from(LINK_CHARS_MAX).unwrap_or(u64::MAX).saturating_add(1_024);
    let mut link = String::new();
    let read = io::stdin().lock().take(bytes).read_to_string(&mut link);
    read.map_err(|error| UserError::io("cannot read the link from stdin", &error))?;
    Ok(link)
}
