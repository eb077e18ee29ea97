//! Keeping going and staying polite: back-off. Limits and breakers join it later.

mod backoff;

pub use backoff::Backoff;
