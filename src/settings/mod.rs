//! How the daemon runs: `rackwright.yaml`, raw -> validated. Unknown keys are errors; every finding names the line.
//! Structs and fields are named after the file's sections and keys; times of `limits` are explained at
//! [`Policy`].
//!
//! [`parse()`] is pure; only [`load`] reads a file, and [`environment`] the environment.
#![allow(missing_docs, reason = "most names are the file's keys")]

mod outward;
mod parse;
mod raw;
mod section;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::words::words;
use crate::model::{Finding, Policy, Severity, Site, Subnet};

pub use outward::{Forge, ForgeKind, Notifications, Uri};

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{0}: {1}")]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("{}", lines(.0))]
    Invalid(Vec<Finding>),
}

fn lines(findings: &[Finding]) -> String {
    let line = |finding: &Finding| match &finding.hint {
        Some(hint) => format!("{finding}\n    hint: {hint}"),
        None => finding.to_string(),
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

const FILE_LIMIT: u64 = 1 << 20;

/// Reads a settings file. Relative paths in it are relative to its directory. Warnings are logged.
pub fn load(path: &Path) -> Result<Settings, SettingsError> {
    let unreadable = |error| SettingsError::Unreadable(path.to_path_buf(), error);
    if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_LIMIT {
        return Err(unreadable(io::Error::other("larger than 1 MiB: not a settings file")));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let full = std::path::absolute(path).map_err(unreadable)?;
    let base = full.parent().unwrap_or(Path::new("/"));
    let (settings, findings) = raw::read(&text, base, &path.to_string_lossy());
    settings.map_or(Err(SettingsError::Invalid(findings.clone())), |settings| {
        findings.iter().for_each(|finding| tracing::warn!("{finding}"));
        Ok(settings)
    })
}

/// Reads the text of a settings file; relative paths are relative to `base`. Errors are all there at once.
pub fn parse(text: &str, base: &Path) -> Result<Settings, Vec<Finding>> {
    let (settings, findings) = raw::read(text, base, "rackwright.yaml");
    settings.ok_or_else(|| findings.into_iter().filter(|f| f.severity == Severity::Error).collect())
}

/// Those of the named environment variables that are set.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment(names: &[&'static str]) -> Vec<(&'static str, OsString)> {
    names.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))).collect()
}

/// The path of our own program. After an upgrade that is the new one; when it was deleted, the one that runs.
pub fn own_program() -> PathBuf {
    match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from(format!("/proc/{}/exe", std::process::id())),
    }
}

/// One environment variable, by a name that is known only when we run.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// A repository's address without the credentials it may carry.
pub fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let Some((user, host)) = authority.rsplit_once('@') else { return url.into() };
    match user.split_once(':') {
        None if scheme == "ssh" => url.into(),
        Some((name, _)) if scheme == "ssh" => format!("{scheme}://{name}@{host}{path}"),
        _ => format!("{scheme}://{host}{path}"),
    }
}

impl Settings {
    /// The part that decisions need.
    pub fn policy(&self) -> Policy {
        let limits = &self.limits;
        Policy {
            poll_interval: self.repository.poll_interval,
            publish_debounce: limits.publish_debounce,
            boot_timeout: limits.boot_timeout,
            install_timeout: limits.install_timeout,
            first_boot_timeout: limits.first_boot_timeout,
            backoff_base: limits.backoff,
            concurrent_installs: limits.concurrent_installs,
            concurrent_bmc: self.bmc.concurrency,
            ansible_timeout: self.ansible.timeout,
            ssh: self.deploy.ssh_key.is_some(),
            receivers: self.notifications.iter().map(|it| it.receiver.clone()).collect(),
            commit_status: self.commit_status.is_some(),
            site: Site {
                address: self.network.address,
                http_port: self.network.http_port,
                tftp_port: self.network.tftp_port,
                subnets: self.network.subnets.clone(),
                leases_are_ours: self.network.dhcp_mode == DhcpMode::Full,
            },
            ..Policy::default()
        }
    }
}

/// Validated settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub repository: Repository,
    /// Journal, mirror, caches.
    pub state_dir: PathBuf,
    pub network: Network,
    /// The user that the installed systems get.
    pub deploy: Deploy,
    pub debian: Debian,
    pub ansible: Ansible,
    pub bmc: Bmc,
    pub limits: Limits,
    /// Where secrets come from that the repository does not hold in clear.
    pub secrets: SecretSources,
    pub notifications: Vec<Notifications>,
    /// The forge that is told how revisions stand.
    pub commit_status: Option<Forge>,
}

#[derive(Clone, PartialEq)]
pub struct Repository {
    /// A path, `file://`, `ssh://` or `https://`.
    pub url: String,
    pub branch: String,
    pub status_branch: String,
    /// How often to look without being woken.
    pub poll_interval: Duration,
    /// Private key for `ssh://`.
    pub ssh_key: Option<PathBuf>,
    /// Host keys for `ssh://`; always checked.
    pub known_hosts: Option<PathBuf>,
    /// File with the secret that signs push webhooks.
    pub webhook_secret_file: Option<PathBuf>,
    /// With it an unsigned or badly signed head is rejected (`gpg.ssh.allowedSignersFile`).
    pub allowed_signers: Option<PathBuf>,
    /// Private SSH key that commits to the watched branch are signed with.
    pub signing_key: Option<PathBuf>,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("url", &without_credentials(&self.url))
            .field("branch", &self.branch)
            .field("status_branch", &self.status_branch)
            .field("poll_interval", &self.poll_interval)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// What machines are told.
    pub address: Ipv4Addr,
    /// What we bind; default `address`.
    pub listen: Ipv4Addr,
    /// Serve DHCP on this interface only.
    pub interface: Option<String>,
    pub dhcp_mode: DhcpMode,
    pub dhcp_port: u16,
    pub subnets: Vec<Subnet>,
    pub tftp_port: u16,
    /// `tftp.root`: static files.
    pub tftp_root: Option<PathBuf>,
    /// Where iPXE's binaries are taken from that the static root does not have.
    pub ipxe: PathBuf,
    pub http_port: u16,
}

words! {
    /// `network.dhcp.mode`
    DhcpMode {
        /// We hand out addresses and boot options.
        Full "full"
        /// Boot options only, beside another server.
        Proxy "proxy"
        /// No DHCP.
        Off "off"
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Deploy {
    pub username: String,
    /// Private key; its public half (`<path>.pub`) is served as `keys.txt`.
    pub ssh_key: Option<PathBuf>,
    /// Port of the hosts' SSH servers (22).
    pub ssh_port: u16,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Debian {
    /// Package mirror, full URL; empty when not set: then an installer uses its own.
    pub mirror: String,
    pub release: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Ansible {
    pub playbook: String,
    /// `--vault-password-file`.
    pub vault_password_file: Option<PathBuf>,
    /// `--vault-id`: ids and their files, in the order in which they are tried.
    pub vault_ids: Vec<(String, PathBuf)>,
    pub timeout: Duration,
}

impl Ansible {
    /// What `ansible-playbook` is told of vault passwords: their files, never themselves.
    pub fn vault_arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        for (id, file) in &self.vault_ids {
            let mut value = OsString::from(format!("{id}@"));
            value.push(file);
            arguments.extend([OsString::from("--vault-id"), value]);
        }
        if let Some(file) = &self.vault_password_file {
            arguments.extend([OsString::from("--vault-password-file"), file.into()]);
        }
        arguments
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct SecretSources {
    /// The `sops` to run.
    pub sops: String,
    /// `SOPS_AGE_KEY_FILE` for it.
    pub age_key_file: Option<PathBuf>,
    /// Our environment variables that it gets besides, by name: credentials of a cloud's key service.
    pub sops_environment: Vec<String>,
}

impl Default for SecretSources {
    fn default() -> Self {
        SecretSources { sops: "sops".into(), age_key_file: None, sops_environment: Vec::new() }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Bmc {
    pub tls: BmcTls,
    /// BMCs spoken to at once.
    pub concurrency: usize,
    pub port: u16,
    pub ipmi_port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BmcTls {
    /// Trust on first use, then only that certificate.
    Pin,
    Ca(PathBuf),
    /// Not checked at all.
    Insecure,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub concurrent_installs: usize,
    pub boot_timeout: Duration,
    pub install_timeout: Duration,
    pub first_boot_timeout: Duration,
    pub publish_debounce: Duration,
    pub backoff: Duration,
}
