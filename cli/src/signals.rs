//! The signals that end a program, and what this one does about them.
//!
//! A command [takes](take) the signals that it has a use for. A question on the terminal has to give
//! the terminal back first, whatever the signal: it [guards](guard) them all. A handler stays for
//! good, so the guard goes on when the question is over: what nobody took ends the program as ever.

use std::io;
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::emulate_default_handler;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::UserError;

/// What ends a program from outside.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// One bit for each signal that some command handles.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// The signals of a kind, from now on handled by the caller.
pub(crate) fn take(kind: SignalKind) -> Result<Signal, UserError> {
    let signals = signal(kind).map_err(|error| UserError::io("cannot wait for signals", &error))?;
    TAKEN.fetch_or(bit(kind.as_raw_value()), Ordering::SeqCst);
    Ok(signals)
}

/// Calls `first` before a signal ends the program. It says whether that signal has to end it even
/// if a command took it. Without a runtime nothing is guarded.
pub(crate) fn guard(first: fn() -> bool) -> io::Result<()> {
    let Ok(runtime) = Handle::try_current() else { return Ok(()) };
    for number in ENDING {
        let mut signals = signal(SignalKind::from_raw(number))?;
        runtime.spawn(async move {
            while signals.recv().await.is_some() {
                if first() || TAKEN.load(Ordering::SeqCst) & bit(number) == 0 {
                    end(number);
                }
            }
        });
    }
    Ok(())
}

/// Ends the program as the signal would have done, so that the loop of a shell ends, too.
pub(crate) fn end_by_interrupt() {
    end(SIGINT);
}

fn end(number: i32) {
    if emulate_default_handler(number).is_err() {
        exit(number.saturating_add(128));
    }
}

fn bit(number: i32) -> u64 {
    u32::try_from(number).ok().and_then(|number| 1_u64.checked_shl(number)).unwrap_or(0)
}
