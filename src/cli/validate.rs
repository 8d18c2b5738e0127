//! `rackwright validate`.

use std::io::Write;

/// Arguments.
#[derive(clap::Args, Debug)]
pub struct ValidateArgs {}

/// Not here yet.
pub fn validate(_args: &ValidateArgs, _out: &mut dyn Write) -> anyhow::Result<u8> {
    anyhow::bail!("not built yet")
}
