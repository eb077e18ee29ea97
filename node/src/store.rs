//! The sled store behind the protocol's Store trait.
