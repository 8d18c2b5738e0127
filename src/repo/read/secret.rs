//! Reading values that may be secret: encrypted ones, and those that lie on the bootstrap host.

use std::borrow::Cow;

use super::super::secret::Source;
use super::super::vars::Trouble;
use super::Reader;
use crate::model::Secret;
use crate::yaml::{Node, Place, Value};

impl Reader<'_> {
    /// The node, decrypted, its Jinja worked out, for values that never reach a file that is committed.
    pub fn resolve_secret<'n>(&mut self, node: &'n Node, what: &str) -> Option<Cow<'n, Node>> {
        match self.scope.resolve(node) {
            Ok(resolved) => Some(resolved),
            Err(Trouble::Sealed(why)) => {
                self.withheld(node.place, what, &why);
                None
            }
            Err(Trouble::Jinja(reason)) => self.fails(node, what, &reason),
        }
    }

    /// Likewise, with everything in it.
    pub fn resolve_secret_all(&mut self, node: &Node, what: &str) -> Option<Node> {
        let mut node = self.resolve_secret(node, what)?.into_owned();
        match &mut node.value {
            Value::Scalar { .. } => {}
            Value::List(items) => {
                let all: Vec<_> = items.iter().map(|item| self.resolve_secret_all(item, what)).collect();
                *items = all.into_iter().collect::<Option<_>>()?;
            }
            Value::Map(entries) => {
                let all = entries.drain(..).map(|(key, value)| {
                    let what = format!("{what}.{}", key.text);
                    Some((key, self.resolve_secret_all(&value, &what)?))
                });
                let all: Vec<_> = all.collect();
                *entries = all.into_iter().collect::<Option<_>>()?;
            }
        }
        Some(node)
    }

    /// A line of text that is a secret. A plain number counts as its digits.
    pub fn secret_line(&mut self, node: &Node, what: &str) -> Option<Secret> {
        let node = self.resolve_secret(node, what)?;
        let text = self.resolved_text(&node, what)?;
        self.without_control(&text, node.place, what).then(|| Secret::new(text))
    }

    /// A secret in a file on the bootstrap host.
    pub fn secret_file(&mut self, node: &Node, what: &str) -> Option<Secret> {
        let path = self.line(node, what)?;
        if !path.starts_with('/') {
            let message = format!("`{what}` must be an absolute path on the bootstrap host");
            self.error(node.place, "bad-value", message, "as /etc/rackwright/bmc-password");
            return None;
        }
        self.source(Source::File(path.into()), node.place, what)
    }

    /// A secret in an environment variable of the daemon.
    pub fn secret_variable(&mut self, node: &Node, what: &str) -> Option<Secret> {
        let name = self.line(node, what)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(fits) {
            let message = format!("`{what}` must be the name of an environment variable");
            self.error(node.place, "bad-value", message, "letters, digits and `_`");
            return None;
        }
        self.source(Source::Variable(name), node.place, what)
    }

    fn source(&mut self, source: Source, place: Place, what: &str) -> Option<Secret> {
        let secrets = self.scope.secrets.clone();
        let Some(given) = secrets.get(&source) else {
            self.withheld(place, what, "it is not looked up here");
            return None;
        };
        if let Some(warning) = &given.warning {
            self.warning(place, "secret-source", format!("`{what}`: {warning}"), "`chmod 600` it");
        }
        match &given.text {
            Ok(text) => Some(text.clone()),
            Err(why) => {
                self.withheld(place, what, why);
                None
            }
        }
    }

    /// A secret that cannot be read: what needs it is blocked, and nothing else. Where nobody expects to read secrets, one
    /// note for the whole file is enough.
    pub fn withheld(&mut self, place: Place, what: &str, why: &str) {
        self.sealed.push(format!("`{what}` cannot be read: {why}"));
        if self.scope.secrets.are_here() {
            let hint = "what needs it waits; everything else goes on";
            self.warning(place, "secret-missing", format!("`{what}` cannot be read: {why}"), hint);
            return;
        }
        const CODE: &str = "secrets-unread";
        if !self.found.iter().any(|finding| finding.code == CODE && finding.path == self.path) {
            let message = "some values in this file come from secrets, which are not read here";
            self.warning(
                place,
                CODE,
                message,
                "with `--config` and the daemon's settings they are read as the daemon does",
            );
        }
    }
}
