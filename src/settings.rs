//! How the daemon runs: `rackwright.yaml`, raw -> validated. Unknown keys are errors; every finding names the line.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::Subnet;

/// Validated settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The repository that is watched.
    pub repository: Repository,
    /// Journal, mirror, caches.
    pub state_dir: PathBuf,
    /// What machines see of us.
    pub network: Network,
    /// The user that the installed systems get.
    pub deploy: Deploy,
    /// Defaults of Debian-based installers.
    pub debian: Debian,
    /// The `ansible-playbook` to run.
    pub ansible: Ansible,
    /// How BMCs are spoken to.
    pub bmc: Bmc,
    /// Limits and deadlines.
    pub limits: Limits,
    /// Where people are told.
    pub notifications: Option<Notifications>,
}

/// `repository:`
#[derive(Clone, Debug, PartialEq)]
pub struct Repository {
    /// A path, `file://`, `ssh://` or `https://`.
    pub url: String,
    /// The watched branch.
    pub branch: String,
    /// Where status is committed.
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
}

/// `network:`
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// What machines are told.
    pub address: Ipv4Addr,
    /// What we bind; default `address`.
    pub listen: Ipv4Addr,
    /// Serve DHCP on this interface only.
    pub interface: Option<String>,
    /// `dhcp.mode`
    pub dhcp_mode: DhcpMode,
    /// `dhcp.port`
    pub dhcp_port: u16,
    /// `dhcp.subnets`
    pub subnets: Vec<Subnet>,
    /// `tftp.port`
    pub tftp_port: u16,
    /// `tftp.root`: static files.
    pub tftp_root: Option<PathBuf>,
    /// `http.port`
    pub http_port: u16,
}

/// `network.dhcp.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DhcpMode {
    /// We hand out addresses and boot options.
    Full,
    /// Boot options only, beside another server.
    Proxy,
    /// No DHCP.
    Off,
}

/// `deploy:`
#[derive(Clone, Debug, PartialEq)]
pub struct Deploy {
    /// User name.
    pub username: String,
    /// Private key; its public half (`<path>.pub`) is served as `keys.txt`.
    pub ssh_key: Option<PathBuf>,
}

/// `debian:`
#[derive(Clone, Debug, PartialEq)]
pub struct Debian {
    /// Package mirror, full URL.
    pub mirror: String,
    /// Release name.
    pub release: String,
}

/// `ansible:`
#[derive(Clone, Debug, PartialEq)]
pub struct Ansible {
    /// The program.
    pub playbook: String,
    /// `--vault-password-file`.
    pub vault_password_file: Option<PathBuf>,
    /// Time limit of one run.
    pub timeout: Duration,
}

/// `bmc:`
#[derive(Clone, Debug, PartialEq)]
pub struct Bmc {
    /// How certificates are checked.
    pub tls: BmcTls,
    /// BMCs spoken to at once.
    pub concurrency: usize,
    /// HTTPS port of Redfish services (443).
    pub port: u16,
}

/// `bmc.tls`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BmcTls {
    /// Trust on first use, then only that certificate.
    Pin,
    /// Signed by this CA.
    Ca(PathBuf),
    /// Not checked at all.
    Insecure,
}

/// `limits:`
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Hosts being installed at once.
    pub concurrent_installs: usize,
    /// See `Policy::boot_timeout`.
    pub boot_timeout: Duration,
    /// See `Policy::install_timeout`.
    pub install_timeout: Duration,
    /// See `Policy::first_boot_timeout`.
    pub first_boot_timeout: Duration,
    /// See `Policy::publish_debounce`.
    pub publish_debounce: Duration,
    /// See `Policy::backoff_base`.
    pub backoff: Duration,
}

/// `notifications:` (PVC's block)
#[derive(Clone, PartialEq)]
pub struct Notifications {
    /// Where to; may carry a secret.
    pub uri: crate::model::Secret,
    /// HTTP method, upper case.
    pub method: String,
    /// Icon for each kind: info, begin, success, failure, completed.
    pub icons: std::collections::BTreeMap<String, String>,
    /// Appended to messages of kind `completed`.
    pub completed_triggerword: String,
    /// JSON body; `{icon}` and `{message}` are replaced in every string value.
    pub body: serde_json::Value,
}

impl std::fmt::Debug for Notifications {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifications").field("method", &self.method).finish_non_exhaustive()
    }
}
