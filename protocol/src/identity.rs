//! Accounts, devices and their certificates.
