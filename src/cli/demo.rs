//! `rackwright demo`.

use std::path::PathBuf;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct DemoArgs {
    /// How many machines to simulate
    #[arg(long, value_name = "N")]
    pub hosts: Option<u32>,
    /// Over how many clusters they are spread
    #[arg(long, value_name = "N")]
    pub clusters: Option<u32>,
    /// Let this go wrong; can be given several times
    #[arg(long = "fault", value_name = "NAME")]
    pub faults: Vec<String>,
    /// Keep repository, settings and state in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Not here yet.
pub fn demo(_args: &DemoArgs) -> anyhow::Result<u8> {
    anyhow::bail!("not built yet")
}
