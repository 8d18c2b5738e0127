//! `rackwright run`: the daemon.

use std::path::PathBuf;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::daemon::{self, Options};
use crate::settings;
#[derive(clap::Args, Debug)]
pub struct RunArgs {
    /// The settings file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// This is the first start: an empty journal and a missing status branch are as they should be
    #[arg(long)]
    pub first_run: bool,
}

/// Runs the daemon until SIGTERM or SIGINT.
pub fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let settings = settings::load(&args.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
        let mut int = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
        let stop = async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            tracing::info!("stopping");
        };
        daemon::run(settings, Options { first_run: args.first_run, ..Options::default() }, stop).await?;
        Ok(0)
    })
}
