//! `keystore.json`: a header in clear, two sealed boxes in hexadecimal.
//!
//! ```json
//! {"version":1,"kdf":"argon2id","m_kib":65536,"t":3,"p":1,"salt":"…","dek":"…","secrets":"…"}
//! ```
//!
//! Without passphrase `kdf` is `key-file` and `m_kib`, `t`, `p` are absent.

use bitchat_protocol::crypto::{HEADER_NONCE_BYTES, Transcript};
use serde::{Deserialize, Serialize};

use super::kdf::SALT_BYTES;
use super::{KdfParameters, KeystoreError, Protection};

/// The version that this program writes.
pub(super) const VERSION: u32 = 1;

/// Several times what the longest nickname gives.
pub(super) const BYTES_MAX: u64 = 8 * 1024;

/// A parsed key store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) header: Header,
    pub(super) dek: Sealed,
    pub(super) secrets: Sealed,
}

/// What stands in clear. All of it is bound to the wrapped DEK.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kdf: Kdf,
    pub(super) salt: [u8; SALT_BYTES],
}

/// Where the KEK comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kdf {
    Argon2id(KdfParameters),
    KeyFile,
}

/// Nonce and ciphertext.
#[derive(Debug, PartialEq, Eq)]
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
        if let Kdf::Argon2id(KdfParameters { memory_kib, passes, lanes }) = self.kdf {
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
            Kdf::KeyFile => Protection::KeyFile,
        }
    }
}

impl Kdf {
    const fn name(self) -> &'static str {
        match self {
            Self::Argon2id(_) => "argon2id",
            Self::KeyFile => "key-file",
        }
    }

    fn parse(json: &Json) -> Option<Self> {
        match (json.kdf.as_str(), json.m_kib, json.t, json.p) {
            ("argon2id", Some(memory_kib), Some(passes), Some(lanes)) => {
                Some(Self::Argon2id(KdfParameters { memory_kib, passes, lanes }))
            }
            ("key-file", None, None, None) => Some(Self::KeyFile),
            _ => None,
        }
    }
}

impl File {
    pub(super) fn encode(&self) -> Result<Vec<u8>, KeystoreError> {
        let parameters = match self.header.kdf {
            Kdf::Argon2id(parameters) => Some(parameters),
            Kdf::KeyFile => None,
        };
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
        Ok(Self {
            header: Header { kdf, salt },
            dek: Sealed::decode(&json.dek).ok_or(KeystoreError::Corrupt("data key"))?,
            secrets: Sealed::decode(&json.secrets).ok_or(KeystoreError::Corrupt("secrets"))?,
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
        let key_file = Header { kdf: Kdf::KeyFile, salt: [0; SALT_BYTES] };
        let others = [
            with(65_537, 3, 1, 0),
            with(65_536, 4, 1, 0),
            with(65_536, 3, 2, 0),
            with(65_536, 3, 1, 1),
            key_file,
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
