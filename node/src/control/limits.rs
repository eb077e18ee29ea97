//! What rate limits refused lately, as `status` shows it.

use bitchat_protocol::resilience::Class;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

/// Refusals by class, in the order of [`Class::ALL`]. In JSON a map from class to number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejections(pub [u64; Class::ALL.len()]);

/// Rate limits at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LimitStatus {
    /// Frames refused in the last minute.
    pub rejected: Rejections,
    /// Devices and address prefixes with a limit of their own.
    pub keys: usize,
}

impl Serialize for Rejections {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Class::ALL.len()))?;
        for (class, count) in Class::ALL.iter().zip(self.0) {
            map.serialize_entry(class.as_str(), &count)?;
        }
        map.end()
    }
}
