//! Where secrets are read: password files, programs that print passwords, environment variables, `sops`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rackwright::drive::secrets::Keeper;
use rackwright::model::{HostSpec, Secret};
use rackwright::repo::vault::{DEFAULT_ID, VaultPassword, encrypt};
use rackwright::repo::{self, Context, Loaded, Tree};
use rackwright::settings;

use crate::rig::repo::{c1, context, file};

/// Stands for `sops`: takes its command line, and decrypts `ENC[AES256_GCM,data:<base64>,…]` if the key file is there.
pub const SOPS: &str = r#"#!/usr/bin/python3
import base64, json, os, re, sys, yaml
here = os.path.dirname(os.path.abspath(__file__))
with open(here + "/sops-calls", "a") as log:
    log.write(" ".join(sys.argv[1:]) + " " + " ".join(sorted(os.environ)) + "\n")
if sys.argv[1:] != ["--decrypt", "--input-type", "yaml", "--output-type", "json", "/dev/stdin"]:
    sys.exit(100)
if open(os.environ["SOPS_AGE_KEY_FILE"]).read() != "AGE-SECRET-KEY-TOY\n":
    sys.stderr.write("Pl4nted words of sops\n")
    sys.exit(128)
def clear(value):
    if isinstance(value, dict):
        return {key: clear(inner) for key, inner in value.items() if key != "sops"}
    if isinstance(value, list):
        return [clear(inner) for inner in value]
    found = re.match(r"ENC\[AES256_GCM,data:([^,]*),.*type:(\w+)\]", value) if isinstance(value, str) else None
    if not found:
        return value
    text = base64.b64decode(found[1]).decode()
    return int(text) if found[2] == "int" else text
print(json.dumps(clear(yaml.safe_load(open("/dev/stdin")))))
"#;

/// A value as the stand-in encrypts it.
pub fn enc(text: &str) -> String {
    use base64::Engine as _;
    let data = base64::prelude::BASE64_STANDARD.encode(text);
    format!("ENC[AES256_GCM,data:{data},iv:aXY=,tag:dGFn,type:str]")
}

/// What SOPS adds to a file.
pub const METADATA: &str = "sops:\n    mac: ENC[AES256_GCM,data:bWFj,iv:aXY=,tag:dGFn,type:str]\n    version: 3.8.1\n";

pub fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether the stand-in can run.
pub fn has_yaml() -> bool {
    let there = std::process::Command::new("/usr/bin/python3").args(["-c", "import yaml"]).status();
    let there = there.is_ok_and(|status| status.success());
    assert!(there || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "python3-yaml is missing");
    if !there {
        eprintln!("SKIPPED: python3-yaml is not installed");
    }
    there
}

struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("sops"), SOPS, 0o755);
        write(&dir.path().join("age"), "AGE-SECRET-KEY-TOY\n", 0o600);
        write(&dir.path().join("vault"), "  Pl4nted-vault \n", 0o600);
        Desk { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn keeper(&self, more: &str) -> Keeper {
        let text = format!(
            "repository: {{ url: /srv/x }}\nnetwork: {{ address: 10.0.0.1, dhcp: {{ mode: off }} }}\n\
             secrets: {{ sops: {{ program: ./sops, age_key_file: age }} }}\n{more}"
        );
        Keeper::new(&settings::parse(&text, self.dir.path()).unwrap())
    }

    fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("sops-calls")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn load(keeper: &Keeper, tree: &Tree) -> Loaded {
    keeper.load(tree, |secrets| repo::load(tree, &Context { secrets, ..context() }))
}

fn machine(bmc: &str) -> Tree {
    c1(&format!(
        "bootstrap:\n  \"52:54:00:aa:bb:01\":\n    node: {{ hostname: hv1 }}\n    config: {{ system_disks: [/dev/sda] }}\n    \
         bmc:\n      username: admin\n      {bmc}\n"
    ))
}

fn hv1(loaded: &Loaded) -> &HostSpec {
    loaded.desired.as_ref().unwrap_or_else(|| panic!("{:#?}", loaded.findings)).hosts.values().next().unwrap()
}

fn password(loaded: &Loaded) -> Option<String> {
    hv1(loaded).bmc.credentials.first().map(|account| account.password.reveal().to_owned())
}

fn codes(loaded: &Loaded) -> Vec<&str> {
    loaded.findings.iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn a_password_file_is_read_and_read_again_when_it_changes() {
    let desk = Desk::new();
    let (bmc, keeper) = (desk.path("bmc"), desk.keeper(""));
    let tree = machine(&format!("password_file: {}", bmc.display()));
    assert!(!keeper.changed(), "nothing was loaded");
    let loaded = load(&keeper, &tree);
    assert_eq!((codes(&loaded), password(&loaded)), (vec!["secret-missing"], None));
    assert!(hv1(&loaded).blocked[0].contains("No such file"), "{:?}", hv1(&loaded).blocked);
    assert!(!keeper.changed());
    write(&bmc, "Pl4nted-one\n", 0o600);
    assert!(keeper.changed());
    let loaded = load(&keeper, &tree);
    assert_eq!((codes(&loaded), password(&loaded).as_deref()), (vec![], Some("Pl4nted-one")));
    assert!(!keeper.changed());
    write(&bmc, "Pl4nted-two", 0o644);
    assert!(keeper.changed());
    let loaded = load(&keeper, &tree);
    assert_eq!((codes(&loaded), password(&loaded).as_deref()), (vec!["secret-source"], Some("Pl4nted-two")));
}

#[test]
fn what_is_no_line_of_text_is_no_password() {
    let desk = Desk::new();
    let long = "x".repeat(5000);
    for bad in ["", "\n", "two\nlines\n", long.as_str(), "tab\t", "nul\0"] {
        write(&desk.path("bmc"), bad, 0o600);
        let tree = machine(&format!("password_file: {}", desk.path("bmc").display()));
        let loaded = load(&desk.keeper(""), &tree);
        assert_eq!((codes(&loaded), password(&loaded)), (vec!["secret-missing"], None), "{bad:?}");
    }
    // Nothing ends that is not a file.
    for special in ["/dev/zero", "/"] {
        let loaded = load(&desk.keeper(""), &machine(&format!("password_file: {special}")));
        assert_eq!(codes(&loaded), ["secret-missing"], "{special}");
    }
}

#[test]
fn a_variable_that_is_not_set_is_told_by_name() {
    let desk = Desk::new();
    let loaded = load(&desk.keeper(""), &machine("password_env: RACKWRIGHT_TEST_NEVER_SET"));
    assert!(hv1(&loaded).blocked[0].contains("RACKWRIGHT_TEST_NEVER_SET"), "{:?}", hv1(&loaded).blocked);
    assert_eq!(password(&load(&desk.keeper(""), &machine("password_env: HOME"))), std::env::var("HOME").ok());
}

#[test]
fn vault_passwords_come_from_files_by_their_ids_or_from_programs() {
    let desk = Desk::new();
    let tree = |id: &str, text: &str| {
        let secret = VaultPassword { id: id.into(), text: Secret::new(text) };
        let text = encrypt(b"hush", &secret, &[5; 32]);
        machine(&format!("password: {}", serde_json::to_string(&text).unwrap()))
    };
    write(&desk.path("prod"), "prod\n", 0o600);
    write(&desk.path("script"), "#!/bin/sh\necho x >> \"$0.calls\"\necho from-a-program\n", 0o700);
    let all = "ansible: { vault_password_file: vault, vault_ids: { prod: prod, tool: script } }\n";
    let keeper = desk.keeper(all);
    for (id, text) in [(DEFAULT_ID, "Pl4nted-vault"), ("prod", "prod"), ("tool", "from-a-program"), ("other", "prod")] {
        let loaded = load(&keeper, &tree(id, text));
        assert_eq!(password(&loaded).as_deref(), Some("hush"), "{id}: {:?}", loaded.findings);
    }
    let calls = || std::fs::read_to_string(desk.path("script.calls")).unwrap().lines().count();
    let before = calls();
    assert!(!keeper.changed() && calls() == before, "a program that worked is not run at every poll");
    assert_eq!(keeper.vault_password("tool").unwrap().id, "tool");
    assert_eq!(keeper.vault_password("c1").unwrap().id, "prod");
    write(&desk.path("script"), "#!/bin/sh\necho Pl4nted >&2\nexit 1\n", 0o700);
    let loaded = load(&keeper, &tree("tool", "from-a-program"));
    let why = &hv1(&loaded).blocked[0];
    assert!(why.contains("script") && !why.contains("Pl4nted"), "{why}");
    assert!(desk.keeper("").vault_password("c1").unwrap_err().contains("ansible.vault_password_file"));
}

#[test]
fn sops_decrypts_what_is_needed_and_places_stay() {
    if !has_yaml() {
        return;
    }
    let desk = Desk::new();
    let keeper = desk.keeper("");
    let mut tree =
        machine(&format!("password: {}\n      bios_settings: {{ A: \"{}\", B: on }}", enc("Pl4nted-sops"), enc("x")));
    let repo::Entry::File(bytes) = &tree["group_vars/c1/bootstrap.yml"] else { panic!() };
    let text = format!("{}{METADATA}", String::from_utf8(bytes.to_vec()).unwrap());
    tree.insert("group_vars/c1/bootstrap.yml".into(), file(text.clone()));
    tree.insert("group_vars/other/base.yml".into(), file(format!("x: {}\n{METADATA}", enc("never looked at"))));
    let loaded = load(&keeper, &tree);
    assert_eq!((codes(&loaded), password(&loaded).as_deref()), (vec![], Some("Pl4nted-sops")));
    assert_eq!(hv1(&loaded).prepare.bios["B"].reveal(), "on");
    assert!(!format!("{loaded:?}").contains("Pl4nted"));
    let calls = desk.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    let names: Vec<_> = calls[0].rsplit("/dev/stdin ").next().unwrap().split(' ').collect();
    let expected = ["HOME", "LANG", "LC_ALL", "PATH", "SOPS_AGE_KEY_FILE"];
    assert!(names.iter().all(|name| expected.contains(name) || *name == "LC_CTYPE"), "{names:?}");
    load(&keeper, &tree);
    assert!(!keeper.changed() && desk.calls().len() == 1, "an unchanged file is not decrypted again");

    // A key that does not fit: that host waits, at the line of the value; the right key is noticed.
    let keeper = desk.keeper("");
    write(&desk.path("age"), "another\n", 0o600);
    let loaded = load(&keeper, &tree);
    let found: Vec<_> = loaded.findings.iter().map(|it| (it.line, it.code.as_str())).collect();
    assert_eq!(found, [(7, "secret-missing"), (8, "secret-missing")]);
    let said = format!("{loaded:?}");
    assert!(said.contains("data key") && !said.contains("Pl4nted"), "{said}");
    let calls = desk.calls().len();
    assert!(!keeper.changed() && desk.calls().len() == calls, "what failed is not tried at every poll");
    write(&desk.path("age"), "AGE-SECRET-KEY-TOY\n", 0o600);
    assert!(keeper.changed());
    assert_eq!(password(&load(&keeper, &tree)).as_deref(), Some("Pl4nted-sops"));

    // What is seen may not be encrypted, in whichever way.
    let public = text.replace("/dev/sda", &format!("\"{}\"", enc("/dev/sdb")));
    tree.insert("group_vars/c1/bootstrap.yml".into(), file(public));
    let loaded = load(&keeper, &tree);
    assert!(codes(&loaded).contains(&"secret-in-public"), "{:?}", loaded.findings);
    let named = text.replace("hostname: hv1", &format!("hostname: \"{}\"", enc("hv1")));
    tree.insert("group_vars/c1/bootstrap.yml".into(), file(named));
    assert!(codes(&load(&keeper, &tree)).contains(&"sealed-name"));
}

#[test]
fn a_missing_sops_blocks_and_says_so() {
    let desk = Desk::new();
    std::fs::remove_file(desk.path("sops")).unwrap();
    let mut tree = machine(&format!("password: {}", enc("x")));
    let repo::Entry::File(bytes) = &tree["group_vars/c1/bootstrap.yml"] else { panic!() };
    let text = format!("{}{METADATA}", String::from_utf8(bytes.to_vec()).unwrap());
    tree.insert("group_vars/c1/bootstrap.yml".into(), file(text));
    let loaded = load(&desk.keeper(""), &tree);
    assert!(hv1(&loaded).blocked[0].contains("is it installed?"), "{:?}", hv1(&loaded).blocked);
}
