//! Ansible Vault: texts encrypted with a password, of format 1.1 and 1.2 (with ids).
//!
//! Source: Ansible's documentation, "Encrypting content with Ansible Vault", "Format of files encrypted with Ansible
//! Vault". A header line `$ANSIBLE_VAULT;1.2;AES256;id` is followed by hex digits in lines of 80. They stand for three
//! lines of hex digits: the salt, an HMAC-SHA256 of the ciphertext, and the ciphertext: AES-256 in counter mode, padded as
//! PKCS #7 (RFC 5652 section 6.3). Both keys and the first counter come from the password by PBKDF2-HMAC-SHA256 (RFC 8018)
//! with 10,000 rounds.
#![allow(missing_docs, reason = "names that say all have no comment")]

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::model::Secret;
use crate::yaml::VAULT_HEADER;

/// The id of a password that has none of its own, as Ansible calls it.
pub const DEFAULT_ID: &str = "default";

const ROUNDS: u32 = 10_000;
const BLOCK: usize = 16;
const LINE: usize = 80;

/// A password and its id (`--vault-id id@file`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultPassword {
    /// Its id: a label, no secret. Without one [`DEFAULT_ID`].
    pub id: String,
    pub text: Secret,
}

/// Why a vaulted text cannot be read. Tells nothing of password or contents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("it is not a text of Ansible Vault: {0}")]
    Damaged(&'static str),
    #[error("no vault password is set (ansible.vault_password_file or ansible.vault_ids)")]
    NoPassword,
    #[error("none of the vault passwords opens it{}", labelled(.0))]
    WrongPassword(Option<String>),
}

fn labelled(id: &Option<String>) -> String {
    id.as_ref().map(|id| format!(" (it names the vault id `{id}`)")).unwrap_or_default()
}

/// Keys and first counter, as PBKDF2 gives them.
struct Keys(Zeroizing<[u8; 80]>);

impl Keys {
    fn derive(password: &Secret, salt: &[u8]) -> Keys {
        let mut octets = Zeroizing::new([0; 80]);
        pbkdf2::pbkdf2_hmac::<Sha256>(password.reveal().as_bytes(), salt, ROUNDS, &mut *octets);
        Keys(octets)
    }

    /// Encrypts or decrypts in place: in counter mode both are the same.
    fn apply(&self, octets: &mut [u8]) {
        let mut key = aes::cipher::Key::<Ctr128BE<Aes256>>::default();
        key.copy_from_slice(&self.0[..32]);
        let mut counter = aes::cipher::Iv::<Ctr128BE<Aes256>>::default();
        counter.copy_from_slice(&self.0[64..]);
        Ctr128BE::<Aes256>::new(&key, &counter).apply_keystream(octets);
        zeroize::Zeroize::zeroize(key.as_mut_slice());
    }

    fn mac(&self, ciphertext: &[u8]) -> Hmac<Sha256> {
        mac(&self.0[32..64], ciphertext)
    }
}

#[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("any length").chain_update(text)
}

/// The parts of a vaulted text.
struct Envelope<'t> {
    id: Option<&'t str>,
    salt: Vec<u8>,
    mac: Vec<u8>,
    ciphertext: Vec<u8>,
}

fn open_envelope(text: &str) -> Result<Envelope<'_>, VaultError> {
    let damaged = VaultError::Damaged;
    let text = text.trim_start();
    let (header, body) = text.split_once('\n').ok_or(damaged("there is nothing behind its first line"))?;
    let mut parts = header.trim().split(';').map(str::trim);
    if parts.next() != Some("$ANSIBLE_VAULT") {
        return Err(damaged("its first line is not `$ANSIBLE_VAULT;…`"));
    }
    if !matches!(parts.next(), Some("1.1" | "1.2")) {
        return Err(damaged("its format is neither 1.1 nor 1.2"));
    }
    if parts.next() != Some("AES256") {
        return Err(damaged("its cipher is not AES256"));
    }
    let id = parts.next().filter(|id| !id.is_empty());
    let hexadecimal = |digits: &[u8]| hex::decode(digits).map_err(|_| damaged("it is not made of pairs of hex digits"));
    let digits: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let inner = hexadecimal(&digits)?;
    let mut lines = inner.splitn(3, |byte| *byte == b'\n');
    let mut line = || hexadecimal(lines.next().ok_or(damaged("it is cut off"))?);
    let (salt, mac, ciphertext) = (line()?, line()?, line()?);
    if ciphertext.is_empty() || ciphertext.len() % BLOCK != 0 {
        return Err(damaged("it is cut off"));
    }
    Ok(Envelope { id, salt, mac, ciphertext })
}

/// Decrypts a text with the password that its id names, else with whichever opens it, as Ansible does.
pub fn decrypt(text: &str, passwords: &[VaultPassword]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let envelope = open_envelope(text)?;
    if passwords.is_empty() {
        return Err(VaultError::NoPassword);
    }
    let wanted = envelope.id.unwrap_or(DEFAULT_ID);
    let (named, others): (Vec<_>, Vec<_>) = passwords.iter().partition(|password| password.id == wanted);
    for password in named.into_iter().chain(others) {
        let keys = Keys::derive(&password.text, &envelope.salt);
        if keys.mac(&envelope.ciphertext).verify_slice(&envelope.mac).is_err() {
            continue;
        }
        let mut octets = Zeroizing::new(envelope.ciphertext);
        keys.apply(&mut octets);
        let padding = usize::from(octets.last().copied().unwrap_or_default());
        let fits =
            (1..=BLOCK).contains(&padding) && octets.iter().rev().take(padding).all(|it| usize::from(*it) == padding);
        if !fits {
            return Err(VaultError::Damaged("its padding is wrong"));
        }
        let length = octets.len() - padding;
        octets.truncate(length);
        return Ok(octets);
    }
    Err(VaultError::WrongPassword(envelope.id.map(str::to_owned)))
}

/// Decrypts what must be UTF-8 text.
pub fn decrypt_text(text: &str, passwords: &[VaultPassword]) -> Result<Secret, VaultError> {
    let octets = decrypt(text, passwords)?;
    let text = std::str::from_utf8(&octets).map_err(|_| VaultError::Damaged("its contents are not UTF-8 text"))?;
    Ok(Secret::new(text))
}

/// Encrypts: format 1.2 with the password's id, or 1.1 where it has none, as `ansible-vault` does.
///
/// One salt must not serve two contents under one password: their difference would show.
pub fn encrypt(plain: &[u8], password: &VaultPassword, salt: &[u8; 32]) -> String {
    let keys = Keys::derive(&password.text, salt);
    let padding = BLOCK - plain.len() % BLOCK;
    let mut octets = Zeroizing::new(Vec::with_capacity(plain.len() + padding));
    octets.extend_from_slice(plain);
    octets.resize(plain.len() + padding, padding as u8);
    keys.apply(&mut octets);
    let mac = keys.mac(&octets).finalize().into_bytes();
    let inner = format!("{}\n{}\n{}", hex::encode(salt), hex::encode(mac), hex::encode(&*octets));
    let mut text = match password.id.as_str() {
        DEFAULT_ID => format!("{VAULT_HEADER}1.1;AES256\n"),
        id => format!("{VAULT_HEADER}1.2;AES256;{id}\n"),
    };
    let digits = hex::encode(inner);
    for start in (0..digits.len()).step_by(LINE) {
        text.push_str(&digits[start..digits.len().min(start + LINE)]);
        text.push('\n');
    }
    text
}

/// Encrypts files that are committed again and again: an unchanged file gives the same bytes, so that it makes no new
/// commit. What is encrypted already is left as it is.
///
/// The salt is an HMAC of the content, so that no two contents share one; that two files are equal can be seen. The HMAC's
/// key comes from the password by PBKDF2: whoever knows a file's content must not be able to try passwords faster than on
/// the text itself.
pub struct Sealer {
    password: VaultPassword,
    key: Zeroizing<[u8; 32]>,
}

impl Sealer {
    /// For one password.
    pub fn new(password: VaultPassword) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        let purpose = b"rackwright: salt of generated files";
        pbkdf2::pbkdf2_hmac::<Sha256>(password.text.reveal().as_bytes(), purpose, ROUNDS, &mut *key);
        Sealer { password, key }
    }

    /// The file as it is committed.
    pub fn seal(&self, content: &[u8]) -> Vec<u8> {
        if content.starts_with(VAULT_HEADER.as_bytes()) {
            return content.to_vec();
        }
        let salt: [u8; 32] = mac(&*self.key, content).finalize().into_bytes().into();
        encrypt(content, &self.password, &salt).into_bytes()
    }
}
