//! Why a network did not start.

use std::io;

/// Why a network did not start. Everything later is an event.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The operator's address is no address that we can listen on.
    #[error("cannot listen on {address}: expected /ip4/../tcp/.. or /ip4/../udp/../quic-v1")]
    Address {
        /// As it was given.
        address: String,
    },
    /// The system does not give us the address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// As it was given.
        address: String,
        /// Address in use, no permission, no such interface.
        source: io::Error,
    },
    /// The listener did not come up in time.
    #[error("cannot listen on {address}: not ready after {seconds} s")]
    ListenTimeout {
        /// As it was given.
        address: String,
        /// How long we waited.
        seconds: u64,
    },
    /// The seed of the device is no key.
    #[error("the device key is not usable")]
    Key,
    /// Noise could not be set up.
    #[error("encryption: {0}")]
    Encryption(String),
    /// The system does not let us watch the local network.
    #[error("local discovery: {0}")]
    Discovery(String),
    /// Should be impossible.
    #[error("bug: {0}")]
    Bug(&'static str),
}
