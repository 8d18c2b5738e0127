//! Texts of Ansible Vault, both ways, against the real `ansible-vault`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use proptest::prelude::*;
use rackwright::model::Secret;
use rackwright::repo::vault::{DEFAULT_ID, Sealer, VaultError, VaultPassword, decrypt, decrypt_text, encrypt};

/// By `ansible-vault encrypt_string` with the password `planted`.
const KNOWN: &str = "\
$ANSIBLE_VAULT;1.1;AES256\n\
39343661303337333532636365353865386162306234356234626636613332643661663839366232\n\
3434656262643035373665393833373965663035623139610a373166306137633439623430346563\n\
31383562383064353632616663613065613930316132663639623737613261323036613634303034\n\
6234613432633261360a346465666162666138633336633161366434616561643239373730333837\n\
6662\n";

fn password(id: &str, text: &str) -> VaultPassword {
    VaultPassword { id: id.into(), text: Secret::new(text) }
}

fn planted() -> VaultPassword {
    password(DEFAULT_ID, "planted")
}

/// Whether the real program is there; in CI it must be.
fn installed() -> bool {
    let there = Command::new("ansible-vault").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(there || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "ansible-vault is missing");
    if !there {
        eprintln!("SKIPPED: ansible-vault (Debian: ansible-core) is not installed");
    }
    there
}

/// Runs it in a directory that holds password files `p` and `q`.
fn vault(dir: &Path, args: &[&str]) -> Output {
    for (name, text) in [("p", "planted\n"), ("q", "  other one \n")] {
        std::fs::write(dir.join(name), text).unwrap();
        std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut command = Command::new("ansible-vault");
    command.args(args).current_dir(dir).env("HOME", dir).env_remove("ANSIBLE_CONFIG").env("LC_ALL", "C.UTF-8");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn what_ansible_vault_encrypts_is_read() {
    if !installed() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let plain = ["x", "fifteen octets!", "sixteen octets!!", "a password\n", "grüße \u{1f511} \"{{ no }}\"", ""];
    for (number, plain) in plain.into_iter().enumerate() {
        let file = dir.path().join("text");
        for (ids, passwords, version) in [
            (&["--vault-password-file", "p"][..], vec![planted()], "1.1"),
            (&["--vault-id", "prod@p"], vec![password("prod", "planted")], "1.2"),
            // The id of a text is a hint: another one's password may open it as well.
            (&["--vault-id", "prod@p"], vec![password("dev", "wrong"), password("test", "planted")], "1.2"),
        ] {
            std::fs::write(&file, plain).unwrap();
            vault(dir.path(), &[&["encrypt"], ids, &["text"]].concat());
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.starts_with(&format!("$ANSIBLE_VAULT;{version};AES256")), "{text}");
            assert_eq!(decrypt_text(&text, &passwords).unwrap().reveal(), plain, "number {number}");
        }
    }
    let output = vault(dir.path(), &["encrypt_string", "--vault-password-file", "q", "--name", "key", "hush"]);
    let yaml = String::from_utf8(output.stdout).unwrap();
    let text: String = yaml.lines().skip(1).map(|line| format!("{}\n", line.trim())).collect();
    assert_eq!(decrypt_text(&text, &[password(DEFAULT_ID, "other one")]).unwrap().reveal(), "hush");
}

#[test]
fn what_we_encrypt_is_read_by_ansible_vault() {
    if !installed() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let long = "line\n".repeat(1000);
    for (plain, id) in [("hush", DEFAULT_ID), ("sixteen octets!!", "prod"), (long.as_str(), "a-b.c_d")] {
        let text = encrypt(plain.as_bytes(), &password(id, "planted"), &[7; 32]);
        std::fs::write(dir.path().join("text"), text).unwrap();
        let label = format!("{id}@p");
        let output =
            vault(dir.path(), &["decrypt", "--output", "-", "--vault-id", "other@q", "--vault-id", &label, "text"]);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), plain);
    }
}

#[test]
fn a_text_from_elsewhere_is_read_without_any_program() {
    assert_eq!(decrypt_text(KNOWN, &[planted()]).unwrap().reveal(), "hush");
    // Quoted in YAML, the lines may have become anything between white space.
    let reflowed = KNOWN.replace('\n', "\r\n   ");
    assert_eq!(decrypt_text(&reflowed, &[planted()]).unwrap().reveal(), "hush");
}

#[test]
fn what_cannot_be_read_says_why_and_nothing_else() {
    let text = encrypt(b"hush", &password("prod", "planted"), &[1; 32]);
    let wrong = decrypt(&text, &[password("prod", "wr0ng"), planted().clone()].map(|it| password(&it.id, "wr0ng")));
    assert_eq!(wrong.unwrap_err(), VaultError::WrongPassword(Some("prod".into())));
    let said = VaultError::WrongPassword(Some("prod".into())).to_string();
    assert!(said.contains("`prod`") && !said.contains("wr0ng"), "{said}");
    assert_eq!(decrypt(&text, &[]).unwrap_err(), VaultError::NoPassword);
    let damaged = |text: &str| matches!(decrypt(text, &[planted()]), Err(VaultError::Damaged(_)));
    for bad in ["", "$ANSIBLE_VAULT;1.1;AES256", "$ANSIBLE_VAULT;1.1;AES256\n", "$ANSIBLE_VAULT;1.1;AES256\n6\n"] {
        assert!(damaged(bad), "{bad}");
    }
    assert!(damaged(&text.replace("1.2", "1.0")) && damaged(&text.replace("AES256", "AES")));
    assert!(damaged(&text.replace("$ANSIBLE", "$OTHER")) && damaged(&text.replace('6', "g")));
    // One flipped digit of the ciphertext, the last of its line.
    let end = text.trim_end().len();
    let mut flipped = text.clone();
    flipped.replace_range(end - 1..end, if &text[end - 1..end] == "1" { "2" } else { "1" });
    assert!(decrypt(&flipped, &[planted()]).is_err());
}

#[test]
fn every_cut_is_noticed() {
    let text = encrypt(b"hush hush hush hush", &planted(), &[1; 32]);
    for length in 0..text.trim_end().len() {
        assert!(decrypt(&text[..length], &[]).is_err());
    }
    for length in [text.len() - 2, text.len() - 66, text.len() / 2] {
        assert!(decrypt(&text[..length], &[planted()]).is_err(), "{length}");
    }
}

#[test]
fn an_unchanged_file_makes_no_new_commit() {
    let sealer = Sealer::new(planted());
    let once = sealer.seal(b"[global]\n");
    assert_eq!(once, Sealer::new(planted()).seal(b"[global]\n"));
    assert_eq!(sealer.seal(&once), once, "what is encrypted is left alone");
    let salt = |sealed: &[u8]| {
        let text = std::str::from_utf8(sealed).unwrap();
        let digits: String = text.lines().skip(1).collect();
        hex::decode(&digits[..128]).unwrap()
    };
    let other = Sealer::new(password(DEFAULT_ID, "other"));
    let salts = [once.clone(), sealer.seal(b"[global]\n\n"), other.seal(b"[global]\n")];
    let different: std::collections::BTreeSet<_> = salts.iter().map(|sealed| salt(sealed)).collect();
    assert_eq!(different.len(), 3, "no two contents share a salt");
    let text = String::from_utf8(once).unwrap();
    assert_eq!(&*decrypt(&text, &[planted()]).unwrap(), b"[global]\n");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn there_and_back(plain: Vec<u8>, salt: [u8; 32], id in "[a-z0-9._-]{1,8}") {
        let secret = password(&id, "planted");
        let text = encrypt(&plain, &secret, &salt);
        prop_assert!(text.lines().all(|line| line.len() <= 80));
        prop_assert_eq!(&*decrypt(&text, &[secret]).unwrap(), &plain);
    }

    #[test]
    fn garbage_is_an_error(text in "\\PC{0,200}", body in "[0-9a-f\n ]{0,300}") {
        prop_assert!(decrypt(&text, &[planted()]).is_err());
        let headed = format!("$ANSIBLE_VAULT;1.1;AES256\n{body}");
        prop_assert!(decrypt(&headed, &[planted()]).is_err());
    }
}

proptest! {
    #[test]
    fn hex_of_hex_garbage_is_an_error(lines in proptest::collection::vec("[0-9a-fg]{0,70}", 0..5)) {
        let headed = format!("$ANSIBLE_VAULT;1.2;AES256;x\n{}\n", hex::encode(lines.join("\n")));
        prop_assert!(decrypt(&headed, &[]).is_err());
    }
}
