//! Secrets of a repository: what the drivers have read for it, and what has come to light with that.
//!
//! A repository is loaded with what is known; what it asks for besides (a file on this host, an environment variable, a
//! decrypted SOPS file) is remembered in [`Secrets::asked`], fetched by `drive::secrets`, and given to the next load.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroize as _;

use super::vault::{self, VaultPassword};
use crate::model::{Digest, Secret};

/// Longest secret that is a line of its own (`password_file`, `password_env`), in bytes.
pub const MAX_LINE: usize = 4096;

/// Where a secret comes from that is not in the repository in clear.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A file on the bootstrap host: its first and only line.
    File(PathBuf),
    /// An environment variable of the daemon.
    Variable(String),
    /// A file of the repository that is encrypted with SOPS, as JSON.
    Sops { path: Arc<str>, digest: Digest },
}

/// What a source gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The secret, or why there is none. The reason carries no value.
    pub text: Result<Secret, String>,
    /// What is not as it should be (a file that everybody can read).
    pub warning: Option<String>,
}

/// What a value amounts to, or why it cannot be read.
pub type Opened = Result<Secret, Arc<str>>;

/// What is known of a repository's secrets.
#[derive(Debug, Default)]
pub struct Secrets {
    /// Whether secrets are read here at all. On a machine that is not the daemon's nobody expects that.
    here: bool,
    passwords: Vec<VaultPassword>,
    /// Why a password is missing.
    trouble: Option<String>,
    given: BTreeMap<Source, Given>,
    asked: Mutex<BTreeSet<Source>>,
    /// Vaulted texts that were opened, by their digests: the key derivation costs milliseconds, and the hosts of a group
    /// share their passwords.
    opened: Mutex<HashMap<Digest, Opened>>,
    /// Those of an earlier load with the same passwords.
    remembered: HashMap<Digest, Opened>,
    derived: AtomicUsize,
}

impl Secrets {
    /// Nothing can be read here: a command without settings.
    pub fn elsewhere() -> Arc<Secrets> {
        Arc::new(Secrets::default())
    }

    /// The vault passwords, in the order in which they are tried. `trouble`: why one that is set could not be read.
    pub fn new(passwords: Vec<VaultPassword>, trouble: Option<String>) -> Secrets {
        Secrets { here: true, passwords, trouble, ..Secrets::default() }
    }

    /// Adds what a source gave.
    pub fn give(mut self, source: Source, given: Given) -> Secrets {
        self.given.insert(source, given);
        self
    }

    /// With what an earlier load has opened, where the passwords are the same still.
    pub fn remembering(mut self, before: &Secrets) -> Secrets {
        if self.passwords == before.passwords && self.trouble == before.trouble && before.here {
            self.remembered = before.opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
        }
        self
    }

    /// Digest of all that was given: with another one the repository may read differently.
    pub fn digest(&self) -> Digest {
        let mut parts: Vec<Vec<u8>> = vec![self.trouble.clone().unwrap_or_default().into()];
        for VaultPassword { id, text } in &self.passwords {
            parts.extend([id.clone().into(), text.reveal().as_bytes().to_vec()]);
        }
        for (source, given) in &self.given {
            let text = match &given.text {
                Ok(text) => format!("+{}", text.reveal()),
                Err(why) => format!("-{why}"),
            };
            parts.extend([format!("{source:?}").into(), text.into(), given.warning.clone().unwrap_or_default().into()]);
        }
        let digest = Digest::of(parts.iter().map(Vec::as_slice));
        parts.zeroize();
        digest
    }

    /// Whether secrets are read here at all.
    pub fn are_here(&self) -> bool {
        self.here
    }

    /// The vault passwords.
    pub fn passwords(&self) -> &[VaultPassword] {
        &self.passwords
    }

    /// Every source that was asked for.
    pub fn asked(&self) -> BTreeSet<Source> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every source that was asked for, and of which something is known.
    pub fn given(&self) -> BTreeSet<Source> {
        self.given.keys().cloned().collect()
    }

    /// Sources that were asked for and of which nothing is known.
    pub fn missing(&self) -> BTreeSet<Source> {
        self.asked().into_iter().filter(|source| !self.given.contains_key(source)).collect()
    }

    /// What a source gave; `None` when nobody has asked it yet.
    pub fn get(&self, source: &Source) -> Option<&Given> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if !asked.contains(source) {
            asked.insert(source.clone());
        }
        self.given.get(source)
    }

    /// How many texts had to be decrypted.
    pub fn derived(&self) -> usize {
        self.derived.load(Ordering::Relaxed)
    }

    /// Decrypts a text of Ansible Vault.
    pub fn open(&self, text: &str) -> Opened {
        if !self.here {
            return Err("it is encrypted, and no vault password is known here".into());
        }
        let digest = Digest::of([text.as_bytes()]);
        let known = self.opened.lock().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned();
        if let Some(known) = known {
            return known;
        }
        if let Some(known) = self.remembered.get(&digest) {
            self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, known.clone());
            return known.clone();
        }
        self.derived.fetch_add(1, Ordering::Relaxed);
        // Not under the lock: it takes its time.
        let opened = vault::decrypt_text(text, &self.passwords).map_err(|error| match (&self.trouble, error) {
            (Some(trouble), vault::VaultError::NoPassword | vault::VaultError::WrongPassword(_)) => {
                trouble.as_str().into()
            }
            (_, error) => error.to_string().into(),
        });
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, opened.clone());
        opened
    }
}
