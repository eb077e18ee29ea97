//! A profile: made once, unlocked at each start.

mod guard;
mod staging;

pub use guard::{FactorChange, Rotation, reclaim, recovery_words, rotate_keys};
pub(crate) use staging::staged;

use std::path::PathBuf;

use bitchat_protocol::contact;
use bitchat_protocol::crypto::Secret;
use bitchat_protocol::engine::{CommandError, Setup};
use bitchat_protocol::error::Error;
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
use bitchat_protocol::time::UnixMillis;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use crate::control::peer_id;
use crate::error::NodeError;
use crate::home::Home;
use crate::keystore::{Factors, Keystore, Opened, Passphrase, Secrets, Unlocked};
use crate::store::SledStore;

/// The kernel's random numbers, asked each time: a snapshot of this process repeats none of them.
pub type SystemRng = UnwrapErr<SysRng>;

/// Bytes of a Unix socket's path on Linux, without the final zero.
const SOCKET_PATH_MAX: usize = 107;

/// What a person gives to open a key store, as it was typed or read.
#[derive(Debug, Default)]
pub struct Credentials {
    /// The passphrase.
    pub passphrase: Option<Zeroizing<String>>,
    /// Where the key file is, the second factor.
    pub key_file: Option<PathBuf>,
}

/// What a new profile is made from.
#[derive(Debug)]
pub struct NewProfile {
    /// How the account calls itself; may be empty.
    pub name: String,
    /// Guards the key store. A key file that does not exist is made.
    pub credentials: Credentials,
    /// Whether a key store without passphrase is wanted.
    pub allow_no_passphrase: bool,
    /// The 24 words of an account that exists.
    pub recover: Option<Zeroizing<String>>,
}

/// What a new profile is.
#[derive(Debug)]
pub struct CreatedProfile {
    /// The 24 words, to be shown once.
    pub phrase: Zeroizing<String>,
    /// Account id.
    pub account: String,
    /// `PeerId` text of the device.
    pub device: String,
}

/// Makes a profile in an empty home.
///
/// # Errors
///
/// [`NodeError`] if there is one already, the home cannot be written, or name, passphrase or words
/// are unusable. Nothing is left behind that would hinder a second try.
pub fn create_profile(home: &Home, request: NewProfile) -> Result<CreatedProfile, NodeError> {
    if home.has_profile() {
        return Err(NodeError::ProfileExists { home: home.root().to_owned() });
    }
    if !request.name.is_empty() {
        let bad = |problem| NodeError::Protocol(CommandError::BadName(problem));
        contact::usable(&request.name).map_err(bad)?;
    }
    let factors = request.credentials.guarding(request.allow_no_passphrase)?;
    let mut rng = UnwrapErr(SysRng);
    let phrase = match &request.recover {
        Some(words) => Phrase::parse(words),
        None => Phrase::generate(&mut rng),
    }
    .map_err(|error| NodeError::BadPhrase { why: error.to_string() })?;
    let now = wall_clock();
    let secrets = Secrets {
        phrase_entropy: phrase.entropy().duplicate(),
        device_seed: Secret::random(&mut rng),
        device_dh: Secret::random(&mut rng),
        number: 1,
        generation: now.0,
        created: now,
        nickname: request.name,
    };
    check_socket_path(home)?;
    home.create()?;
    let _lock = home.lock()?;
    staged(home, factors, |staging, factors| {
        let unlocked = Keystore::create(&staging.keystore(), &factors, &secrets, &mut rng)?;
        // Made here, so that a store that is missing later is a loss to be told and not a fresh start.
        drop(SledStore::open(&staging.data(), unlocked.store_keys)?);
        Ok(())
    })?;
    let identity = identity(&secrets)?;
    Ok(CreatedProfile {
        phrase: phrase.words(),
        account: identity.account().to_string(),
        device: peer_id::text(&identity.device().id()),
    })
}

/// Refuses a home whose socket could never be bound.
pub(crate) fn check_socket_path(home: &Home) -> Result<(), NodeError> {
    if home.socket().as_os_str().len() <= SOCKET_PATH_MAX {
        return Ok(());
    }
    Err(NodeError::Config {
        problem: format!("the path {} is too long for a socket", home.socket().display()),
        hint: "choose a shorter `--home DIR`".to_owned(),
    })
}

impl Credentials {
    /// What is to guard a new key store.
    pub(crate) fn guarding(self, allow_no_passphrase: bool) -> Result<Factors, NodeError> {
        let factors = self.factors()?;
        if factors.passphrase.is_none() && !allow_no_passphrase {
            return Err(NodeError::NoPassphrase);
        }
        if factors.passphrase.is_none() && factors.key_file.is_some() {
            return Err(NodeError::Config {
                problem: "a key file is a second factor: it needs a passphrase beside it"
                    .to_owned(),
                hint: "leave out either `--no-passphrase` or the key file".to_owned(),
            });
        }
        Ok(factors)
    }

    fn factors(self) -> Result<Factors, NodeError> {
        let passphrase =
            self.passphrase.as_deref().map(|text| Passphrase::new(text)).transpose()?;
        Ok(Factors { passphrase, key_file: self.key_file })
    }
}

/// Opens the key store; slow on purpose (Argon2id).
///
/// # Errors
///
/// [`NodeError`] if it needs a passphrase or key file, does not take these, or is damaged.
pub fn unlock(home: &Home, credentials: Credentials) -> Result<Unlocked, NodeError> {
    open(home, credentials).map(Opened::into_unlocked)
}

fn open(home: &Home, credentials: Credentials) -> Result<Opened, NodeError> {
    Ok(Keystore::open(&home.keystore(), &credentials.factors()?)?)
}

/// The engine's identity; the account signs the same certificate each time.
///
/// # Errors
///
/// [`NodeError::KeystoreCorrupt`] if the secrets are no keys.
pub fn setup(secrets: &Secrets, greet: bool, read_receipts: bool) -> Result<Setup, NodeError> {
    let (identity, nickname) = (identity(secrets)?, secrets.nickname.clone());
    Ok(Setup { identity, nickname, greet, read_receipts })
}

fn identity(secrets: &Secrets) -> Result<Identity, NodeError> {
    let corrupt = |error: Error| NodeError::KeystoreCorrupt { what: error.to_string() };
    let phrase = Phrase::from_entropy(secrets.phrase_entropy.duplicate());
    let account = Account::from_phrase(&phrase.map_err(|error| corrupt(error.into()))?);
    let device =
        Device::from_secrets(secrets.device_seed.duplicate(), secrets.device_dh.duplicate());
    let certificate = account.certify(&device, secrets.number, secrets.generation, secrets.created);
    Identity::new(device, certificate).map_err(corrupt)
}

/// Milliseconds since 1970.
#[must_use]
pub fn wall_clock() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixMillis(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `Zeroizing` shows is up to its crate.
    #[test]
    fn passphrase_and_words_are_not_in_debug() {
        let text = |text: &str| Some(Zeroizing::new(text.to_owned()));
        let credentials = || Credentials { passphrase: text("hunter2"), key_file: None };
        let new = NewProfile {
            name: "ann".to_owned(),
            credentials: credentials(),
            allow_no_passphrase: false,
            recover: text("abandon ability"),
        };
        let created = CreatedProfile {
            phrase: Zeroizing::new("abandon ability".to_owned()),
            account: "bchat1".to_owned(),
            device: "12D3".to_owned(),
        };

        let shown = format!("{:?} {new:?} {created:?} {new:#?}", credentials());

        assert!(!shown.contains("hunter2") && !shown.contains("abandon"), "{shown}");
    }
}
