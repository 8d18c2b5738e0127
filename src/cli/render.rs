//! `rackwright render`.

use std::io::Write;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct RenderArgs {}

/// Not here yet.
pub fn render(_args: &RenderArgs, _out: &mut dyn Write) -> anyhow::Result<u8> {
    anyhow::bail!("not built yet")
}
