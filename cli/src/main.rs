//! The program `bitchat`.

fn main() -> std::process::ExitCode {
    bitchat_cli::main()
}
