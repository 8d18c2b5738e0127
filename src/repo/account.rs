//! The account that BMCs have in production: `ipmi.users.admin` of the cluster's variables, which PVC's playbook sets.

use std::sync::Arc;

use super::read::Reader;
use super::vars::{Scope, Trouble};
use crate::model::Secret;
use crate::yaml::{Node, Place};

/// User name and password, where both are written and can be worked out. What is written and cannot be is a warning where
/// it will be `needed`: never an error, for until the playbook has run nobody asks for it.
pub fn production(reader: &mut Reader<'_>, scope: &Arc<Scope>, needed: bool) -> Option<(String, Secret)> {
    let (path, ipmi) = scope.lookup("ipmi")?;
    let path = path.clone();
    match pair(scope, ipmi) {
        Ok(pair) => pair,
        Err((place, (why, sealed))) => {
            if needed && (scope.secrets.are_here() || !sealed) {
                let message = format!("`ipmi.users.admin` cannot be worked out: {why}");
                let hint = "once the playbook has changed the BMCs' account, they are out of reach: \
                            `on_complete: power-off` will not work";
                Reader::new(&path, scope.clone(), reader.found).warning(place, "no-production-account", message, hint);
            }
            None
        }
    }
}

/// Why a value is missing, and whether that is because it is encrypted.
type Why = (String, bool);

fn pair(scope: &Arc<Scope>, ipmi: &Node) -> Result<Option<(String, Secret)>, (Place, Why)> {
    let mut node = ipmi.clone();
    for key in ["users", "admin"] {
        let Some(inner) = inside(scope, &node, key)? else { return Ok(None) };
        node = inner;
    }
    let mut texts = Vec::new();
    for key in ["username", "password"] {
        let Some(value) = inside(scope, &node, key)? else { return Ok(None) };
        let value = worked_out(scope, &value)?;
        if key == "username" && value.is_secret() {
            // It is named when a BMC refuses it.
            return Err((value.place, ("`username` is encrypted, but people are shown it".to_owned(), true)));
        }
        match value.scalar() {
            Some((text, _)) if !text.is_empty() && !value.is_null() && !text.contains(['\n', '\r']) => {
                texts.push(text.to_owned());
            }
            _ => return Err((value.place, (format!("`{key}` is not a line of text"), false))),
        }
    }
    let password = texts.pop().map(Secret::new);
    Ok(texts.pop().zip(password))
}

fn inside(scope: &Arc<Scope>, node: &Node, key: &str) -> Result<Option<Node>, (Place, Why)> {
    Ok(worked_out(scope, node)?.get(key).cloned())
}

fn worked_out(scope: &Arc<Scope>, node: &Node) -> Result<Node, (Place, Why)> {
    let place = node.place;
    match scope.resolve(node) {
        Ok(node) => Ok(node.into_owned()),
        Err(Trouble::Sealed(why)) => Err((place, (why.to_string(), true))),
        Err(Trouble::Jinja(reason)) => Err((place, (reason, false))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::secret::Secrets;
    use super::super::vars::Doc;
    use super::*;
    use crate::yaml;

    fn read(text: &str) -> (Option<(String, Secret)>, Vec<String>) {
        let mut found = Vec::new();
        let root = yaml::parse("base.yml", text.as_bytes(), &mut found).unwrap();
        let doc = Doc { path: "base.yml".into(), root: Arc::new(root), whole: false, closed: None };
        let secrets = Arc::new(Secrets::new(vec![], None));
        let scope = Arc::new(Scope { docs: vec![doc], magic: vec![], secrets });
        let pair = production(&mut Reader::new("bootstrap.yml", scope.clone(), &mut found), &scope, true);
        (pair, found.into_iter().map(|finding| format!("{finding}")).collect())
    }

    #[test]
    fn the_pair_is_read_with_its_expressions() {
        let base = "ipmi_password: planted\nipmi:\n  users:\n    admin:\n      username: admin\n";
        let (pair, found) = read(&format!("{base}      password: \"{{{{ ipmi_password }}}}\"\n"));
        assert_eq!((pair, found), (Some(("admin".into(), Secret::new("planted"))), vec![]));
        assert_eq!(read("local_domain: example.net\n"), (None, vec![]));
        assert_eq!(read(base), (None, vec![]));
    }

    #[test]
    fn one_that_cannot_be_worked_out_is_a_warning_at_its_place() {
        for password in
            ["\"{{ lookup('file', 'x') }}\"", "!vault |\n        $ANSIBLE_VAULT;1.1;AES256\n        6162", "[a]"]
        {
            let text = format!("ipmi:\n  users:\n    admin:\n      username: admin\n      password: {password}\n");
            let (pair, found) = read(&text);
            assert_eq!(pair, None);
            // The place of a block is that of its text.
            let line = if password.starts_with("!vault") { 6 } else { 5 };
            assert!(found.len() == 1 && found[0].starts_with(&format!("base.yml:{line}:")), "{found:?}");
            assert!(found[0].contains("warning") && found[0].contains("ipmi.users.admin"), "{found:?}");
        }
    }
}
