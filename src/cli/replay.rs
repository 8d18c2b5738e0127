//! `rackwright replay`.

use std::io::Write;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct ReplayArgs {}

/// Not here yet.
pub fn replay(_args: &ReplayArgs, _out: &mut dyn Write) -> anyhow::Result<u8> {
    anyhow::bail!("not built yet")
}
