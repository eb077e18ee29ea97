//! Prekeys of this device.
