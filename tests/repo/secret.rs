//! Encrypted values in a repository: who is blocked, what is said, and where a secret must not go.

use std::sync::Arc;

use rackwright::model::{CredentialKind, Finding, HostSpec, Secret};
use rackwright::repo::secret::{Given, Secrets, Source};
use rackwright::repo::vault::{DEFAULT_ID, VaultPassword, encrypt};
use rackwright::repo::{self, Context, Loaded, Tree};

use crate::rig::repo::{c1, context, file, places};

const BOOTSTRAP: &str = "group_vars/c1/bootstrap.yml";
const HUSH: &str = "Pl4nted-hush";

fn vault() -> VaultPassword {
    VaultPassword { id: DEFAULT_ID.into(), text: Secret::new("Pl4nted-vault") }
}

/// `!vault |` with a text, indented.
fn vaulted(text: &str, indent: usize) -> String {
    let lines = encrypt(text.as_bytes(), &vault(), &[9; 32]);
    let lines: Vec<_> = lines.lines().map(|line| format!("{}{line}\n", " ".repeat(indent))).collect();
    format!("!vault |\n{}", lines.concat())
}

/// Two hosts; the first one's `bmc` and `config` are given.
fn two(config: &str, bmc: &str) -> Tree {
    c1(&format!(
        "bootstrap:\n  \"52:54:00:aa:bb:01\":\n    node: {{ hostname: hv1 }}\n    config: {{ system_disks: [/dev/sda], {config} }}\n    \
         bmc:\n      username: admin\n      {bmc}\n  \"52:54:00:aa:bb:02\":\n    node: {{ hostname: hv2 }}\n    \
         config: {{ system_disks: [/dev/sda] }}\n    bmc: {{ username: admin, password: clear }}\n"
    ))
}

fn load(tree: &Tree, secrets: Secrets) -> (Loaded, Arc<Secrets>) {
    let secrets = Arc::new(secrets);
    (repo::load(tree, &Context { secrets: secrets.clone(), ..context() }), secrets)
}

fn opened(tree: &Tree) -> Loaded {
    load(tree, Secrets::new(vec![vault()], None)).0
}

fn closed(tree: &Tree) -> Loaded {
    load(tree, Secrets::new(Vec::new(), None)).0
}

fn host<'l>(loaded: &'l Loaded, name: &str) -> &'l HostSpec {
    let desired = loaded.desired.as_ref().unwrap_or_else(|| panic!("refused: {:#?}", loaded.findings));
    desired.hosts.values().find(|host| &*host.id.host == name).unwrap()
}

fn password(loaded: &Loaded, name: &str) -> Option<String> {
    let accounts = &host(loaded, name).bmc.credentials;
    accounts.iter().find(|it| it.kind == CredentialKind::Initial).map(|it| it.password.reveal().to_owned())
}

/// Nothing that people see holds it.
fn hidden(loaded: &Loaded) {
    let debug = format!("{loaded:?}");
    assert!(!debug.contains("Pl4nted"), "{debug}");
    let files = loaded.desired.iter().flat_map(|desired| desired.hosts.values()).flat_map(|host| &host.files);
    assert!(files.into_iter().all(|file| !file.body.contains("Pl4nted")));
}

fn one(loaded: &Loaded) -> &Finding {
    let [finding] = &loaded.findings[..] else { panic!("{:#?}", loaded.findings) };
    finding
}

#[test]
fn a_vaulted_password_is_read() {
    let tree = two("", &format!("password: {}", vaulted(HUSH, 8)));
    let loaded = opened(&tree);
    assert_eq!((loaded.findings.len(), password(&loaded, "hv1").as_deref()), (0, Some(HUSH)));
    assert!(host(&loaded, "hv1").blocked.is_empty());
    hidden(&loaded);
}

#[test]
fn without_the_password_that_host_waits_and_no_other() {
    let tree = two("", &format!("password: {}", vaulted(HUSH, 8)));
    for (secrets, word) in [
        (Secrets::new(Vec::new(), None), "no vault password"),
        (Secrets::new(Vec::new(), Some("the vault password file /x: gone".into())), "/x: gone"),
        (Secrets::new(vec![VaultPassword { text: Secret::new("other"), ..vault() }], None), "none of the vault"),
    ] {
        let (loaded, _) = load(&tree, secrets);
        let finding = one(&loaded);
        // The place of a block is that of its text.
        assert_eq!((finding.line, finding.code.as_str()), (8, "secret-missing"), "{finding}");
        assert!(finding.message.contains("`bmc.password`") && finding.message.contains(word), "{finding}");
        let [why] = &host(&loaded, "hv1").blocked[..] else { panic!() };
        assert!(why.contains("`bmc.password`"), "{why}");
        // An empty password must not be tried: it counts as a failed login.
        assert_eq!((password(&loaded, "hv1"), password(&loaded, "hv2").as_deref()), (None, Some("clear")));
        assert!(host(&loaded, "hv2").blocked.is_empty());
    }
}

#[test]
fn on_a_laptop_one_note_for_a_file_is_enough() {
    let secret = vaulted(HUSH, 8);
    let tree =
        two("", &format!("password: {secret}      bios_settings: {{ SetupPassword: \"ENC[AES256_GCM,data:x]\" }}"));
    let loaded = repo::load(&tree, &context());
    assert!(loaded.desired.is_some());
    let finding = one(&loaded);
    assert_eq!((finding.code.as_str(), finding.path.as_str()), ("secrets-unread", BOOTSTRAP));
}

#[test]
fn what_is_seen_must_not_come_from_a_secret() {
    let hush = vaulted(HUSH, 4);
    for (config, sealed) in
        [("kernel_options: [\"{{ hush }}\"]", "kernel_options"), ("mirror: \"http://{{ hush }}/d\"", "mirror")]
    {
        let mut tree = two(config, "password: clear");
        let base = format!("local_domain: c1.example.net\nhush: {hush}");
        tree.insert("group_vars/c1/base.yml".into(), file(base));
        for loaded in [opened(&tree), closed(&tree), repo::load(&tree, &context())] {
            let finding = one(&loaded);
            assert_eq!((finding.line, finding.code.as_str()), (4, "secret-in-public"), "{finding}");
            assert!(finding.message.contains(sealed));
            assert_eq!(host(&loaded, "hv1").blocked.len(), 1);
            hidden(&loaded);
        }
    }
}

#[test]
fn what_is_made_with_a_secret_is_one() {
    let hush = vaulted(HUSH, 4);
    let deep = vaulted("Pl4nted-deep", 6);
    let base = format!(
        "local_domain: c1.example.net\nhush: {hush}all:\n  deep: {deep}  plain: clear\nalias: \"{{{{ all }}}}\"\nvia: \"{{{{ alias.deep }}}}\"\n"
    );
    let given = [
        ("{{ hush }}", "Pl4nted-hush"),
        ("x{{ hush | upper }}y", "xPL4NTED-HUSHy"),
        ("{{ via }}", "Pl4nted-deep"),
        ("{{ alias['deep'] }}", "Pl4nted-deep"),
        ("{{ [hush, all] | length }}", "2"),
        ("{% if hush == 'a' %}b{% else %}c{% endif %}", "c"),
    ];
    for (expression, result) in given {
        let quoted = serde_json::to_string(expression).unwrap();
        for (config, bmc, public) in [
            (String::new(), format!("password: {quoted}"), false),
            (format!("kernel_options: [{quoted}]"), "password: clear".into(), true),
        ] {
            let mut tree = two(&config, &bmc);
            tree.insert("group_vars/c1/base.yml".into(), file(base.clone()));
            let loaded = opened(&tree);
            if public {
                assert_eq!(one(&loaded).code, "secret-in-public", "{expression}");
            } else {
                assert_eq!(password(&loaded, "hv1").as_deref(), Some(result), "{expression}: {:?}", loaded.findings);
            }
            // Without the password: never undefined, never an error, never a default.
            assert!(closed(&tree).findings.iter().all(|it| it.code.starts_with("secret-")), "{expression}");
        }
    }
    let mut tree = two("", "password: \"{{ all.plain }}\"");
    tree.insert("group_vars/c1/base.yml".into(), file(base));
    assert_eq!(password(&closed(&tree), "hv1").as_deref(), Some("clear"), "what stands beside a secret is none");
}

#[test]
fn a_file_that_is_vaulted_as_a_whole_sets_variables() {
    let mut tree = two("", "password: \"{{ bmc_password }}\"");
    let clear = format!("bmc_password: {HUSH}\nipmi: {{ users: {{ admin: {{ username: admin, password: x }} }} }}\n");
    tree.insert("group_vars/c1/vault.yml".into(), file(encrypt(clear.as_bytes(), &vault(), &[3; 32])));
    assert_eq!(password(&opened(&tree), "hv1").as_deref(), Some(HUSH));
    hidden(&opened(&tree));
    let loaded = closed(&tree);
    assert_eq!(
        places(&loaded.findings),
        [(BOOTSTRAP, 7, "secret-missing"), ("group_vars/c1/vault.yml", 1, "secret-missing")]
    );
    assert!(host(&loaded, "hv2").blocked.is_empty());
    // A mistake inside is told without what is written there.
    let broken = encrypt(b"bmc_password: \"Pl4nted\nx: [\n", &vault(), &[3; 32]);
    tree.insert("group_vars/c1/vault.yml".into(), file(broken));
    let loaded = opened(&tree);
    assert!(loaded.desired.is_none());
    hidden(&loaded);
}

#[test]
fn names_and_the_clusters_block_must_be_in_clear() {
    let sealed = vaulted("hv1", 10);
    let named = two("", "password: clear");
    let repo::Entry::File(bytes) = &named[BOOTSTRAP] else { panic!() };
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let name = text.replacen("{ hostname: hv1 }", &format!("\n      hostname: {sealed}"), 1);
    let block = format!("{text}cluster:\n  generation: {}", vaulted("2", 4));
    let whole = encrypt(text.as_bytes(), &vault(), &[3; 32]);
    for (text, code) in [(name, "sealed-name"), (block, "sealed-cluster"), (whole, "sealed-file")] {
        for loaded in [opened(&c1(&text)), closed(&c1(&text))] {
            assert!(loaded.desired.is_none());
            assert!(loaded.findings.iter().any(|it| it.code == code), "{code}: {:#?}", loaded.findings);
        }
    }
}

#[test]
fn a_password_may_lie_on_the_bootstrap_host() {
    let source = Source::File("/etc/rackwright/bmc".into());
    let tree = two("", "password_file: /etc/rackwright/bmc");
    let (loaded, secrets) = load(&tree, Secrets::new(Vec::new(), None));
    assert_eq!(secrets.missing().into_iter().collect::<Vec<_>>(), std::slice::from_ref(&source));
    assert_eq!(one(&loaded).code, "secret-missing");
    let given = Given { text: Ok(Secret::new(HUSH)), warning: Some("everybody can read it".into()) };
    let (loaded, secrets) = load(&tree, Secrets::new(Vec::new(), None).give(source, given));
    assert!(secrets.missing().is_empty());
    assert_eq!((one(&loaded).code.as_str(), password(&loaded, "hv1").as_deref()), ("secret-source", Some(HUSH)));
    let source = Source::Variable("BMC_PASSWORD".into());
    let gone = Given { text: Err("it is not set".into()), warning: None };
    let (loaded, _) = load(&two("", "password_env: BMC_PASSWORD"), Secrets::new(Vec::new(), None).give(source, gone));
    assert!(one(&loaded).message.contains("`bmc.password_env`") && one(&loaded).message.contains("not set"));
}

#[test]
fn ways_to_give_a_password_exclude_each_other_and_are_checked() {
    for (bmc, code) in [
        ("password: a\n      password_file: /x", "conflicting-keys"),
        ("password_env: A\n      password_file: /x", "conflicting-keys"),
        ("password_file: relative", "bad-value"),
        ("password_env: not-a-name", "bad-value"),
        ("redfish: yes", "missing-key"),
    ] {
        let loaded = closed(&two("", bmc));
        assert!(loaded.findings.iter().any(|it| it.code == code), "{bmc}: {:#?}", loaded.findings);
    }
}

#[test]
fn hundreds_of_values_are_decrypted_once_for_each_text() {
    let secret = vaulted(HUSH, 2);
    let mut text = "cluster: { ansible: none }\nhooks: []\nbootstrap:\n".to_owned();
    for number in 1..=99 {
        let entry = format!(
            "  \"52:54:00:aa:bb:{number:02x}\":\n    node: {{ hostname: hv{number} }}\n    config: {{ system_disks: [/dev/sda] }}\n    \
             bmc: {{ username: admin, password: \"{{{{ hush }}}}\" }}\n"
        );
        text.push_str(&entry);
    }
    let mut tree = c1(&text);
    tree.insert("group_vars/c1/base.yml".into(), file(format!("local_domain: c1.example.net\nhush: {secret}")));
    let (loaded, secrets) = load(&tree, Secrets::new(vec![vault()], None));
    assert_eq!(password(&loaded, "hv99").as_deref(), Some(HUSH));
    assert_eq!(secrets.derived(), 1);
    let (_, again) = load(&tree, Secrets::new(vec![vault()], None).remembering(&secrets));
    assert_eq!(again.derived(), 0);
    let other = VaultPassword { text: Secret::new("other"), ..vault() };
    let (_, again) = load(&tree, Secrets::new(vec![other], None).remembering(&secrets));
    assert_eq!(again.derived(), 1, "another password may give something else");
}
