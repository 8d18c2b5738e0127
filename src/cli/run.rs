//! `rackwright run`.

use std::path::PathBuf;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct RunArgs {
    /// The settings file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// This is the first start: an empty journal and a missing status branch are as they should be
    #[arg(long)]
    pub first_run: bool,
}

/// Not here yet.
pub fn run(_args: &RunArgs) -> anyhow::Result<u8> {
    anyhow::bail!("not built yet")
}
