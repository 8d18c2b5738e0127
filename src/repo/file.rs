//! The on-disk shape of a repository: what the JSON Schemas are generated from, and which keys are known where.
//!
//! These types are never filled: reading them with serde would stop at the first mistake and lose places. The typed
//! reading in [`read`](super::read) takes its lists of known keys from here, so that schema and reader cannot drift.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::Value;

use self::bootstrap::{Bmc, BootstrapFile, Cluster, Config, DiskHints, Host, HostNode, Playbook};
use self::hook::{Argument, Hook, HookDefinition, Items};
use self::scalar::YesNo;
use crate::model::ClaimBy;

pub mod bootstrap;
pub mod hook;
pub mod scalar;

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
    /// What it boots: fetched, verified and kept by the daemon, before a host that needs it is installed.
    pub images: Option<Vec<Image>>,
}

/// One of `images:`. Templates find its URL as `images.<name>`.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Image {
    /// What templates call it, and the last part of its URL: `vmlinuz`.
    pub name: String,
    /// Where it comes from: an `http` or `https` URL.
    pub url: Option<String>,
    /// Where it comes from: a path below `network.tftp.root`.
    pub path: Option<String>,
    /// Its SHA-256, 64 hex digits.
    #[schemars(regex(pattern = "^[0-9A-Fa-f]{64}$"))]
    pub sha256: String,
    /// Its vendor's detached OpenPGP signature.
    pub signature: Option<Signature>,
}

/// `signature:` of an image.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Signature {
    /// Where the signature comes from: an `http` or `https` URL.
    pub url: Option<String>,
    /// Where the signature comes from: a path below `network.tftp.root`.
    pub path: Option<String>,
    /// What was signed, when it is not the image itself: the URL (or path below `network.tftp.root`) of a list of sums,
    /// such as `SHA256SUMS`, that names the image's digest.
    pub sums: Option<String>,
    /// The keys that count: a file beside the manifest, or the path of a keyring on the daemon's host.
    pub keyring: String,
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

/// Names and texts of all schemas, as in `repo-schema/v1/<name>.schema.json`.
pub fn schemas() -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("base", text::<BaseFile>()),
        ("bootstrap", pretty(crate::repo::hook::schema::known_types(schema::<BootstrapFile>().to_value()))),
        ("clusters", text::<ClustersFile>()),
        ("hook", text::<HookDefinition>()),
        ("installer", text::<InstallerFile>()),
        ("pvc", text::<PvcFile>()),
    ])
}

fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}

fn text<T: JsonSchema>() -> String {
    pretty(schema::<T>().to_value())
}

fn pretty(schema: Value) -> String {
    // Serializing a schema cannot fail: it is JSON already.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// Known keys of every mapping, taken from the types above.
pub struct Keys {
    pub clusters: Vec<String>,
    pub bootstrap: Vec<String>,
    pub cluster: Vec<String>,
    pub ansible: Vec<String>,
    pub host: Vec<String>,
    pub node: Vec<String>,
    pub config: Vec<String>,
    pub disk_hints: Vec<String>,
    pub bmc: Vec<String>,
    pub hook: Vec<String>,
    /// `hook.yaml`
    pub definition: Vec<String>,
    pub argument: Vec<String>,
    pub items: Vec<String>,
    /// `installer.yaml`
    pub installer: Vec<String>,
    pub template: Vec<String>,
    pub image: Vec<String>,
    pub signature: Vec<String>,
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
    hook: keys::<Hook>(),
    definition: keys::<HookDefinition>(),
    argument: keys::<Argument>(),
    items: keys::<Items>(),
    installer: keys::<InstallerFile>(),
    template: keys::<TemplateFile>(),
    image: keys::<Image>(),
    signature: keys::<Signature>(),
});

fn keys<T: JsonSchema>() -> Vec<String> {
    let schema = schema::<T>();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|map| map.keys().cloned()).collect()
}
