//! Looks after the mailboxes that we rent: a warning stands while some of them keep nothing for us.

use std::time::Duration;

use bitchat_protocol::engine::{Command, MailboxState, MailboxView, Reply};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::control::{Handle, NodeStatus, Warning};
use crate::metrics::WarningCode;

/// Between looks. The engine tries each node by itself; this only asks what came of it.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Runs until it is told to stop.
pub(super) async fn run(
    handle: Handle,
    status: watch::Sender<NodeStatus>,
    stop: CancellationToken,
) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => {}
        }
        // An engine that does not answer has other warnings.
        if let Ok(Reply::Mailboxes(mailboxes)) = handle.ask(Command::MailboxList).await {
            publish(&status, warning(&mailboxes));
        }
    }
}

fn publish(status: &watch::Sender<NodeStatus>, warning: Option<Warning>) {
    status.send_if_modified(|status| status.warn_anew(WarningCode::MailboxUnreachable, warning));
}

/// Names nobody: whoever reads the status need not know where we rent.
fn warning(mailboxes: &[MailboxView]) -> Option<Warning> {
    let fails = |view: &&MailboxView| match view.state {
        MailboxState::Renting | MailboxState::Active => false,
        MailboxState::Unreachable | MailboxState::Refused(_) | MailboxState::Lapsed => true,
    };
    let failing = mailboxes.iter().filter(fails).count();
    (failing > 0).then(|| Warning {
        code: WarningCode::MailboxUnreachable,
        message: format!(
            "{failing} of {} mailboxes do not answer or keep nothing for you",
            mailboxes.len()
        ),
        hint: "see `bitchat mailbox list`; remove one that does not come back and rent another"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use bitchat_protocol::id::DeviceId;
    use bitchat_protocol::mailbox::RefusalCode;

    use super::*;

    fn view(state: MailboxState) -> MailboxView {
        MailboxView {
            node: DeviceId([1; 32]),
            addresses: Vec::new(),
            rank: 0,
            state,
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
    fn the_warning_stands_while_a_mailbox_keeps_nothing() {
        let (publisher, status) = watch::channel(NodeStatus::starting(
            std::path::PathBuf::new(),
            std::time::Instant::now(),
        ));
        let stands = || status.borrow().warnings.iter().map(|it| it.code).collect::<Vec<_>>();

        for bad in [
            MailboxState::Unreachable,
            MailboxState::Refused(RefusalCode::NoMailboxes),
            MailboxState::Lapsed,
        ] {
            publish(&publisher, warning(&[view(MailboxState::Active), view(bad)]));
            assert_eq!(stands(), [WarningCode::MailboxUnreachable], "{bad:?}");
        }
        let told = status.borrow().warnings.first().map(|it| it.message.clone());
        assert!(told.is_some_and(|told| told.starts_with("1 of 2 ")));

        publish(&publisher, warning(&[view(MailboxState::Active), view(MailboxState::Renting)]));
        assert_eq!(stands(), []);
    }
}
