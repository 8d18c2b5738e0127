//! Typed reading of a [`Node`] tree: every mistake becomes a finding at its place, and reading goes on.

use std::borrow::Cow;
use std::sync::Arc;

use super::vars::{Scope, Trouble};
use super::yaml::{Node, Place, Plain};
use crate::model::Finding;

mod secret;

/// Reads values of one file.
pub struct Reader<'a> {
    /// The file.
    pub path: &'a str,
    /// The variables that Jinja in its values may use.
    pub scope: Arc<Scope>,
    /// Where findings go.
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
    pub fn entries(&self) -> &[(super::yaml::Key, Node)] {
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
        let message = format!("`{what}` must be {wanted}, not {}", node.kind());
        self.error(node.place, "wrong-type", message, hint);
    }

    /// A mapping whose keys are all among `known`.
    pub fn fields<'n>(&mut self, node: &'n Node, place: Place, what: &str, known: &[String]) -> Option<Fields<'n>> {
        let fields = self.open_fields(node, place, what)?;
        for (key, _) in fields.entries() {
            if !known.iter().any(|known| **known == *key.text) {
                let inside = if what.is_empty() { "this file".to_string() } else { format!("`{what}`") };
                let hint = match nearest(&key.text, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("known keys: {}", known.join(", ")),
                };
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
        let Some((text, _)) = node.scalar() else {
            self.wrong(node, what, "text", "write one word or a quoted text");
            return None;
        };
        match node.meaning() {
            Some(Plain::Text | Plain::Int(_)) | None => Some(text.to_string()),
            _ => {
                let hint = "put quotes around it; without them YAML 1.1 (Ansible) reads it as something else";
                self.wrong(node, what, "text", hint);
                None
            }
        }
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
        match node.meaning() {
            Some(Plain::Bool(value)) => Some(value),
            _ => {
                let quoted = node
                    .scalar()
                    .is_some_and(|(text, plain)| !plain && matches!(super::yaml::meaning(text), Plain::Bool(_)));
                let hint = if quoted {
                    "remove the quotes: quoted, it is text, and text counts as true"
                } else {
                    "write yes or no"
                };
                self.wrong(&node, what, "yes or no", hint);
                None
            }
        }
    }

    /// A whole number between `min` and `max`, quoted or not.
    pub fn number(&mut self, node: &Node, what: &str, min: u64, max: u64) -> Option<u64> {
        let node = self.resolve(node, what)?;
        let text = node.scalar().map(|(text, _)| text).unwrap_or_default();
        let canonical =
            text == "0" || (!text.starts_with('0') && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        if !canonical {
            self.wrong(&node, what, "a whole number", "write it in decimal, without leading zeros");
            return None;
        }
        match text.parse::<u64>() {
            Ok(value) if (min..=max).contains(&value) => Some(value),
            _ => {
                let message = format!("`{what}` is {text}, but must be between {min} and {max}");
                self.error(node.place, "out-of-range", message, "choose a number in that range");
                None
            }
        }
    }

    /// A number that may have a fraction.
    pub fn float(&mut self, node: &Node, what: &str, min: f64, max: f64) -> Option<f64> {
        let node = self.resolve(node, what)?;
        let value = match node.meaning() {
            Some(Plain::Int(value)) => Some(value as f64),
            Some(Plain::Float(value)) => Some(value),
            _ => node.scalar().and_then(|(text, plain)| if plain { None } else { text.parse().ok() }),
        };
        match value {
            Some(value) if value >= min && value <= max => Some(value),
            Some(_) => {
                let message = format!("`{what}` must be between {min} and {max}");
                self.error(node.place, "out-of-range", message, "choose a number in that range");
                None
            }
            None => {
                self.wrong(&node, what, "a number", "write it as 1 or 0.05");
                None
            }
        }
    }

    /// One of some words.
    pub fn choice<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let node = self.resolve(node, what)?;
        let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let Some((text, _)) = node.scalar() else {
            self.wrong(&node, what, &format!("one of {}", names.join(", ")), "write one of these words");
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let hint = match nearest(text, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write one of these words".into(),
        };
        self.error(
            node.place,
            "unknown-value",
            format!("`{what}` must be one of {}, not `{text}`", names.join(", ")),
            &hint,
        );
        None
    }
}

/// The candidate that `word` is probably meant to be.
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > 64 {
        return None;
    }
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let lower = word.to_lowercase().replace('-', "_");
    // Comparing with everything would take minutes when ten thousand names are all wrong.
    let ranked =
        candidates.take(MAX_CANDIDATES).map(|known| (distance(&lower, &known.to_lowercase().replace('-', "_")), known));
    ranked.min_by_key(|(distance, _)| *distance).filter(|(distance, _)| *distance <= allowed).map(|(_, known)| known)
}

/// How many candidates one word is compared with.
const MAX_CANDIDATES: usize = 200;

/// Edit distance with transpositions of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognized() {
        let known = ["hostname", "generation", "state"];
        assert_eq!(nearest("hostnmae", known.into_iter()), Some("hostname"));
        assert_eq!(nearest("host_name", known.into_iter()), Some("hostname"));
        assert_eq!(nearest("frobnicate", known.into_iter()), None);
        assert_eq!(nearest("", known.into_iter()), None);
    }
}
