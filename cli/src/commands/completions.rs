//! `bitchat completions SHELL`: a script for the shell's tab key.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::Stop;
use crate::output::Output;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, out: &mut Output) -> Result<(), Stop> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "bitchat", &mut script);
        out.line(String::from_utf8_lossy(&script).trim_end())
    }
}
