//! A vendor's OpenPGP signature, checked by `gpgv`: the program distributions check theirs with, which trusts the keys of
//! one keyring and nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fetch::disk;
use crate::drive::blocking;
use crate::drive::process::{ProcessError, Run};
use crate::model::{Fault, Keyring, Reason, SignatureSpec};

/// `gpgv` reads the whole image once more.
const TIME: Duration = Duration::from_secs(15 * 60);
/// What begins a keyring in text form.
const ARMOUR: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// Checks that one of the keyring's keys signed the image, or the list of sums that names it.
pub async fn check(
    dir: &Path,
    wanted: &SignatureSpec,
    signature: &Path,
    sums: Option<&Path>,
    image: &Path,
    sha256: &str,
) -> Result<(), Fault> {
    // A home without anything in it, so that nobody's own keys and settings count; gone when this ends.
    let dir = dir.to_owned();
    let home = blocking("work on the image store", move || {
        let home = tempfile::Builder::new().prefix(".part-gpgv-").tempdir_in(dir);
        home.map_err(|error| disk("cannot write to the image store", &error))
    })
    .await??;
    let keyring = keyring(&wanted.keyring, home.path()).await?;
    let run = Run::new("gpgv").args(["--quiet", "--status-fd", "1", "--homedir"]).arg(home.path());
    let run = run.arg("--keyring").arg(&keyring).arg("--").arg(signature).arg(sums.unwrap_or(image));
    let output = run.time_limit(TIME).output().await.map_err(|error| match error {
        ProcessError::NotFound(_) => Fault::operator(
            Reason::GpgvMissing,
            "signatures are checked by `gpgv` (Debian package gpgv), which is not installed",
        ),
        error => Fault::transient(Reason::GpgvFailed, error.to_string()),
    })?;
    verdict(&String::from_utf8_lossy(&output.stdout), &output.stderr)?;
    match sums {
        None => Ok(()),
        Some(sums) => named_in(sums, sha256).await,
    }
}

/// What `gpgv` says on its status line: a good signature by a key of the keyring, and no bad one beside it. Signatures by
/// keys that the keyring does not have count for nothing, as when a vendor signs with an old and a new key.
fn verdict(status: &str, said: &str) -> Result<(), Fault> {
    let says = |word: &str| {
        status.lines().any(|line| line.strip_prefix("[GNUPG:] ").is_some_and(|line| line.starts_with(word)))
    };
    if says("GOODSIG ") && !says("BADSIG ") {
        return Ok(());
    }
    let why = if says("BADSIG ") {
        "it is of something else"
    } else if says("EXPKEYSIG ") || says("REVKEYSIG ") {
        "its key has expired or was revoked"
    } else if says("NO_PUBKEY ") {
        "it is by a key that the keyring does not have"
    } else {
        said.lines().last().unwrap_or("gpgv found none")
    };
    Err(Fault::operator(Reason::SignatureWrong, format!("the vendor's signature does not hold: {why}")))
}

/// Whether a signed list names the digest.
async fn named_in(sums: &Path, sha256: &str) -> Result<(), Fault> {
    let text = tokio::fs::read(sums).await.map_err(|error| disk("cannot read the list of sums", &error))?;
    let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
    if text.split_whitespace().any(|word| word == sha256) {
        return Ok(());
    }
    let message = format!("the vendor's signed list of sums does not name {sha256}");
    Err(Fault::operator(Reason::NotInSums, message))
}

/// The keyring as a file that `gpgv` takes: it reads the binary form only.
async fn keyring(keyring: &Keyring, home: &Path) -> Result<PathBuf, Fault> {
    let octets = match keyring {
        Keyring::Own(octets) => octets.to_vec(),
        Keyring::Host(path) => tokio::fs::read(path).await.map_err(|error| {
            Fault::operator(Reason::NoKeyring, format!("the keyring {path} cannot be read: {error}"))
        })?,
    };
    let octets = match std::str::from_utf8(&octets) {
        Ok(text) if text.contains(ARMOUR) => dearmour(text).ok_or_else(|| {
            Fault::operator(Reason::NoKeyring, "the keyring begins like one in text form, but is none")
        })?,
        _ => octets,
    };
    let path = home.join("keyring.gpg");
    tokio::fs::write(&path, octets).await.map_err(|error| disk("cannot write the keyring", &error))?;
    Ok(path)
}

/// The binary form of keys in text form (RFC 9580 section 6.2): between the headers' empty line and the checksum.
fn dearmour(text: &str) -> Option<Vec<u8>> {
    let mut keys = Vec::new();
    for block in text.split(ARMOUR).skip(1) {
        let (block, _) = block.split_once("-----END PGP PUBLIC KEY BLOCK-----")?;
        let lines = block.lines().skip(1).map(str::trim).skip_while(|line| !line.is_empty());
        let digits: String = lines.take_while(|line| !line.starts_with('=')).collect();
        keys.extend(STANDARD.decode(digits).ok()?);
    }
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_signature_and_no_bad_one_counts() {
        let good = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 0123 Vendor <v@example.net>\n[GNUPG:] VALIDSIG 01 2026\n";
        assert!(verdict(good, "").is_ok());
        assert!(verdict(&format!("[GNUPG:] NO_PUBKEY 99\n{good}"), "").is_ok());
        for bad in [
            "",
            "[GNUPG:] BADSIG 0123 Vendor\n",
            "[GNUPG:] NO_PUBKEY 0123\n",
            "[GNUPG:] EXPKEYSIG 0123 Vendor\n",
            "GOODSIG 0123 not from the program\n",
            &format!("{good}[GNUPG:] BADSIG 0123 Vendor\n"),
        ] {
            assert_eq!(verdict(bad, "").unwrap_err().reason, Reason::SignatureWrong, "{bad}");
        }
    }

    #[test]
    fn keys_in_text_form_are_read() {
        let text = format!("{ARMOUR}\nComment: x\n\nAQID\nBAU=\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n");
        assert_eq!(dearmour(&format!("words\n{text}{text}")).unwrap(), [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]);
        assert_eq!(dearmour(ARMOUR), None);
    }
}
