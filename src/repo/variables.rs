//! Files of variables: in clear, vaulted as a whole, or encrypted value by value with SOPS.

use std::sync::Arc;

use super::secret::Secrets;
use super::tree::{self, Found};
use super::vars::Doc;
use super::{Tree, sops};
use crate::model::Finding;
use crate::yaml::{self, Node, Seal};

/// A file of variables, when it is one; encrypted or not.
pub fn doc(tree: &Tree, path: &str, secrets: &Secrets, found: &mut Vec<Finding>) -> Option<Doc> {
    let Found::File(_, bytes) = tree::find(tree, path) else { return None };
    let whole = bytes.starts_with(yaml::VAULT_HEADER.as_bytes());
    let doc = |root, closed| Some(Doc { path: path.into(), root: Arc::new(root), whole, closed });
    let root = if whole {
        match vaulted(path, &bytes, secrets, found) {
            Ok(root) => root?,
            Err(why) => {
                return doc(
                    Node { value: yaml::Value::Map(Vec::new()), ..Node::scalar_at((1, 1), "", false) },
                    Some(why),
                );
            }
        }
    } else {
        yaml::parse(path, &bytes, found)?
    };
    if root.map().is_none() {
        if !root.is_null() {
            let message = format!("a file of variables must be a mapping, not {}", root.kind());
            found.push(Finding::error(path, root.place, "wrong-type", message).hint("write `name: value` lines"));
        }
        return None;
    }
    if !sops::is_encrypted(&root) {
        return doc(root, None);
    }
    let (root, warning) = sops::open(path, &bytes, root, secrets);
    found.extend(warning.map(|warning| Finding::warning(path, (0, 0), "secret-source", warning)));
    doc(root, None)
}

/// A file that is vaulted as a whole: its contents, every value marked; or why it cannot be read. Places are those that
/// `ansible-vault view` shows.
fn vaulted(path: &str, bytes: &[u8], secrets: &Secrets, found: &mut Vec<Finding>) -> Result<Option<Node>, Arc<str>> {
    let opened = match std::str::from_utf8(bytes) {
        Ok(text) => secrets.open(text),
        Err(_) => Err("it is damaged".into()),
    };
    let clear = match opened {
        Ok(clear) => clear,
        Err(why) => {
            let finding = if secrets.are_here() {
                let message = format!("the file is encrypted and cannot be read: {why}");
                Finding::warning(path, (1, 1), "secret-missing", message).hint("what uses its variables waits")
            } else {
                let message = "the file is encrypted, and secrets are not read here";
                let hint = "with `--config` and the daemon's settings it is read as the daemon does";
                Finding::warning(path, (1, 1), "secrets-unread", message).hint(hint)
            };
            found.push(finding);
            return Err(why);
        }
    };
    let mut inside = Vec::new();
    let root = yaml::parse(path, clear.reveal().as_bytes(), &mut inside);
    for finding in &mut inside {
        // What a parser says may quote what it reads.
        if finding.code.starts_with("yaml-") {
            finding.message = "what the file is decrypted to is not valid YAML".into();
        }
    }
    found.append(&mut inside);
    Ok(root.map(|root| root.marked(&Seal::Secret)))
}
