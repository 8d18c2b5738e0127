//! `rackwright bmc`: a person asks a BMC, with the address, certificate and account that the daemon would use.
//!
//! `known` finds out what is known, `endpoint` which BMC is meant and how it is spoken to, `gather` asks many at once,
//! `diag` and `info` show what they said, `act` switches.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::Subcommand;

use super::preflight::Format;
use super::{console, render, runtime};
use crate::drive::bmc::manual::types::{Device, Power};
use crate::model::{Desired, HostSpec, World};
use crate::settings::{self, Settings};

mod act;
mod diag;
pub(crate) mod endpoint;
pub(crate) mod gather;
mod info;
pub(crate) mod known;

pub(crate) use diag::basics;
#[derive(clap::Args, Debug)]
pub struct BmcArgs {
    /// The host: its name, or CLUSTER/HOST where the name is used twice
    #[arg(required_unless_present_any = ["all", "cluster"], conflicts_with_all = ["all", "cluster"])]
    pub host: Option<String>,
    /// Every host of the repository that has a BMC
    #[arg(long, conflicts_with = "cluster")]
    pub all: bool,
    /// Every host of this cluster that has a BMC
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The daemon's settings
    #[arg(long, value_name = "FILE", global = true, default_value = "/etc/rackwright/rackwright.yaml")]
    pub config: PathBuf,
    /// How to print it
    #[arg(long, value_enum, global = true, default_value_t)]
    pub format: Format,
    /// Do not ask before a machine loses power or is restarted
    #[arg(long, short, global = true)]
    pub yes: bool,
    /// Try an account that the BMC has refused before; one more failure may lock it
    #[arg(long, global = true)]
    pub force: bool,
    /// What to do.
    #[command(subcommand)]
    pub word: Word,
}

/// What to do with it.
#[derive(Clone, Debug, Subcommand)]
pub enum Word {
    /// Say who and what the machine is, read from its BMC now
    Info,
    /// Switch it, and read back that it is so; off, soft, cycle and reset ask first
    Power {
        /// What to do
        #[arg(value_enum)]
        state: Power,
    },
    /// Set what the next boot starts from, once. Nothing is asked: a network boot of a machine whose install nobody
    /// consented to is answered with its own disk
    Boot {
        /// From where
        #[arg(value_enum)]
        device: Device,
    },
    /// Say what works and what does not: reachable, TLS, account, clock, firmware, sessions, boot override, log. Changes
    /// nothing, and tries each account at most once
    Diag,
    /// Open the machine's serial console, as `rackwright console` does
    Console,
}

/// Everything that a word needs.
struct Scene<'s> {
    settings: &'s Settings,
    world: &'s World,
    args: &'s BmcArgs,
}

/// Does what is asked. Exit code 1 when something is wrong, 2 when it was not done because nobody agreed.
pub fn bmc(args: &BmcArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let settings = settings::load(&args.config)?;
    let runtime = runtime()?;
    let world = runtime.block_on(known::world(&settings))?;
    let desired = world.desired.clone().ok_or_else(|| anyhow!("no revision of the repository is in force"))?;
    let scene = Scene { settings: &settings, world: &world, args };
    let Some(name) = &args.host else {
        let Word::Diag = args.word else { bail!("--all and --cluster are for `diag` only: name a host") };
        let specs = chosen(&desired, args.cluster.as_deref())?;
        return runtime.block_on(diag::many(&scene, &specs, out));
    };
    let spec = render::find(&desired, name)?;
    match args.word {
        Word::Info => runtime.block_on(info::info(&scene, spec, out)),
        Word::Diag => runtime.block_on(diag::one(&scene, spec, out)),
        Word::Console => runtime.block_on(console::open(&settings, &world, spec, args.force)),
        Word::Power { state } => act::power(&scene, spec, state, &runtime, out),
        Word::Boot { device } => runtime.block_on(act::boot(&scene, spec, device, out)),
    }
}

/// The hosts with a BMC, of one cluster or of all.
fn chosen(desired: &Desired, cluster: Option<&str>) -> anyhow::Result<Vec<Arc<HostSpec>>> {
    if let Some(name) = cluster
        && !desired.clusters.keys().any(|known| known.as_str() == name)
    {
        bail!("there is no cluster `{name}` in the repository");
    }
    let wanted = |spec: &&Arc<HostSpec>| spec.has_bmc() && cluster.is_none_or(|name| spec.id.cluster.as_str() == name);
    Ok(desired.hosts.values().filter(wanted).cloned().collect())
}
