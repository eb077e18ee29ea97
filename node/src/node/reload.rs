//! Settings that are read again while the node runs.
//!
//! Circuit breakers and the log level follow at once; for the rest a warning names what waits for the next
//! start. Settings that are refused change nothing, and a warning says why until others are taken.

use bitchat_protocol::engine::Settings;
use tokio::sync::watch;

use crate::config::Config;
use crate::control::{NodeStatus, Warning};
use crate::error::NodeError;
use crate::metrics::WarningCode;
use crate::telemetry::Level;

/// The warnings that this file makes.
const CODES: [WarningCode; 2] = [WarningCode::ConfigRejected, WarningCode::RestartNeeded];

/// Gives a running node other settings.
#[derive(Clone, Debug)]
pub struct Reload {
    /// What the node was started with.
    started: Config,
    settings: watch::Sender<Settings>,
    status: watch::Sender<NodeStatus>,
}

impl Reload {
    pub(super) const fn new(
        started: Config,
        settings: watch::Sender<Settings>,
        status: watch::Sender<NodeStatus>,
    ) -> Self {
        Self { started, settings, status }
    }

    /// Takes settings that were read again, or says why they are refused.
    pub fn apply(&self, read: Result<Config, NodeError>, level: &Level) {
        let taken = read.and_then(|config| {
            level.set(&config.log.level)?;
            Ok(config)
        });
        let warning = match taken {
            Ok(config) => {
                self.settings.send_replace(config.engine());
                tracing::info!("the settings were read again");
                let waiting = self.started.need_restart(&config);
                (!waiting.is_empty()).then(|| restart_needed(&waiting))
            }
            Err(error) => Some(rejected(&error)),
        };
        if let Some(warning) = &warning {
            tracing::warn!(code = warning.code.as_str(), "{}", warning.message);
        }
        self.status.send_modify(|status| {
            status.warnings.retain(|standing| !CODES.contains(&standing.code));
            status.warnings.extend(warning);
        });
    }
}

fn restart_needed(waiting: &[&str]) -> Warning {
    Warning {
        code: WarningCode::RestartNeeded,
        message: format!("changed, and not in force before the next start: {}", waiting.join(", ")),
        hint: "restart the daemon, or change it back and send SIGHUP again".to_owned(),
    }
}

fn rejected(error: &NodeError) -> Warning {
    Warning {
        code: WarningCode::ConfigRejected,
        message: format!("the settings were refused, the old ones hold: {}", error.message()),
        hint: format!("{}; then send SIGHUP again", error.hint()),
    }
}
