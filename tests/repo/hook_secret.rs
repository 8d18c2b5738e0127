//! Encrypted arguments and files of hooks: read where the passwords are known, and never said.

use std::sync::Arc;

use rackwright::model::{HookFile, Secret, TaskSpec};
use rackwright::repo::secret::Secrets;
use rackwright::repo::vault::{DEFAULT_ID, VaultPassword, encrypt};
use rackwright::repo::{self, Context, Loaded, Tree};
use serde_json::{Value, json};

use crate::repo::hook::{hook, task, with_hooks};
use crate::rig::repo::{context, file};

const PLANTED: &str = "https://hooks.example.net/planted";

fn password() -> VaultPassword {
    VaultPassword { id: DEFAULT_ID.into(), text: Secret::new("open sesame") }
}

/// A value as `ansible-vault encrypt_string` writes it, indented by as much as `indent` has.
fn vaulted(plain: &[u8], indent: &str) -> String {
    let text = encrypt(plain, &password(), &[7; 32]);
    text.lines().fold("!vault |\n".to_owned(), |all, line| format!("{all}{indent}{line}\n"))
}

fn load(tree: &Tree, known: bool) -> Loaded {
    let secrets = Arc::new(Secrets::new(if known { vec![password()] } else { Vec::new() }, None));
    let loaded = repo::load(tree, &Context { secrets, ..context() });
    assert!(!format!("{loaded:?}").contains("planted"), "{loaded:#?}");
    loaded
}

fn hooks(loaded: &Loaded) -> Vec<&TaskSpec> {
    let desired = loaded.desired.as_ref().unwrap_or_else(|| panic!("{:#?}", loaded.findings));
    desired.clusters.values().flat_map(|cluster| &cluster.tasks).filter(|task| !task.is_ansible()).collect()
}

fn args(spec: &TaskSpec) -> Value {
    serde_json::from_str(task(spec).args.reveal()).unwrap()
}

/// A webhook with an encrypted URI and an encrypted part of its body, one by reference, and one in clear.
fn tree() -> Tree {
    let uri = vaulted(PLANTED.as_bytes(), "      ");
    let key = vaulted(b"planted key {{ x }}", "        ");
    let clear = hook("webhook", "{ uri: \"https://hooks.example.net/\", action: post }");
    let mut tree = with_hooks(&format!(
        "- name: a\n  type: webhook\n  args:\n    uri: {uri}    action: post\n    body:\n      n: 1\n      key: {key}\
         - name: b\n  type: webhook\n  args: {{ uri: \"{{{{ chat }}}}\", action: post }}\n{clear}"
    ));
    let chat = vaulted(PLANTED.as_bytes(), "  ");
    tree.insert("group_vars/c1/base.yml".into(), file(format!("local_domain: c1.example.net\nchat: {chat}")));
    tree
}

#[test]
fn encrypted_arguments_are_read_and_remembered_as_secrets() {
    let loaded = load(&tree(), true);
    let hooks = hooks(&loaded);
    assert!(hooks.iter().all(|hook| hook.blocked.is_none()), "{:#?}", loaded.findings);
    let body = json!({ "n": 1, "key": "planted key {{ x }}" });
    assert_eq!(args(hooks[0]), json!({ "uri": PLANTED, "action": "POST", "body": body }));
    assert_eq!(args(hooks[1])["uri"], PLANTED);
    let masked = |hook: &TaskSpec, text: &str| task(hook).secrets.iter().any(|secret| secret.reveal() == text);
    assert!(masked(hooks[0], PLANTED) && masked(hooks[0], "planted key {{ x }}") && masked(hooks[1], PLANTED));
}

#[test]
fn what_cannot_be_read_blocks_its_hook_and_no_other() {
    let loaded = load(&tree(), false);
    let hooks = hooks(&loaded);
    let why = |index: usize| hooks[index].blocked.as_deref().unwrap_or_default();
    assert!(why(0).contains("hooks[1].args.uri") && why(0).contains("hooks[1].args.body"), "{}", why(0));
    assert!(why(1).contains("hooks[2].args.uri"), "{}", why(1));
    assert_eq!(hooks[2].blocked, None);
    let known = load(&tree(), true);
    let digests = |hooks: &[&TaskSpec]| hooks.iter().map(|hook| hook.definition.clone()).collect::<Vec<_>>();
    assert_eq!(digests(&hooks), digests(&self::hooks(&known)), "a password that is found changes no definition");
}

#[test]
fn a_wrong_secret_is_found_and_not_quoted() {
    for (kind, before, key, code) in [
        ("webhook", "action: post", "uri", "bad-uri"),
        ("osd", "disk: /dev/sda", "weight", "wrong-type"),
        ("pool", "name: a", "tier", "unknown-value"),
        ("pool", "pgs: 1", "name", "bad-value"),
    ] {
        let value = vaulted(b"planted nonsense", "      ");
        let loaded =
            load(&with_hooks(&format!("- name: a\n  type: {kind}\n  args:\n    {before}\n    {key}: {value}")), true);
        let said: Vec<_> = loaded.findings.iter().map(|it| (it.line, it.code.as_str())).collect();
        assert!(loaded.desired.is_none() && said.contains(&(9, code)), "{kind}: {:#?}", loaded.findings);
    }
}

#[test]
fn an_encrypted_file_is_copied_in_clear_as_ansible_does() {
    let copy = hook("copy", "{ source: [files/key], destination: [/etc/key], mode: [\"0600\"] }");
    let mut tree = with_hooks(&copy);
    tree.insert("files/key".into(), file(encrypt(b"\xff\0planted", &password(), &[9; 32])));
    let known = load(&tree, true);
    assert_eq!(task(hooks(&known)[0]).files, [HookFile::Bytes((*b"\xff\0planted").into())]);
    let unknown = load(&tree, false);
    let blocked = hooks(&unknown)[0];
    assert!(blocked.blocked.as_deref().is_some_and(|why| why.contains("hooks[1].args.source")), "{blocked:?}");
    assert!(task(blocked).files.is_empty());
    assert_eq!(blocked.definition, hooks(&known)[0].definition);
}
