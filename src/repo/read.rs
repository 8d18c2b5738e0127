//! Typed reading of a [`Node`] tree: every mistake becomes a finding at its place, and reading goes on.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::borrow::Cow;
use std::sync::Arc;

use super::vars::{Scope, Trouble};
use crate::model::Finding;
use crate::yaml::scalar::{self, Refusal};
use crate::yaml::word::{did_you_mean, known_keys};
use crate::yaml::{Key, Node, Place};

mod secret;

/// Reads values of one file.
pub struct Reader<'a> {
    pub path: &'a str,
    /// The variables that Jinja in its values may use.
    pub scope: Arc<Scope>,
    pub found: &'a mut Vec<Finding>,
    /// What could not be read because it is encrypted, or is encrypted where it must not be, as sentences for people.
    /// Whatever needs it is blocked.
    pub sealed: Vec<String>,
    errors: usize,
}

/// A mapping that is being read.
pub struct Fields<'n> {
    node: Cow<'n, Node>,
    /// Where its key is (the place of the mapping itself is that of its first entry).
    pub place: Place,
    what: String,
}

impl Fields<'_> {
    /// The value of `key`; `None` when absent or null.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.node.get(key).filter(|node| !node.is_null())
    }

    /// The value of `key`, null included.
    pub fn raw(&self, key: &str) -> Option<&Node> {
        self.node.get(key)
    }

    /// Where `key` is written; the mapping's place when it is not.
    pub fn place_of(&self, key: &str) -> Place {
        let entry = self.node.map().and_then(|map| map.iter().find(|(known, _)| &*known.text == key));
        entry.map_or(self.place, |(key, _)| key.place)
    }

    /// The name of `key` for messages: `node.hostname`.
    pub fn name(&self, key: &str) -> String {
        if self.what.is_empty() { key.to_string() } else { format!("{}.{key}", self.what) }
    }

    /// Every entry.
    pub fn entries(&self) -> &[(Key, Node)] {
        self.node.map().unwrap_or_default()
    }
}

impl<'a> Reader<'a> {
    /// A reader of one file.
    pub fn new(path: &'a str, scope: Arc<Scope>, found: &'a mut Vec<Finding>) -> Self {
        Reader { path, scope, found, sealed: Vec::new(), errors: 0 }
    }

    /// Records an error.
    pub fn error(&mut self, place: Place, code: &str, message: impl Into<String>, hint: &str) {
        self.errors += 1;
        self.found.push(Finding::error(self.path, place, code, message).hint(hint));
    }

    /// How many errors it has recorded.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Records a warning.
    pub fn warning(&mut self, place: Place, code: &str, message: impl Into<String>, hint: &str) {
        self.found.push(Finding::warning(self.path, place, code, message).hint(hint));
    }

    /// The node, its Jinja worked out, for values that are seen: rendered into boot files, or shown on the status branch,
    /// which are committed. One that comes from a secret is refused.
    pub fn resolve<'n>(&mut self, node: &'n Node, what: &str) -> Option<Cow<'n, Node>> {
        match self.scope.resolve(node) {
            Ok(resolved) if !resolved.is_secret() => return Some(resolved),
            Ok(_) | Err(Trouble::Sealed(_)) => {}
            Err(Trouble::Jinja(reason)) => return self.fails(node, what, &reason),
        }
        let message = format!("`{what}` comes from an encrypted value, and would be seen in files that are committed");
        let hint = "write it in clear; passwords, settings of firmware and arguments of hooks may be encrypted";
        self.warning(node.place, "secret-in-public", message.clone(), hint);
        self.sealed.push(message);
        None
    }

    fn fails<T>(&mut self, node: &Node, what: &str, reason: &str) -> Option<T> {
        let hint = "only variables of this host's and its groups' files can be used here, and no Ansible lookups";
        self.error(node.place, "template", format!("the template in `{what}` fails: {reason}"), hint);
        None
    }

    fn wrong(&mut self, node: &Node, what: &str, wanted: &str, hint: &str) {
        self.accept::<()>(node, what, Err(Refusal::wrong_type(node, wanted, hint)));
    }

    /// A mapping whose keys are all among `known`.
    pub fn fields<'n>(&mut self, node: &'n Node, place: Place, what: &str, known: &[String]) -> Option<Fields<'n>> {
        let fields = self.open_fields(node, place, what)?;
        for (key, _) in fields.entries() {
            if !known.iter().any(|known| **known == *key.text) {
                let inside = if what.is_empty() { "this file".to_string() } else { format!("`{what}`") };
                let known = known.iter().map(String::as_str);
                let hint = did_you_mean(&key.text, known.clone(), || known_keys(known));
                self.error(key.place, "unknown-key", format!("`{}` is not a key of {inside}", key.text), &hint);
            }
        }
        Some(fields)
    }

    /// A mapping with any keys.
    pub fn open_fields<'n>(&mut self, node: &'n Node, place: Place, what: &str) -> Option<Fields<'n>> {
        let node = self.resolve(node, what)?;
        if node.map().is_none() {
            let what = if what.is_empty() { "this file" } else { what };
            self.wrong(&node, what, "a mapping", "write `key: value` lines, indented");
            return None;
        }
        Some(Fields { node, place, what: what.to_string() })
    }

    /// The value of a key that must be there.
    pub fn need<'f>(&mut self, fields: &'f Fields<'_>, key: &str, hint: &str) -> Option<&'f Node> {
        let value = fields.get(key);
        if value.is_none() {
            let place = fields.place_of(key);
            self.error(place, "missing-key", format!("`{}` is missing", fields.name(key)), hint);
        }
        value
    }

    /// The items of a list.
    pub fn items<'n>(&mut self, node: &'n Node, what: &str) -> Option<Vec<Node>> {
        let node: Cow<'n, Node> = self.resolve(node, what)?;
        match node.list() {
            Some(items) => Some(items.to_vec()),
            None => {
                self.wrong(&node, what, "a list", "write one `- item` line each, or `[one, two]`");
                None
            }
        }
    }

    /// Text. A plain scalar that PyYAML would read as something else, and print differently, is refused.
    pub fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        let node = self.resolve(node, what)?;
        self.resolved_text(&node, what)
    }

    fn resolved_text(&mut self, node: &Node, what: &str) -> Option<String> {
        self.accept(node, what, scalar::text(node)).map(str::to_string)
    }

    /// The value, or a finding that says why the scalar is not one.
    fn accept<T>(&mut self, node: &Node, what: &str, read: Result<T, Refusal>) -> Option<T> {
        read.map_err(|refusal| {
            self.error(node.place, refusal.code, format!("`{what}` {}", refusal.message), &refusal.hint);
        })
        .ok()
    }

    fn without_control(&mut self, text: &str, place: Place, what: &str) -> bool {
        let fits = !text.chars().any(char::is_control);
        if !fits {
            let message = format!("`{what}` holds a line break or another control character");
            self.error(place, "control-character", message, "write it on one line");
        }
        fits
    }

    /// Text without control characters, as everything has to be that ends up in a boot file.
    pub fn line(&mut self, node: &Node, what: &str) -> Option<String> {
        let text = self.text(node, what)?;
        self.without_control(&text, node.place, what).then_some(text)
    }

    /// A list of lines, each with its place.
    pub fn lines(&mut self, node: &Node, what: &str) -> Option<Vec<(String, Place)>> {
        let items = self.items(node, what)?;
        Some(items.iter().filter_map(|item| Some((self.line(item, what)?, item.place))).collect())
    }

    /// A boolean, in any spelling of YAML 1.1.
    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        let node = self.resolve(node, what)?;
        self.accept(&node, what, scalar::boolean(&node))
    }

    /// A whole number between `min` and `max`, quoted or not.
    pub fn number(&mut self, node: &Node, what: &str, min: u64, max: u64) -> Option<u64> {
        let node = self.resolve(node, what)?;
        self.accept(&node, what, scalar::number(&node, min, max))
    }

    /// A number that may have a fraction.
    pub fn float(&mut self, node: &Node, what: &str, min: f64, max: f64) -> Option<f64> {
        let node = self.resolve(node, what)?;
        self.accept(&node, what, scalar::float(&node, min, max))
    }

    /// The value of a key that is one of some words.
    pub fn chosen<T: Copy>(&mut self, fields: &Fields<'_>, key: &str, words: &[(&str, T)]) -> Option<T> {
        fields.get(key).and_then(|node| self.choice(node, &fields.name(key), words))
    }

    /// One of some words.
    pub fn choice<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let node = self.resolve(node, what)?;
        self.accept(&node, what, scalar::choice(&node, words))
    }
}
