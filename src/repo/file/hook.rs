//! Hooks of a `bootstrap.yml` on disk, with the arguments of every type.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::scalar::{Mode, Number, Scalar, YesNo};

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
