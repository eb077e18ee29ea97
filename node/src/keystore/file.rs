//! `keystore.json`: a header in clear, two sealed boxes in hexadecimal.
//!
//! ```json
//! {"version":1,"kdf":"argon2id","m_kib":65536,"t":3,"p":1,"salt":"…","dek":"…","secrets":"…"}
//! ```
//!
//! With a key file as second factor `kdf` is `argon2id+key-file`. Without passphrase it is `key-file`
//! and `m_kib`, `t`, `p` are absent.

use bitchat_protocol::crypto::{HEADER_NONCE_BYTES, Transcript};
use serde::{Deserialize, Serialize};

use super::kdf::SALT_BYTES;
use super::{KdfParameters, KeystoreError, Protection};

/// The version that this program writes.
pub(super) const VERSION: u32 = 1;

/// Several times what the longest nickname gives.
pub(super) const BYTES_MAX: u64 = 8 * 1024;

/// A parsed key store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) header: Header,
    pub(super) dek: Sealed,
    pub(super) secrets: Sealed,
}

/// What stands in clear. All of it is bound to the wrapped DEK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kdf: Kdf,
    pub(super) salt: [u8; SALT_BYTES],
}

/// Where the KEK comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kdf {
    /// A passphrase.
    Argon2id(KdfParameters),
    /// A passphrase and a key file that the user keeps.
    TwoFactors(KdfParameters),
    /// The key file in the home.
    KeyFile,
}

/// Nonce and ciphertext.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) nonce: [u8; HEADER_NONCE_BYTES],
    pub(super) text: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    version: u32,
    kdf: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    m_kib: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p: Option<u32>,
    salt: String,
    dek: String,
    secrets: String,
}

/// Read first, so that a newer file is told from a damaged one.
#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

impl Header {
    /// Associated data of the wrapped DEK.
    pub(super) fn associated(&self) -> [u8; 32] {
        let mut transcript = Transcript::new(b"bitchat/1 keystore header");
        transcript.add("version", &VERSION.to_be_bytes());
        transcript.add("kdf", self.kdf.name().as_bytes());
        if let Some(KdfParameters { memory_kib, passes, lanes }) = self.kdf.parameters() {
            transcript.add("m", &memory_kib.to_be_bytes());
            transcript.add("t", &passes.to_be_bytes());
            transcript.add("p", &lanes.to_be_bytes());
        }
        transcript.add("salt", &self.salt);
        transcript.finish()
    }

    pub(super) const fn protection(&self) -> Protection {
        match self.kdf {
            Kdf::Argon2id(_) => Protection::Passphrase,
            Kdf::TwoFactors(_) => Protection::TwoFactors,
            Kdf::KeyFile => Protection::KeyFile,
        }
    }
}

impl Kdf {
    const fn name(self) -> &'static str {
        match self {
            Self::Argon2id(_) => "argon2id",
            Self::TwoFactors(_) => "argon2id+key-file",
            Self::KeyFile => "key-file",
        }
    }

    /// What its Argon2id costs, if it has one.
    pub(super) const fn parameters(self) -> Option<KdfParameters> {
        match self {
            Self::Argon2id(parameters) | Self::TwoFactors(parameters) => Some(parameters),
            Self::KeyFile => None,
        }
    }

    fn parse(json: &Json) -> Option<Self> {
        let parameters = match (json.m_kib, json.t, json.p) {
            (Some(memory_kib), Some(passes), Some(lanes)) => {
                Some(KdfParameters { memory_kib, passes, lanes })
            }
            (None, None, None) => None,
            _ => return None,
        };
        match (json.kdf.as_str(), parameters) {
            ("argon2id", Some(parameters)) => Some(Self::Argon2id(parameters)),
            ("argon2id+key-file", Some(parameters)) => Some(Self::TwoFactors(parameters)),
            ("key-file", None) => Some(Self::KeyFile),
            _ => None,
        }
    }
}

impl File {
    pub(super) fn encode(&self) -> Result<Vec<u8>, KeystoreError> {
        let parameters = self.header.kdf.parameters();
        let json = Json {
            version: VERSION,
            kdf: self.header.kdf.name().to_owned(),
            m_kib: parameters.map(|parameters| parameters.memory_kib),
            t: parameters.map(|parameters| parameters.passes),
            p: parameters.map(|parameters| parameters.lanes),
            salt: hex(&self.header.salt),
            dek: self.dek.encode(),
            secrets: self.secrets.encode(),
        };
        let bytes = serde_json::to_vec_pretty(&json);
        let mut bytes = bytes.map_err(|_| KeystoreError::Bug("key store does not serialise"))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, KeystoreError> {
        const NO_KEYSTORE: KeystoreError = KeystoreError::Corrupt("not a key store");
        let VersionOnly { version } = serde_json::from_slice(bytes).map_err(|_| NO_KEYSTORE)?;
        if version != VERSION {
            return Err(KeystoreError::Version { found: version });
        }
        let json: Json = serde_json::from_slice(bytes).map_err(|_| NO_KEYSTORE)?;
        let kdf = Kdf::parse(&json).ok_or(KeystoreError::Corrupt("key derivation"))?;
        let salt = unhex(&json.salt).and_then(|salt| salt.try_into().ok());
        let salt = salt.ok_or(KeystoreError::Corrupt("salt"))?;
        let box_of = |text: &str, what| Sealed::decode(text).ok_or(KeystoreError::Corrupt(what));
        Ok(Self {
            header: Header { kdf, salt },
            dek: box_of(&json.dek, "data key")?,
            secrets: box_of(&json.secrets, "secrets")?,
        })
    }
}

impl Sealed {
    fn encode(&self) -> String {
        hex(&self.nonce) + &hex(&self.text)
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = unhex(text)?;
        let (nonce, text) = bytes.split_first_chunk()?;
        Some(Self { nonce: *nonce, text: text.to_vec() })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_header_is_bound() {
        let with = |memory_kib, passes, lanes, salt| Header {
            kdf: Kdf::Argon2id(KdfParameters { memory_kib, passes, lanes }),
            salt: [salt; SALT_BYTES],
        };
        let header = with(65_536, 3, 1, 0);
        let of_kdf = |kdf| Header { kdf, ..with(65_536, 3, 1, 0) };
        let others = [
            with(65_537, 3, 1, 0),
            with(65_536, 4, 1, 0),
            with(65_536, 3, 2, 0),
            with(65_536, 3, 1, 1),
            of_kdf(Kdf::KeyFile),
            of_kdf(Kdf::TwoFactors(KdfParameters::FLOOR)),
        ];

        for other in others {
            assert_ne!(other.associated(), header.associated(), "{other:?}");
        }
    }

    #[test]
    fn hexadecimal_has_one_spelling() {
        assert_eq!(unhex(&hex(&[0, 0x9A, 0xFF])), Some(vec![0, 0x9A, 0xFF]));
        for text in ["0", "0G", "AB", "+1", " 1", "é"] {
            assert_eq!(unhex(text), None, "{text:?}");
        }
    }
}
