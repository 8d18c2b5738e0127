//! The on-disk shape of a repository: what the JSON Schemas are generated from, and which keys are known where.
//!
//! These types are never filled: reading them with serde would stop at the first mistake and lose places. The typed
//! reading in [`read`](super::read) takes its lists of known keys from here, so that schema and reader cannot drift.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;

/// `clusters.yml`: which clusters there are.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct ClustersFile {
    /// Names of clusters; each is a directory under `group_vars/` and a group of the inventory. Null means none.
    pub clusters: Option<Vec<String>>,
}

/// `group_vars/<cluster>/base.yml`: Ansible variables of a cluster. Only `local_domain` is used here; Ansible uses the rest.
#[derive(JsonSchema, Serialize)]
pub struct BaseFile {
    /// Domain of the cluster's hosts: a host's full name is `<hostname>.<local_domain>`.
    pub local_domain: String,
}

/// `group_vars/<cluster>/pvc.yml`: read by PVC's Ansible roles; only its syntax is checked here.
#[derive(JsonSchema, Serialize)]
#[schemars(transparent)]
pub struct PvcFile(pub BTreeMap<String, Value>);

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
}

/// `cluster.on_complete`
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnComplete {
    /// Shut down gracefully, indicator LED off.
    PowerOff,
    /// Left running, indicator LED off.
    None,
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
    pub state: Option<State>,
}

/// `node.state`
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Normal.
    Present,
    /// Left alone for now.
    Maintenance,
    /// Out of service.
    Retired,
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
    /// The disk to install to: `/dev/…`, `detect:NAME:SIZE:INDEX`, or one or two chassis slots (`"0"`, `"1"`: RAID-1).
    pub system_disks: Option<Vec<String>>,
    /// Instead of `system_disks`: what the disk to install to looks like.
    pub disk_hints: Option<DiskHints>,
    /// What may be erased: only the disk that is installed to.
    pub wipe: Option<Wipe>,
    /// MAC address of the interface that boots from the network. Without it the BMC is asked.
    pub boot_mac: Option<String>,
    /// Fixed IPv4 address on the boot network. Without it one of the dynamic range is leased.
    #[schemars(extend("format" = "ipv4"))]
    pub address: Option<String>,
    /// How the machine is told to boot its own disk when it asks the network although it is installed.
    pub local_boot: Option<LocalBoot>,
}

/// `config.filesystem`
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Filesystem {
    /// ext4
    Ext4,
    /// XFS
    Xfs,
}

/// `config.wipe`
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wipe {
    /// Only the disk that is installed to.
    Target,
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

/// `config.local_boot`
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalBoot {
    /// Boot the first disk on a BIOS, leave iPXE on UEFI.
    Auto,
    /// iPXE boots the first disk.
    Sanboot,
    /// iPXE leaves; the firmware goes on with its next boot entry.
    Exit,
    /// No boot file is offered at all.
    Firmware,
}

/// `bmc:`
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Bmc {
    /// The protocol to drive it with; `none` for a machine without BMC.
    pub protocol: Option<Protocol>,
    /// PVC's older form of `protocol`: `yes` is `redfish`, `no` is `none`.
    pub redfish: Option<YesNo>,
    /// Its address. Without it the address leased to its MAC is used.
    pub address: Option<String>,
    /// User name.
    pub username: Option<String>,
    /// Password as it is before configuration.
    pub password: Option<Scalar>,
    /// BIOS attributes to set, by name.
    pub bios_settings: Option<BTreeMap<String, Scalar>>,
    /// Attributes of the BMC to set, by name.
    pub manager_settings: Option<BTreeMap<String, Scalar>>,
}

/// `bmc.protocol`
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// DMTF Redfish.
    Redfish,
    /// IPMI 2.0 over LAN.
    Ipmi,
    /// No BMC: people press buttons.
    None,
}

/// A hook: something that is run after the configuration.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Hook {
    /// For people.
    pub name: String,
    /// The hosts it is about: short names, or `all`.
    pub target: Option<Target>,
    /// What it does, and with what.
    #[serde(flatten)]
    pub kind: HookKind,
}

/// `target:`
#[derive(JsonSchema, Serialize)]
#[schemars(untagged)]
pub enum Target {
    /// A name, or `all`.
    One(String),
    /// Names.
    Many(BTreeSet<String>),
}

/// `type:` and `args:`
#[derive(JsonSchema, Serialize)]
#[serde(tag = "type", content = "args", rename_all = "lowercase")]
pub enum HookKind {
    /// Create a volume group for OSD databases.
    OsdDb(OsdDb),
    /// Create OSDs.
    Osd(Osd),
    /// Create a storage pool.
    Pool(Pool),
    /// Create a network.
    Network(Network),
    /// Copy files to hosts.
    Copy(Copy),
    /// Run a script on hosts.
    Script(Script),
    /// Send one HTTP request from the bootstrap host.
    Webhook(Webhook),
}

/// Arguments of `osddb`.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct OsdDb {
    /// The disk: a path or `detect:NAME:SIZE:INDEX`.
    pub disk: String,
}

/// Arguments of `osd`.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Osd {
    /// The disk: a path or `detect:NAME:SIZE:INDEX`.
    pub disk: String,
    /// Weight.
    pub weight: Option<f64>,
    /// OSDs on this disk.
    pub osd_count: Option<u32>,
    /// Whether the database goes to the volume group of `osddb`.
    pub ext_db: Option<YesNo>,
    /// How much of it, as a ratio of the disk.
    pub ext_db_ratio: Option<f64>,
}

/// Arguments of `pool`.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Pool {
    /// Name.
    pub name: String,
    /// Placement groups.
    pub pgs: Option<Number>,
    /// Tier of disks.
    pub tier: Option<Tier>,
    /// Replication, as `copies=3,mincopies=2`.
    pub replcfg: Option<String>,
}

/// `tier:`
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Any disk.
    Default,
    /// Rotating disks.
    Hdd,
    /// SATA and SAS solid-state disks.
    Ssd,
    /// NVMe disks.
    Nvme,
}

/// Arguments of `network`.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Network {
    /// VLAN or VXLAN number.
    pub vni: Number,
    /// Description, without spaces.
    pub description: String,
    /// Bridged or managed.
    #[serde(rename = "type")]
    pub kind: NetworkKind,
    /// A number, `auto` or `default`.
    pub mtu: Option<Scalar>,
    /// DNS domain (managed).
    pub domain: Option<String>,
    /// DNS servers (managed).
    pub dns_servers: Option<Vec<String>>,
    /// Whether there is IPv4 (managed).
    pub ip4: Option<YesNo>,
    /// IPv4 network in CIDR notation.
    pub ip4_network: Option<String>,
    /// IPv4 gateway.
    pub ip4_gateway: Option<String>,
    /// Whether there is DHCP for IPv4.
    pub ip4_dhcp: Option<YesNo>,
    /// First address of the DHCP range.
    pub ip4_dhcp_start: Option<String>,
    /// Last address of the DHCP range.
    pub ip4_dhcp_end: Option<String>,
    /// Whether there is IPv6 (managed).
    pub ip6: Option<YesNo>,
    /// IPv6 network in CIDR notation.
    pub ip6_network: Option<String>,
    /// IPv6 gateway.
    pub ip6_gateway: Option<String>,
}

/// `args.type` of a network.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    /// A VLAN bridged to the outside.
    Bridged,
    /// A VXLAN with addresses and services of its own.
    Managed,
}

/// Arguments of `copy`: three lists of the same length.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Copy {
    /// Files, relative to the repository or absolute on the bootstrap host.
    pub source: Vec<String>,
    /// Where they go.
    pub destination: Vec<String>,
    /// Their modes, in octal.
    pub mode: Vec<Mode>,
}

/// Arguments of `script`: either `script`, or `source` and `path`.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Script {
    /// The script itself, with its `#!` line.
    pub script: Option<String>,
    /// Where `path` is: on the bootstrap host (relative to the repository), or on the hosts already.
    pub source: Option<ScriptSource>,
    /// Path of the script.
    pub path: Option<String>,
    /// Its arguments.
    pub arguments: Option<Vec<String>>,
    /// Whether it is run with `sudo`.
    pub use_sudo: Option<YesNo>,
}

/// `args.source` of a script.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScriptSource {
    /// Copied to the hosts first.
    Local,
    /// On the hosts already.
    Remote,
}

/// Arguments of `webhook`.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Webhook {
    /// Where to: an absolute `http` or `https` URI.
    #[schemars(extend("format" = "uri"))]
    pub uri: String,
    /// HTTP method.
    pub action: Verb,
    /// Sent as JSON.
    pub body: Option<Value>,
}

/// An HTTP method.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
    /// HEAD
    Head,
}

/// `installers/<name>/installer.yaml`: an installer and its templates.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct InstallerFile {
    /// Its name: that of its directory.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// What counts as the machine's claim: reading its answer file, or a check-in with action `claim`.
    pub claim: ClaimBy,
    /// Whether it cannot work without a disk named in `config`.
    pub needs_disk: Option<YesNo>,
    /// The files a machine can read.
    pub files: Vec<TemplateFile>,
}

/// `claim:`
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimBy {
    /// A check-in with action `claim`.
    CheckIn,
    /// The one read of the answer file.
    AnswerFile,
}

/// One file of an installer.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct TemplateFile {
    /// Its name for machines; `{mac}` stands for the twelve hex digits of the boot MAC.
    pub name: String,
    /// The template, beside the manifest.
    pub template: String,
    /// Whether it is the answer file.
    pub answer: Option<YesNo>,
}

/// A boolean as YAML 1.1 writes it.
#[derive(Serialize)]
pub struct YesNo;

impl JsonSchema for YesNo {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "YesNo".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A boolean; unquoted `yes`, `no`, `on` and `off` are booleans too.",
            "enum": [true, false, "yes", "no", "on", "off", "Yes", "No", "On", "Off", "YES", "NO", "ON", "OFF"],
        })
    }
}

/// Text or a number or a boolean.
#[derive(Serialize)]
pub struct Scalar;

impl JsonSchema for Scalar {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A whole number, quoted or not.
#[derive(Serialize)]
pub struct Number;

impl JsonSchema for Number {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9]+$" }] })
    }
}

/// File permission bits.
#[derive(Serialize)]
pub struct Mode;

impl JsonSchema for Mode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mode".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Octal permission bits: \"0600\", 0o600 or \"0o600\". A bare 600 is refused: it means something else.",
            "anyOf": [{ "type": "string", "pattern": "^(0o|0)?[0-7]{3,4}$" }, { "type": "integer" }],
        })
    }
}

/// Names and texts of all schemas, as in `repo-schema/v1/<name>.schema.json`.
pub fn schemas() -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("base", text::<BaseFile>()),
        ("bootstrap", text::<BootstrapFile>()),
        ("clusters", text::<ClustersFile>()),
        ("installer", text::<InstallerFile>()),
        ("pvc", text::<PvcFile>()),
    ])
}

fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}

fn text<T: JsonSchema>() -> String {
    // Serializing a schema cannot fail: it is JSON already.
    let mut text = serde_json::to_string_pretty(schema::<T>().as_value()).unwrap_or_default();
    text.push('\n');
    text
}

/// Known keys of every mapping, taken from the types above.
pub struct Keys {
    /// `clusters.yml`
    pub clusters: Vec<String>,
    /// `bootstrap.yml`
    pub bootstrap: Vec<String>,
    /// `cluster:`
    pub cluster: Vec<String>,
    /// `cluster.ansible`
    pub ansible: Vec<String>,
    /// One machine.
    pub host: Vec<String>,
    /// `node:`
    pub node: Vec<String>,
    /// `config:`
    pub config: Vec<String>,
    /// `config.disk_hints`
    pub disk_hints: Vec<String>,
    /// `bmc:`
    pub bmc: Vec<String>,
    /// One hook.
    pub hook: Vec<String>,
    /// `args:` by hook type.
    pub args: BTreeMap<&'static str, Vec<String>>,
    /// `installer.yaml`
    pub installer: Vec<String>,
    /// One of its files.
    pub template: Vec<String>,
}

/// Known keys of every mapping.
pub static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    clusters: keys::<ClustersFile>(),
    bootstrap: keys::<BootstrapFile>(),
    cluster: keys::<Cluster>(),
    ansible: keys::<Playbook>(),
    host: keys::<Host>(),
    node: keys::<HostNode>(),
    config: keys::<Config>(),
    disk_hints: keys::<DiskHints>(),
    bmc: keys::<Bmc>(),
    hook: ["name", "type", "target", "args"].map(String::from).to_vec(),
    args: BTreeMap::from([
        ("osddb", keys::<OsdDb>()),
        ("osd", keys::<Osd>()),
        ("pool", keys::<Pool>()),
        ("network", keys::<Network>()),
        ("copy", keys::<Copy>()),
        ("script", keys::<Script>()),
        ("webhook", keys::<Webhook>()),
    ]),
    installer: keys::<InstallerFile>(),
    template: keys::<TemplateFile>(),
});

fn keys<T: JsonSchema>() -> Vec<String> {
    let schema = schema::<T>();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|map| map.keys().cloned()).collect()
}
