//! The one program `bitchat`, as a library so that tests can link it.
//!
//! ```text
//!   args ──> commands ──> attach ──> client ──> node (over its socket, or in this process)
//!               └──────> output <── sanitise
//! ```
//!
//! `args` and `commands` alone know clap; `output` alone prints; `client` alone speaks HTTP.
//! docs/CLI.md describes what a person types.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

use bitchat_node::coredump;
use bitchat_node::home::Home;
use tokio::runtime::{Builder, Runtime};

use crate::args::{Cli, Globals, Instead};
use crate::attach::Context;
use crate::error::{Stop, UserError, reason};
use crate::output::Output;

mod args;
mod attach;
mod client;
mod commands;
mod error;
mod output;
mod passphrase;
mod sanitise;
mod settings;
mod signals;

/// Threads of the runtime: one for the network, one for the store's waiters.
const THREADS: usize = 2;

/// How long background work may go on after the command is over.
const LINGER: Duration = Duration::from_millis(200);

/// Runs the program with the arguments of this process.
#[must_use]
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {
        // Where it happened says nothing to a user and could hold a path of the build machine.
        Output::plain(false).fail(&UserError::internal("something impossible happened"));
    }));
    // The hook has spoken already.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(ExitCode::from(2))
}

fn run() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match args::parse(&arguments) {
        Ok(cli) => {
            let mut out = Output::new(&cli.globals);
            let result = execute(cli, &mut out);
            finish(result, &mut out)
        }
        Err(Instead::Print(text)) => {
            let mut out = Output::plain(false);
            let result = out.line(text.trim_end());
            finish(result, &mut out)
        }
        Err(Instead::Fail { error, json }) => {
            let mut out = Output::plain(json);
            finish(Err(error.into()), &mut out)
        }
    }
}

fn execute(cli: Cli, out: &mut Output) -> Result<(), Stop> {
    let Cli { globals, verb } = cli;
    // Before anything secret is in memory; children of ours are to be as silent.
    if let Err(error) = coredump::forbid() {
        let message = format!("core dumps of this process are not off: {}", reason(&error));
        out.warn("core_dumps", &message, "run `ulimit -c 0` first");
    }
    let home = home(&globals)?;
    let runtime = runtime()?;
    let result = runtime.block_on(verb.run(&Context { globals, home }, out));
    runtime.shutdown_timeout(LINGER);
    result
}

fn home(globals: &Globals) -> Result<Home, UserError> {
    Home::resolve(globals.home.clone(), &globals.profile).map_err(|error| {
        UserError::usage("home", error.to_string(), "say where the profile is: `--home DIR`")
    })
}

fn runtime() -> Result<Runtime, UserError> {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .map_err(|error| UserError::io("cannot start threads", &error))
}

/// Hands the output over and turns the result into an exit code.
fn finish(result: Result<(), Stop>, out: &mut Output) -> ExitCode {
    // What was printed before a failure belongs to the reader, too.
    let flushed = out.flush();
    match result.and(flushed) {
        Ok(()) | Err(Stop::PipeClosed) => ExitCode::SUCCESS,
        Err(Stop::Failed(error)) => {
            out.fail(&error);
            ExitCode::from(error.exit())
        }
    }
}
