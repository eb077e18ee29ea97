//! The shipped program, for the tests of this crate.

fn main() -> std::process::ExitCode {
    bitchat_cli::main()
}
