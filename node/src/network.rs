//! libp2p: links to other devices.
