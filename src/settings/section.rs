//! Reading a settings file key by key: findings are collected, and reading goes on after a mistake.

use std::cell::RefCell;

use crate::model::Finding;
use crate::yaml::scalar::{self, Refusal};
use crate::yaml::word::{did_you_mean, known_keys};
use crate::yaml::{Key, Node, Place};

/// Where findings go.
pub struct Findings<'a> {
    path: &'a str,
    list: RefCell<Vec<Finding>>,
}

impl<'a> Findings<'a> {
    /// None yet, about the file at `path`.
    pub fn new(path: &'a str) -> Self {
        Findings { path, list: RefCell::default() }
    }

    /// Records an error.
    pub fn error(&self, place: Place, code: &str, message: impl Into<String>, hint: Option<String>) {
        let finding = Finding { hint, ..Finding::error(self.path, place, code, message) };
        self.list.borrow_mut().push(finding);
    }

    /// Records a warning.
    pub fn warning(&self, place: Place, code: &str, message: impl Into<String>) {
        self.list.borrow_mut().push(Finding::warning(self.path, place, code, message));
    }

    /// All of them, by place.
    pub fn into_sorted(self) -> Vec<Finding> {
        let mut list = self.list.into_inner();
        list.sort_by_key(|finding| (finding.line, finding.column));
        list
    }
}

/// A mapping: asks for known keys by name, and complains about the rest when it is finished.
pub struct Section<'a> {
    name: String,
    place: Place,
    entries: &'a [(Key, Node)],
    known: Vec<&'static str>,
    findings: &'a Findings<'a>,
}

impl<'a> Section<'a> {
    /// Reads `node` as a mapping. An absent one is an empty one.
    pub fn new(name: &str, node: Option<&'a Node>, place: Place, findings: &'a Findings<'a>) -> Self {
        let place = node.map_or(place, |node| node.place);
        let entries = node.and_then(Node::map);
        if let Some(node) = node.filter(|node| entries.is_none() && !node.is_null()) {
            let what = if name.is_empty() { "this file".into() } else { format!("`{name}`") };
            let message = format!("{what} must be a mapping, not {}", node.kind());
            findings.error(node.place, "wrong-type", message, Some("write `key: value` lines, indented".into()));
        }
        Section { name: name.into(), place, entries: entries.unwrap_or_default(), known: Vec::new(), findings }
    }

    fn name_of(&self, key: &str) -> String {
        if self.name.is_empty() { key.into() } else { format!("{}.{key}", self.name) }
    }

    /// The findings' list.
    pub fn findings(&self) -> &'a Findings<'a> {
        self.findings
    }

    fn find(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(known, _)| &*known.text == key).map(|(_, value)| value)
    }

    /// The value of a key, `None` when absent or null.
    pub fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        self.find(key).filter(|value| !value.is_null())
    }

    /// The section under a key.
    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        let name = self.name_of(key);
        let node = self.get(key);
        Section::new(&name, node, self.place, self.findings)
    }

    /// The section under a key, when the key is there.
    pub fn present(&mut self, key: &'static str) -> Option<Section<'a>> {
        self.get(key).map(|_| self.section(key))
    }

    /// The items of a list under a key, each a section.
    pub fn sections(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let name = self.name_of(key);
        let Some(node) = self.get(key) else { return Vec::new() };
        let Some(items) = node.list() else {
            let message = format!("`{name}` must be a list, not {}", node.kind());
            self.findings.error(node.place, "wrong-type", message, Some("write one `- item` line each".into()));
            return Vec::new();
        };
        let name = format!("{name}[]");
        items.iter().map(|item| Section::new(&name, Some(item), item.place, self.findings)).collect()
    }

    /// The value of a key, read by `parse`, whose error says what was expected.
    pub fn parse<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let name = self.name_of(key);
        let node = self.get(key)?;
        self.read_text(&name, node, parse)
    }

    /// Like [`parse`](Section::parse), for a key that must be there.
    pub fn require<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.needs(key).then(|| self.parse(key, parse)).flatten()
    }

    /// The values of a list, each read by `parse`. A single value counts as a list of one.
    pub fn parse_list<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let name = self.name_of(key);
        let Some(node) = self.get(key) else { return Vec::new() };
        let items = node.list().unwrap_or(std::slice::from_ref(node));
        items.iter().filter_map(|item| self.read_text(&name, item, &parse)).collect()
    }

    /// A boolean.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.get(key).and_then(|node| self.accept(key, node, scalar::boolean(node)))
    }

    /// A whole number.
    pub fn number<T: TryFrom<u64>>(&mut self, key: &'static str, min: u64, max: u64) -> Option<T> {
        let node = self.get(key)?;
        self.accept(key, node, scalar::number(node, min, max)).and_then(|value| value.try_into().ok())
    }

    /// One of some words, or an alias, which no message lists.
    pub fn choice<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)], alias: Option<(&str, T)>) -> Option<T> {
        let node = self.get(key)?;
        let alias = alias.filter(|(alias, _)| node.scalar().is_some_and(|(text, _)| text == *alias));
        alias.map(|(_, value)| value).or_else(|| self.accept(key, node, scalar::choice(node, words)))
    }

    /// Some of some words. A single word counts as a list of one.
    pub fn choices<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Vec<T> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let items = node.list().unwrap_or(std::slice::from_ref(node));
        items.iter().filter_map(|item| self.accept(key, item, scalar::choice(item, words))).collect()
    }

    /// Text, read by `parse`.
    pub fn read_text<T>(&self, name: &str, node: &Node, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        if node.is_sealed() {
            let message = format!("`{name}` is encrypted, and a settings file is not decrypted");
            let hint = "write it in clear; secrets lie in files of their own, which are named here";
            self.findings.error(node.place, "bad-value", message, Some(hint.into()));
            return None;
        }
        let text = scalar::text(node).map_err(|refusal| self.refuse(name, node, refusal)).ok()?;
        match parse(text.trim()) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.findings.error(node.place, "bad-value", format!("`{name}`: {expected}"), None);
                None
            }
        }
    }

    fn accept<T>(&self, key: &str, node: &Node, read: Result<T, Refusal>) -> Option<T> {
        read.map_err(|refusal| self.refuse(&self.name_of(key), node, refusal)).ok()
    }

    fn refuse(&self, name: &str, node: &Node, refusal: Refusal) {
        let code = if refusal.code == "wrong-type" { refusal.code } else { "bad-value" };
        self.findings.error(node.place, code, format!("`{name}` {}", refusal.message), Some(refusal.hint));
    }

    /// Whether a key is there; a finding when it is not.
    pub fn needs(&mut self, key: &'static str) -> bool {
        let there = self.get(key).is_some();
        if !there {
            let message = format!("`{}` is required", self.name_of(key));
            self.findings.error(self.place, "missing-key", message, None);
        }
        there
    }

    /// The place of a key's value; of the section when the key is absent.
    pub fn place(&self, key: &str) -> Place {
        self.find(key).map_or(self.place, |value| value.place)
    }

    /// Complains about every key that nobody asked for.
    pub fn finish(self) {
        let known = || self.known.iter().copied();
        for (key, _) in self.entries.iter().filter(|(key, _)| known().all(|known| known != &*key.text)) {
            let hint = did_you_mean(&key.text, known(), || known_keys(known()));
            let message = format!("unknown key `{}`", self.name_of(&key.text));
            self.findings.error(key.place, "unknown-key", message, Some(hint));
        }
    }
}
