//! Tells a daemon that thinks from one that hangs.
//!
//! A process that was stopped or is stuck keeps its lock, and the kernel takes connections for it.
//! One route is answered without the engine: no answer there is no daemon.

use std::future::pending;
use std::time::Duration;

use bitchat_node::error::NodeError;
use tokio::time::{sleep, timeout};

use super::{Request, Socket};
use crate::error::UserError;

/// Most answers are there sooner; only after this long the daemon is asked whether it lives.
const FIRST_AFTER: Duration = Duration::from_millis(250);

/// How long it may take to say so at first, so that a command fails soon.
const SOON: Duration = Duration::from_secs(2);

/// How long once it has answered: a busy machine is no reason to end a long wait.
const LATER: Duration = Duration::from_secs(5);

/// How often a daemon is asked while a request waits.
const EVERY: Duration = Duration::from_secs(5);

/// Ends when the daemon hangs, with the error that names it.
pub(super) async fn hangs(socket: &Socket) -> UserError {
    sleep(FIRST_AFTER).await;
    let mut patience = SOON;
    loop {
        match timeout(patience, socket.send(Request::get("/v1/alive"))).await {
            Ok(Ok(_)) => {}
            // It is gone: the request that waits will see so by itself.
            Ok(Err(_)) => pending().await,
            Err(_) => break,
        }
        sleep(EVERY).await;
        patience = LATER;
    }
    NodeError::LockHeld { pid: socket.pid().await }.into()
}
