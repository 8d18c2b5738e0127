//! `rackwright console`: a machine's serial console in this terminal, over its BMC (IPMI Serial over LAN).

use std::path::PathBuf;

use anyhow::anyhow;

use super::bmc::{endpoint, known};
use super::{render, runtime};
use crate::drive::bmc::manual;
use crate::model::{Fault, HostSpec, Reason, World};
use crate::settings::{self, Settings};
#[derive(clap::Args, Debug)]
pub struct ConsoleArgs {
    /// The host: its name, or CLUSTER/HOST where the name is used twice
    pub host: String,
    /// The daemon's settings
    #[arg(long, value_name = "FILE", default_value = "/etc/rackwright/rackwright.yaml")]
    pub config: PathBuf,
    /// Try an account that the BMC has refused before; one more failure may lock it
    #[arg(long)]
    pub force: bool,
}

/// Finds the host and opens its console. Comes back only when that failed.
pub fn console(args: &ConsoleArgs) -> anyhow::Result<u8> {
    let settings = settings::load(&args.config)?;
    let runtime = runtime()?;
    let world = runtime.block_on(known::world(&settings))?;
    let desired = world.desired.clone().ok_or_else(|| anyhow!("no revision of the repository is in force"))?;
    let spec = render::find(&desired, &args.host)?;
    runtime.block_on(open(&settings, &world, spec, args.force))
}

/// Opens the console of a host: this process becomes `ipmitool`, whose exit code is then ours.
pub async fn open(settings: &Settings, world: &World, spec: &HostSpec, force: bool) -> anyhow::Result<u8> {
    let failed = |fault: Fault| match fault.reason {
        Reason::Unreachable => anyhow!("{fault}; is IPMI over LAN enabled on it?"),
        _ => anyhow!("{fault}"),
    };
    // Also where everything else goes over Redfish, which has no console.
    let endpoint = endpoint::endpoint(settings, spec, world, force).map_err(failed)?;
    let console = manual::console(&endpoint).await.map_err(failed)?;
    eprintln!("Serial console of {} over its BMC at {}.", spec.id, endpoint.address);
    eprintln!("To leave: Enter, then ~ and a full stop. Within an SSH session: Enter, ~ twice, then a full stop.");
    Err(failed(console.open()))
}
