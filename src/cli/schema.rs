//! `rackwright schema`.

use std::io::Write;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct SchemaArgs {}

/// Not here yet.
pub fn schema(_args: &SchemaArgs, _out: &mut dyn Write) -> anyhow::Result<u8> {
    anyhow::bail!("not built yet")
}
