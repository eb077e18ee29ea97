//! `bitchat config show | check | example`: the settings, without starting anything.
//!
//! Exit codes: 1 the settings are wrong (unknown key, value out of range, a secret in them).

use bitchat_node::config;
use clap::Subcommand;
use serde_json::json;

use crate::attach::Context;
use crate::error::Stop;
use crate::output::{Output, table};
use crate::settings::{self, Overrides};

/// Show, check and explain the settings
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    Show(Show),
    Check(Check),
    Example(Example),
}

/// Print every setting as it is in force
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Say where each comes from: default, config.toml, environment or flag
    #[arg(long)]
    origin: bool,
}

/// Check config.toml and the environment
#[derive(Debug, clap::Args)]
pub(crate) struct Check {}

/// Print a config.toml with every key, its default and what it does
#[derive(Debug, clap::Args)]
pub(crate) struct Example {}

impl Config {
    pub(crate) fn run(self, context: &Context, out: &mut Output) -> Result<(), Stop> {
        match self {
            Self::Show(Show { origin }) => show(context, origin, out),
            Self::Check(Check {}) => check(context, out),
            Self::Example(Example {}) => out.line(config::Config::example().trim_end()),
        }
    }
}

fn show(context: &Context, origin: bool, out: &mut Output) -> Result<(), Stop> {
    let config = settings::load(&context.home, &Overrides::of(&context.globals))?;
    let rows = config.show();
    if out.is_json() {
        return rows.iter().try_for_each(|row| {
            let origin = row.origin.to_string();
            out.object(&json!({ "key": row.key, "value": row.value, "origin": origin }))
        });
    }
    let cells = rows.iter().map(|row| {
        let mut cells = vec![format!("{} = {}", row.key, row.value)];
        cells.extend(origin.then(|| format!("# {}", row.origin)));
        cells
    });
    out.line(&table(&cells.collect::<Vec<_>>()))
}

fn check(context: &Context, out: &mut Output) -> Result<(), Stop> {
    settings::load(&context.home, &Overrides::of(&context.globals))?;
    let path = context.home.config();
    let exists = path.exists();
    out.confirm(&json!({ "valid": true, "file": exists }), |_| {
        let path = path.display();
        if exists { format!("{path} is valid") } else { format!("{path} does not exist: defaults") }
    })
}
