//! Joins engine, store, network and control.
