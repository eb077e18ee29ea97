//! The passphrase-protected secrets of a profile.
