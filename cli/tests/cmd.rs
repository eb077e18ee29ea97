//! Transcripts: what the program prints for everything that needs no running node.
//!
//! Each `.toml` in `tests/cmd` is one command with its exit code and its output, byte for byte.

/// Runs every transcript.
#[test]
fn each_command_prints_what_its_transcript_says() {
    trycmd::TestCases::new().env("NO_COLOR", "1").case("tests/cmd/*.toml");
}
