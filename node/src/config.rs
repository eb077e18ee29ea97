//! Configuration from flags, environment and config.toml.
