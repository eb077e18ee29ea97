//! The shipped program, for the tests of this crate.
fn main() {}
