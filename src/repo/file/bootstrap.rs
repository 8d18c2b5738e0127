//! `bootstrap.yml` on disk: the cluster's block and its machines.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::hook::Hook;
use super::scalar::{Scalar, YesNo};
use crate::model::words::words;
use crate::model::{BootMode, Lifecycle, LocalBoot, NetworkBoot, OnComplete};

/// `group_vars/<cluster>/bootstrap.yml`: the machines of a cluster and what happens to them.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct BootstrapFile {
    /// The machines, by the MAC address of their BMC (for a machine without BMC: by any MAC of it, or its boot MAC).
    pub bootstrap: Option<BTreeMap<String, Host>>,
    /// What is run after the configuration, in this order.
    pub hooks: Option<Vec<Hook>>,
    /// How the cluster is installed and configured.
    pub cluster: Option<Cluster>,
    /// Metadata of a SOPS-encrypted file.
    pub sops: Option<BTreeMap<String, Value>>,
}

/// `cluster:`
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Cluster {
    /// Directory name under `installers/`, shipped or the site's own.
    #[schemars(extend("default" = "pvc"))]
    pub installer: Option<String>,
    /// Default generation of every host here. Raise it to consent to wiping and reinstalling all of them.
    #[schemars(range(min = 1))]
    pub generation: Option<u32>,
    /// What configures the cluster once every host has booted: a playbook, or `none`.
    pub ansible: Option<Ansible>,
    /// Raise it to let a failed task of the cluster run again.
    #[schemars(range(min = 1))]
    pub run: Option<u32>,
    /// What happens to the machines when everything is done.
    pub on_complete: Option<OnComplete>,
    /// Quick attempts before a person is asked to look.
    #[schemars(range(max = 100))]
    pub retries: Option<u32>,
}

/// `cluster.ansible`
#[derive(JsonSchema, Serialize)]
#[schemars(untagged)]
pub enum Ansible {
    /// No configuration run.
    None(NoneWord),
    /// A playbook.
    Playbook(Playbook),
}

/// The word `none`.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoneWord {
    /// Nothing.
    None,
}

/// `cluster.ansible`
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Playbook {
    /// Path of the playbook inside the repository.
    pub playbook: String,
    /// Whether it restarts its hosts: then a host is configured once Ansible has succeeded and the restart was seen.
    /// Default: `yes` for the installer `pvc`, whose roles end so.
    pub reboots: Option<YesNo>,
    /// Whether what it writes below `files/<cluster_group>/` is encrypted with ansible-vault before it is committed.
    pub encrypt_generated: Option<YesNo>,
}

/// One machine.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Host {
    /// Who it is.
    pub node: HostNode,
    /// What is installed on it, and how it boots.
    pub config: Option<Config>,
    /// How its BMC is reached.
    pub bmc: Bmc,
}

/// `node:`
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct HostNode {
    /// Short host name, as in the inventory.
    pub hostname: String,
    /// Consent to wipe and install this machine, as a number: raise it to reinstall. Default: `cluster.generation`.
    #[schemars(range(min = 1))]
    pub generation: Option<u32>,
    /// Whether the machine takes part.
    pub state: Option<Lifecycle>,
}

/// `config:`
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// Additional kernel options for the installer.
    pub kernel_options: Option<Vec<String>>,
    /// Debian release to install. Default: the daemon's `debian.release`.
    pub release: Option<String>,
    /// Debian mirror to install from. Default: the daemon's `debian.mirror`.
    pub mirror: Option<String>,
    /// Additional Debian packages to install.
    pub packages: Option<Vec<String>>,
    /// Filesystem of the system volumes.
    pub filesystem: Option<Filesystem>,
    /// The disk to install to: `/dev/…`, `detect:NAME:SIZE:INDEX`, or one or two chassis slots (`"0"`, `"1"`: RAID-1; with
    /// several boxes of bays `"BOX:BAY"`).
    pub system_disks: Option<Vec<String>>,
    /// Instead of `system_disks`: what the disk to install to looks like.
    pub disk_hints: Option<DiskHints>,
    /// What may be erased besides the disk that is installed to: nothing (`target`), or RAID volumes that use the chosen
    /// chassis slots (`volumes`).
    pub wipe: Option<Wipe>,
    /// MAC address of the interface that boots from the network. Without it the BMC is asked.
    pub boot_mac: Option<String>,
    /// Fixed IPv4 address on the boot network. Without it one of the dynamic range is leased.
    #[schemars(extend("format" = "ipv4"))]
    pub address: Option<String>,
    /// How the machine is told to boot its own disk when it asks the network although it is installed.
    pub local_boot: Option<LocalBoot>,
}

words! {
    /// `config.filesystem`
    Filesystem {
        Ext4 "ext4"
        Xfs "xfs"
    }
}

words! {
    /// `config.wipe`
    Wipe {
        /// Only the disk that is installed to.
        Target "target"
        /// RAID volumes that stand in the way on the chosen chassis slots as well, with all drives they are made of.
        Volumes "volumes"
    }
}

/// `config.disk_hints`: either `wwn`, or `model` and `size`.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct DiskHints {
    /// World Wide Name, as in `/dev/disk/by-id/wwn-…`.
    pub wwn: Option<String>,
    /// A word of the disk's vendor or model.
    pub model: Option<String>,
    /// Its size as the installer's `lsscsi -s` prints it, for example `480GB` or `2.00TB`.
    pub size: Option<String>,
    /// Which of several equal disks, from 0.
    pub index: Option<u32>,
}

/// `bmc:`
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Bmc {
    /// The protocol to drive it with; `none` for a machine without BMC. Default: Redfish where the BMC has it, else IPMI.
    pub protocol: Option<Protocol>,
    /// PVC's older form of `protocol`: `yes` is `redfish`, `no` is `none`.
    pub redfish: Option<YesNo>,
    /// Its address. Without it the address leased to its MAC is used.
    pub address: Option<String>,
    /// User name.
    pub username: Option<String>,
    /// Password as it is before configuration; may be encrypted. Instead of it `password_file` or `password_env`.
    pub password: Option<Scalar>,
    /// A file on the bootstrap host that holds the password: an absolute path.
    #[schemars(regex(pattern = "^/"))]
    pub password_file: Option<String>,
    /// The environment variable of the daemon that holds the password.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub password_env: Option<String>,
    /// SHA-256 fingerprint of the certificate it must show, with or without colons. Default: the first one that it shows.
    pub fingerprint: Option<String>,
    /// How the machine is told to boot from the network. Default: `pxe`.
    pub network_boot: Option<NetworkBoot>,
    /// The firmware mode of the network boot. Default: `uefi`.
    pub boot_mode: Option<BootMode>,
    /// BIOS attributes to set before an install, by name; Redfish only.
    pub bios_settings: Option<BTreeMap<String, Scalar>>,
    /// Attributes of the BMC to set before an install, by name; Redfish only.
    pub manager_settings: Option<BTreeMap<String, Scalar>>,
}

words! {
    /// `bmc.protocol`, as it can be written.
    Protocol {
        /// DMTF Redfish.
        Redfish "redfish"
        /// IPMI 2.0 over LAN.
        Ipmi "ipmi"
        /// No BMC: people press buttons.
        None "none"
    }
}
