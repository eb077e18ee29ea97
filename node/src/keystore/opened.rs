//! An opened key store, and the ways to change one: other factors, another data key, another
//! generation.
//!
//! Each rewrites the file in one step: after a crash it is the old one or the new one.

use std::path::{Path, PathBuf};

use bitchat_protocol::crypto::{Secret, wiped};
use rand_core::CryptoRng;

use super::attempts::Attempt;
use super::file::{File, Header, Kdf};
use super::{
    Factors, KdfParameters, KeystoreError, Protection, SECRETS_CONTEXT, Secrets, StoreKeys,
    Unlocked, factors, home_of, kdf, open, seal, secrets_key,
};
use crate::home::disk;

/// An opened key store.
#[derive(Debug)]
pub struct Opened {
    path: PathBuf,
    file: File,
    kek: Secret<32>,
    dek: Secret<32>,
    secrets: Secrets,
    store_keys: StoreKeys,
}

/// A key store with a new data key that is not written yet.
#[derive(Debug)]
#[must_use = "nothing has changed before it is committed"]
pub struct Rotated {
    /// The keys of the store in it.
    pub store_keys: StoreKeys,
    path: PathBuf,
    file: File,
}

wiped!(Opened { kek, dek, secrets, store_keys } open { path, file });

wiped!(Rotated { store_keys } open { path, file });

impl Opened {
    /// Unwraps the boxes of `file` behind its KEK.
    pub(super) fn unwrap(path: &Path, file: File, kek: Secret<32>) -> Result<Self, KeystoreError> {
        let dek = open(&kek, &file.header.associated(), &file.dek);
        let dek = dek.ok_or(KeystoreError::WrongPassphrase)?;
        // The DEK is authentic from here on, so a failure is damage and not a wrong passphrase.
        let dek = Secret::from_slice(&dek).ok_or(KeystoreError::Corrupt("data key"))?;
        let secrets = open(&secrets_key(&dek), SECRETS_CONTEXT, &file.secrets)
            .and_then(|bytes| Secrets::decode(&bytes))
            .ok_or(KeystoreError::Corrupt("secrets"))?;
        let store_keys = StoreKeys::derive(&dek);
        Ok(Self { path: path.to_owned(), file, kek, dek, secrets, store_keys })
    }

    /// What it holds.
    #[must_use]
    pub fn into_unlocked(self) -> Unlocked {
        Unlocked {
            protection: self.file.header.protection(),
            store_keys: self.store_keys,
            secrets: self.secrets,
        }
    }

    /// What guards it.
    #[must_use]
    pub const fn protection(&self) -> Protection {
        self.file.header.protection()
    }

    /// The keys of the store beside it.
    #[must_use]
    pub const fn store_keys(&self) -> &StoreKeys {
        &self.store_keys
    }

    /// Lets `to` open it from now on, and nothing else; durable when this returns. A key file that
    /// does not exist is made. What Argon2id costs never falls.
    ///
    /// # Errors
    ///
    /// [`KeystoreError::NoPassphrase`] without a passphrase, [`KeystoreError::WeakPassphrase`],
    /// [`KeystoreError::SecondFactor`], [`KeystoreError::Io`]; the old factors open it then.
    pub fn guard(&mut self, to: &Factors, rng: &mut impl CryptoRng) -> Result<(), KeystoreError> {
        let passphrase = to.passphrase.as_ref().ok_or(KeystoreError::NoPassphrase)?;
        passphrase.check_strength(&self.secrets.nickname)?;
        let home = home_of(&self.path);
        let key_file = to.key_file.as_deref();
        let content = key_file.map(|path| factors::read_new(path, home, rng)).transpose()?;
        let present = self.file.header.kdf.parameters().unwrap_or(KdfParameters::FLOOR);
        let parameters = present.raised();
        let kdf = match content {
            Some(_) => Kdf::TwoFactors(parameters),
            None => Kdf::Argon2id(parameters),
        };
        let mut salt = [0; kdf::SALT_BYTES];
        rng.fill_bytes(&mut salt);
        let content = content.as_deref().map(Vec::as_slice);
        let kek = factors::kek(passphrase, content, &salt, parameters)?;
        let header = Header { kdf, salt };
        let dek = seal(rng, &kek, &header.associated(), self.dek.expose())?;
        let file = File { header, dek, ..self.file.clone() };
        Attempt::prepare(&self.path)?;
        write(&self.path, &file)?;
        (self.file, self.kek) = (file, kek);
        Ok(())
    }

    /// Gives the device another generation; durable when this returns.
    ///
    /// # Errors
    ///
    /// [`KeystoreError::Io`]; the old one stands then.
    pub fn certify(
        &mut self,
        generation: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(), KeystoreError> {
        let secrets = Secrets { generation, ..self.secrets.duplicate() };
        let secrets = seal(rng, &secrets_key(&self.dek), SECRETS_CONTEXT, &secrets.encode())?;
        let file = File { secrets, ..self.file.clone() };
        write(&self.path, &file)?;
        self.secrets.generation = generation;
        self.file = file;
        Ok(())
    }

    /// Writes the same secrets with another header and KEK, which no shipped code does.
    #[cfg(test)]
    pub(super) fn write_as(&self, header: Header, kek: &Secret<32>, rng: &mut impl CryptoRng) {
        let dek = seal(rng, kek, &header.associated(), self.dek.expose()).expect("seals");
        write(&self.path, &File { header, dek, ..self.file.clone() }).expect("writes");
    }

    /// A new data key, under the same factors.
    ///
    /// # Errors
    ///
    /// [`KeystoreError::Bug`].
    pub fn rotate(&self, rng: &mut impl CryptoRng) -> Result<Rotated, KeystoreError> {
        let dek: Secret<32> = Secret::random(rng);
        let header = self.file.header;
        let file = File {
            dek: seal(rng, &self.kek, &header.associated(), dek.expose())?,
            secrets: seal(rng, &secrets_key(&dek), SECRETS_CONTEXT, &self.secrets.encode())?,
            header,
        };
        Ok(Rotated { store_keys: StoreKeys::derive(&dek), path: self.path.clone(), file })
    }
}

impl Rotated {
    /// Replaces the key store, durable when this returns; nothing opens the old data key any more.
    ///
    /// # Errors
    ///
    /// [`KeystoreError::Io`]; which of the two is there then the next reader sees.
    pub fn commit(self) -> Result<(), KeystoreError> {
        write(&self.path, &self.file)
    }
}

fn write(path: &Path, file: &File) -> Result<(), KeystoreError> {
    let written = disk::replace_private(path, &file.encode()?);
    written.map_err(|source| KeystoreError::Io { path: path.to_owned(), source })
}
