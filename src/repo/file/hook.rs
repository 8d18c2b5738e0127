//! Hooks on disk: in a `bootstrap.yml`, and their definitions in `hooks/<name>/hook.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::scalar::{Scalar, YesNo};
use crate::model::words::words;
use crate::model::{OnFailure, Place, Rerun, Scope};

/// A hook: something that is run after the configuration.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Hook {
    /// For people.
    pub name: String,
    /// A directory under `hooks/`: a shipped one, or the site's own.
    #[serde(rename = "type")]
    pub kind: String,
    /// The hosts it is about: short names, or `all`.
    pub target: Option<Target>,
    /// Its arguments; which there are, its definition says.
    pub args: Option<BTreeMap<String, Value>>,
    /// What its failure means for the hooks after it. Default: `stop`.
    pub on_failure: Option<OnFailure>,
    /// Whether running it twice is harmless, so that a failure is tried again. Default: what its definition says.
    pub retry: Option<YesNo>,
    /// What makes it run again although it is done. Default: what its definition says.
    pub rerun: Option<Rerun>,
    /// How long it may take for each target, as `30m`. Default: what its definition says.
    pub time_limit: Option<String>,
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

/// `hooks/<name>/hook.yaml`: what the program `run` beside it does, where, and with which arguments.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct HookDefinition {
    /// Its name: that of its directory.
    pub name: String,
    /// What it does, for people.
    pub description: String,
    /// How often it is run.
    pub scope: Scope,
    /// Where it is run.
    pub run_on: Place,
    /// A shell command that must succeed on the host before the hook begins; it is asked again until it does.
    pub ready: Option<String>,
    /// How long it may take for each target, as `90s`, `30m` or `1h30m`. Without it, as long as Ansible.
    pub time_limit: Option<String>,
    /// What makes it run again although it is done. Default: `on-reinstall`.
    pub rerun: Option<Rerun>,
    /// Whether running it twice is harmless: then a failure is tried again.
    pub retry: YesNo,
    /// Name of the boolean argument that asks for root on the host.
    pub sudo: Option<String>,
    /// Groups of arguments: exactly one group is written, and that whole.
    pub one_of: Option<Vec<Vec<String>>>,
    /// Lists that must have the same length.
    pub same_length: Option<Vec<String>>,
    /// Its arguments, by name.
    pub args: Option<BTreeMap<String, Argument>>,
}

/// An argument. The program finds it as `ARG_<NAME>`, in upper case.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Argument {
    /// What it means, for people.
    pub description: String,
    /// What can be written.
    #[serde(flatten)]
    pub kind: Items,
    /// Whether it must be written.
    pub required: Option<YesNo>,
    /// What it is when it is not written.
    pub default: Option<Value>,
    /// It counts only when these arguments, which are written above it, have these values; otherwise it is ignored.
    pub when: Option<BTreeMap<String, Scalar>>,
    /// Whether a text, or the file that a `file` names, comes to lie beside the program, which is given its path there;
    /// or the values of other arguments for which it does. Default: yes for `file`, no for `text`.
    pub attach: Option<Attach>,
}

/// What an argument, or each item of a list, can be.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
pub struct Items {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Type,
    /// The smallest value of a number.
    pub min: Option<f64>,
    /// The largest value of a number.
    pub max: Option<f64>,
    /// Words that may stand instead of a number.
    pub or: Option<Vec<String>>,
    /// The words of a choice.
    pub values: Option<Vec<String>>,
    /// Whether a choice may be written in any case.
    pub ignore_case: Option<YesNo>,
    /// What each item of a list can be.
    pub items: Option<Box<Items>>,
    /// The version of an address or network: 4 or 6.
    #[schemars(range(min = 4, max = 6))]
    pub version: Option<u32>,
}

/// `attach:`
#[derive(JsonSchema, Serialize)]
#[schemars(untagged)]
pub enum Attach {
    /// Always, or never.
    Fixed(YesNo),
    /// When these arguments have these values.
    When(BTreeMap<String, Scalar>),
}

words! {
    /// `type:` of an argument.
    Type {
        /// Any text.
        Text "text"
        /// Text on one line.
        Line "line"
        /// Text without blanks, not beginning with a hyphen.
        Word "word"
        /// A program's text with its `#!` line; comes to lie beside the program.
        Script "script"
        /// A boolean; given as `true` or `false`.
        Boolean "boolean"
        /// A whole number.
        Number "number"
        /// A number that may have a fraction.
        Float "float"
        /// One of some words.
        Choice "choice"
        /// A list; `items` says of what.
        List "list"
        /// A disk: a path below `/dev`, or `detect:NAME:SIZE:INDEX`.
        Disk "disk"
        /// File permission bits; given in octal, as `0644`.
        Mode "mode"
        /// An absolute path on the host.
        Path "path"
        /// A file of the repository (relative), or of the bootstrap host (absolute).
        File "file"
        /// An IP address.
        Address "address"
        /// A network in CIDR notation.
        Network "network"
        /// An absolute `http` or `https` URI.
        Uri "uri"
        /// Copies of data, as `copies=3,mincopies=2`.
        Replication "replication"
        /// Anything; given as JSON.
        Json "json"
    }
}
