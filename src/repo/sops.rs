//! Files that are encrypted with SOPS: values `ENC[…]` in place, keys in clear, and a mapping `sops` that says with what.
//!
//! Source: the SOPS documentation, "Encryption Protocol": the tree keeps its shape, so that what `sops --decrypt` gives as
//! JSON can be laid over the file as it is written, and every value keeps its line. Decrypting is for the program.

use std::sync::Arc;

use serde_json::Value as Json;

use super::secret::{Secrets, Source};
use crate::model::Digest;
use crate::yaml::{Node, Seal, Value};

/// Whether a file carries the metadata of SOPS.
pub fn is_encrypted(root: &Node) -> bool {
    root.get("sops").is_some_and(|meta| meta.get("mac").is_some())
}

/// The file with its values in clear, or marked with the reason why they cannot be read. Also what is worth a warning.
pub fn open(path: &str, bytes: &[u8], root: Node, secrets: &Secrets) -> (Node, Option<String>) {
    let source = Source::Sops { path: path.into(), digest: Digest::of([bytes]) };
    let closed = |why: &str| Seal::Closed(why.into());
    let given = match secrets.get(&source) {
        None => return (seal(root, &closed("it is encrypted with SOPS, and not decrypted here")), None),
        Some(given) => given,
    };
    match &given.text {
        Err(why) => (seal(root, &closed(why)), given.warning.clone()),
        Ok(json) => match serde_json::from_str::<Json>(json.reveal()) {
            Ok(clear) => (lay(root, Some(&clear)), given.warning.clone()),
            // What the parser says quotes nothing, but it helps nobody either.
            Err(_) => (seal(root, &closed("sops gave something that is not JSON")), None),
        },
    }
}

fn is_value(node: &Node) -> bool {
    node.scalar().is_some_and(|(text, _)| text.starts_with("ENC["))
}

fn seal(mut node: Node, why: &Seal) -> Node {
    if is_value(&node) {
        node.seal = why.clone();
    }
    match &mut node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => *items = std::mem::take(items).into_iter().map(|item| seal(item, why)).collect(),
        Value::Map(entries) => {
            *entries = std::mem::take(entries).into_iter().map(|(key, value)| (key, seal(value, why))).collect();
        }
    }
    node
}

/// Replaces every encrypted value by what stands at its path in clear.
fn lay(mut node: Node, clear: Option<&Json>) -> Node {
    if is_value(&node) {
        match clear {
            Some(value @ (Json::String(_) | Json::Number(_) | Json::Bool(_) | Json::Null)) => {
                node.value = Node::from_json(node.place, value).value;
                node.seal = Seal::Secret;
            }
            _ => node.seal = Seal::Closed(Arc::from("sops gave nothing for it")),
        }
    }
    match &mut node.value {
        Value::Scalar { .. } => {}
        Value::List(items) => {
            let laid = std::mem::take(items).into_iter().enumerate();
            *items = laid.map(|(index, item)| lay(item, clear.and_then(|json| json.get(index)))).collect();
        }
        Value::Map(entries) => {
            let laid = std::mem::take(entries).into_iter();
            *entries = laid
                .map(|(key, value)| {
                    let inner = clear.and_then(|json| json.get(&*key.text));
                    (key, lay(value, inner))
                })
                .collect();
        }
    }
    node
}
