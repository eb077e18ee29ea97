//! `bitchat contact invite`: a link that makes somebody a contact.
//!
//! The link stands alone on stdout.

use crate::args::Span;
use crate::client::Client;
use crate::commands::contact::qr;
use crate::error::Stop;
use crate::output::Output;

/// Print an invitation link; whoever adds it becomes a contact
#[derive(Debug, clap::Args)]
pub(crate) struct Invite {
    /// Draw a QR code of the short link, too
    #[arg(long)]
    qr: bool,
    /// Valid for one person only
    #[arg(long)]
    once: bool,
    /// Valid for this long: 30s 5m 2h 1d [default: until revoked]
    #[arg(long, value_name = "SPAN")]
    expires: Option<Span>,
}

impl Invite {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let invitation = client.invite(self.once, self.expires).await?;
        out.answer(&invitation, |_| invitation.link.clone())?;
        if self.qr && !out.is_json() {
            out.line(&qr(&invitation.short)?)?;
        }
        Ok(())
    }
}
