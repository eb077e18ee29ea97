//! `bitchat id`: who am I?
//!
//! Exit codes: 0, or those of reaching the node (docs/CLI.md).

use crate::client::Client;
use crate::commands::contact::qr;
use crate::error::Stop;
use crate::output::Output;
use crate::sanitise;

/// Show this profile's account, device and addresses
#[derive(Debug, clap::Args)]
pub(crate) struct Id {
    /// Draw the account as a QR code, too
    #[arg(long)]
    qr: bool,
}

impl Id {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let identity = client.identity().await?;
        out.answer(&identity, |_| {
            let mut lines = vec![
                format!("name      {}", sanitise::name(&identity.nickname)),
                format!("account   {}", sanitise::line(&identity.account)),
                format!("device    {}", sanitise::line(&identity.device)),
            ];
            let addresses = identity.addresses.iter();
            lines.extend(addresses.map(|address| format!("address   {}", sanitise::line(address))));
            lines.join("\n")
        })?;
        if self.qr && !out.is_json() {
            out.line(&qr(&identity.account)?)?;
        }
        Ok(())
    }
}
