//! Transcripts: what a person types and what comes back, errors and help first of all.
//!
//! After a deliberate change: `TRYCMD=overwrite cargo test -p bitchat-cli --test cmd`, then read
//! the difference.

#[test]
fn every_transcript_is_what_the_program_says() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
