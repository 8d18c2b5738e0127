//! `rackwright render`: the boot and answer files of one host, as machines would read them; or the whole repository as
//! another DHCP server's configuration.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anstyle::Style;
use anyhow::bail;

use super::export::{self, Server};
use super::{source, validate};
use crate::model::{BootFile, Desired, HostSpec};
use crate::settings;
use crate::yaml::word::nearest;
#[derive(clap::Args, Debug)]
pub struct RenderArgs {
    /// The host: its name, or CLUSTER/HOST where the name is used twice
    #[arg(required_unless_present = "dhcp")]
    pub host: Option<String>,
    /// The repository
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Only this file, without a header
    #[arg(long, value_name = "NAME", conflicts_with = "dhcp")]
    pub file: Option<String>,
    /// Every reservation and boot option as a configuration of this DHCP server, for network.dhcp.mode: off; HOST is
    /// left out
    #[arg(long, value_name = "SERVER", value_enum, requires = "config")]
    pub dhcp: Option<Server>,
    /// A revision instead of the working tree
    #[arg(long, value_name = "REV")]
    pub rev: Option<String>,
    /// The daemon's settings, for what templates are told
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Prints them. The claim's token is not known before a machine claims: its mark stands in its place. Exit code 1 when
/// the repository is invalid.
pub fn render(args: &RenderArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let settings = args.config.as_deref().map(settings::load).transpose()?;
    let (host, path) = places(args)?;
    let (tree, revision) = validate::read(path, args.rev.as_deref())?;
    let loaded = source::load(&tree, settings.as_ref(), None, revision);
    let Some(desired) = &loaded.desired else {
        validate::text(&loaded, &mut anstream::stderr())?;
        return Ok(1);
    };
    if let (Some(server), Some(settings)) = (args.dhcp, &settings) {
        out.write_all(export::export(server, settings, desired)?.as_bytes())?;
        return Ok(0);
    }
    let host = find(desired, host)?;
    match &args.file {
        Some(name) => out.write_all(file(host, name)?.body.as_bytes())?,
        None => all(host, out)?,
    }
    Ok(0)
}

/// The host and the repository. With `--dhcp` there is no host, so that the first word is the repository.
fn places(args: &RenderArgs) -> anyhow::Result<(&str, &Path)> {
    match (args.host.as_deref(), args.dhcp) {
        (Some(_), Some(_)) if args.path != Path::new(".") => bail!("--dhcp is about every host: leave HOST out"),
        (Some(path), Some(_)) => Ok(("", Path::new(path))),
        (host, _) => Ok((host.unwrap_or_default(), &args.path)),
    }
}

/// The host that a person names: shortly, by cluster and name, or in full.
pub fn find<'d>(desired: &'d Desired, name: &str) -> anyhow::Result<&'d Arc<HostSpec>> {
    let named = |spec: &&Arc<HostSpec>| *spec.id.host == *name || spec.id.to_string() == name || spec.fqdn == name;
    let found: Vec<_> = desired.hosts.values().filter(named).collect();
    match found[..] {
        [one] => Ok(one),
        [] => {
            let known = desired.hosts.keys().map(|id| &*id.host);
            match nearest(name, known.clone()) {
                Some(near) => bail!("there is no host `{name}` in the repository; did you mean `{near}`?"),
                None => bail!("there is no host `{name}` in the repository ({} hosts are)", known.len()),
            }
        }
        _ => {
            let names: Vec<_> = found.iter().map(|spec| spec.id.to_string()).collect();
            bail!("`{name}` can be {}; say which", names.join(" or "))
        }
    }
}

/// A file's name as the machine asks for it, as far as its boot MAC is written.
fn name_for(host: &HostSpec, file: &BootFile) -> String {
    match host.boot_mac {
        Some(mac) => file.name.replace("{mac}", &mac.hex()),
        None => file.name.to_string(),
    }
}

fn file<'h>(host: &'h HostSpec, name: &str) -> anyhow::Result<&'h BootFile> {
    let found = host.files.iter().find(|file| *file.name == *name || name_for(host, file) == name);
    found.ok_or_else(|| {
        let names: Vec<_> = host.files.iter().map(|file| name_for(host, file)).collect();
        anyhow::anyhow!("{} has no file `{name}`; it has {}", host.id, names.join(", "))
    })
}

/// Every file under a header, as `head` prints several files.
fn all(host: &HostSpec, out: &mut dyn Write) -> anyhow::Result<()> {
    let bold = Style::new().bold();
    for (index, file) in host.files.iter().enumerate() {
        let gap = if index > 0 { "\n" } else { "" };
        writeln!(out, "{gap}{bold}==> {} <=={bold:#}", name_for(host, file))?;
        let end = if file.body.ends_with('\n') { "" } else { "\n" };
        write!(out, "{}{end}", file.body)?;
    }
    Ok(())
}
