//! Where a repository's secrets come from: vault passwords, files and environment variables of this host, and `sops`.
//!
//! Everything here blocks, as loading a repository does; callers do both on a thread that may.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::private;
use super::process::{Output, Run};
use crate::model::{Digest, Secret};
use crate::repo::secret::{Given, MAX_LINE, Secrets, Source};
use crate::repo::tree::{self, Found};
use crate::repo::vault::{DEFAULT_ID, VaultPassword};
use crate::repo::{Loaded, Tree};
use crate::settings::{self, SecretSources, Settings};

/// How long a program may take that gives a password or decrypts a file.
const LIMIT: Duration = Duration::from_secs(20);
/// How long all of them may take together, for one load.
const ALL_LIMIT: Duration = Duration::from_secs(60);
/// How long to wait before a program that failed is run again although nothing has changed that we can see.
const AGAIN: Duration = Duration::from_secs(300);
/// Largest vault password file, in bytes.
const PASSWORD_LIMIT: u64 = 64 << 10;
/// Largest output of `sops`; the files it reads have 4 MiB at most.
const CLEAR_LIMIT: usize = 32 << 20;
/// How often a repository is loaded in a row because what was decrypted asks for more.
const ROUNDS: usize = 4;

/// Reads secrets, and remembers what programs gave: they are not run again for what they have done.
pub struct Keeper {
    vaults: Vec<(String, PathBuf)>,
    sources: SecretSources,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the last load asked for, and what it was given.
    last: Option<Arc<Secrets>>,
    /// Passwords that a program gave, by its path.
    scripts: BTreeMap<PathBuf, Result<Secret, String>>,
    /// SOPS files and what became of them.
    sops: BTreeMap<Digest, (Arc<[u8]>, Given)>,
    /// Contents of the age key file: with another one, what failed is tried again.
    age_key: Option<Digest>,
    /// When programs that fail were run last.
    tried: Option<Instant>,
}

impl Keeper {
    /// Reads as these settings say. Nothing is read yet.
    pub fn new(settings: &Settings) -> Keeper {
        let ansible = &settings.ansible;
        let default = ansible.vault_password_file.iter().map(|file| (DEFAULT_ID.to_owned(), file.clone()));
        let vaults = ansible.vault_ids.iter().cloned().chain(default).collect();
        Keeper { vaults, sources: settings.secrets.clone(), state: Mutex::default() }
    }

    /// Loads a repository with the secrets it asks for.
    pub fn load(&self, tree: &Tree, load: impl Fn(Arc<Secrets>) -> Loaded) -> Loaded {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.scripts.clear();
        let mut asked = state.last.as_ref().map(|last| last.asked()).unwrap_or_default();
        let mut round = 1;
        loop {
            let mut secrets = self.gather(&mut state, &asked, Some(tree), round == 1);
            if let Some(last) = &state.last {
                secrets = secrets.remembering(last);
            }
            let secrets = Arc::new(secrets);
            let loaded = load(secrets.clone());
            let missing = secrets.missing();
            state.last = Some(secrets.clone());
            if missing.is_empty() || round == ROUNDS {
                let used = secrets.asked();
                state.sops.retain(|digest, _| {
                    used.iter().any(|it| matches!(it, Source::Sops { digest: used, .. } if used == digest))
                });
                return loaded;
            }
            asked = secrets.asked();
            round += 1;
        }
    }

    /// Whether the sources give something else than they gave the last load.
    pub fn changed(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = state.last.clone() else { return false };
        let again = state.tried.is_none_or(|tried| tried.elapsed() >= AGAIN);
        // Only of what was used then, so that both are about the same.
        let now = self.gather(&mut state, &last.given(), None, again);
        now.digest() != last.digest()
    }

    /// The vault password for what a cluster's playbook makes: that whose id is the cluster's name, else the first one.
    pub fn vault_password(&self, cluster: &str) -> Result<VaultPassword, String> {
        let named = self.vaults.iter().find(|(id, _)| id == cluster).or(self.vaults.first());
        let (id, file) = named.ok_or("no vault password is set (ansible.vault_password_file or ansible.vault_ids)")?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let text = password(&mut state.scripts, file, &|| LIMIT);
        let text = text.map_err(|why| format!("the vault password file {}: {why}", file.display()))?;
        Ok(VaultPassword { id: id.clone(), text })
    }

    fn gather(&self, state: &mut State, asked: &BTreeSet<Source>, tree: Option<&Tree>, again: bool) -> Secrets {
        let budget = Instant::now();
        let left = || LIMIT.min(ALL_LIMIT.saturating_sub(budget.elapsed()));
        let age_key = self.sources.age_key_file.as_deref().map(digest_of);
        let again = again || age_key != state.age_key;
        state.age_key = age_key;
        if again {
            state.tried = Some(budget);
            state.scripts.retain(|_, given| given.is_ok());
        }
        let (mut passwords, mut trouble) = (Vec::new(), None);
        for (id, file) in &self.vaults {
            match password(&mut state.scripts, file, &left) {
                Ok(text) => passwords.push(VaultPassword { id: id.clone(), text }),
                Err(why) => trouble = trouble.or(Some(format!("the vault password file {}: {why}", file.display()))),
            }
        }
        let mut secrets = Secrets::new(passwords, trouble);
        for source in asked {
            let given = match source {
                Source::File(path) => line_of(path),
                Source::Variable(name) => variable(name),
                Source::Sops { path, digest } => match self.sops(state, (path, digest), tree, again, &left) {
                    Some(given) => given,
                    None => continue,
                },
            };
            secrets = secrets.give(source.clone(), given);
        }
        secrets
    }

    /// What `sops` makes of a file; nothing when the tree does not have it any more.
    fn sops(
        &self,
        state: &mut State,
        (path, digest): (&str, &Digest),
        tree: Option<&Tree>,
        again: bool,
        left: &impl Fn() -> Duration,
    ) -> Option<Given> {
        let known = state.sops.get(digest).cloned();
        let bytes = match known {
            Some((_, given)) if given.text.is_ok() || !again => return Some(given),
            Some((bytes, _)) => bytes,
            None => match tree::find(tree?, path) {
                Found::File(_, bytes) if Digest::of([&*bytes]) == *digest => bytes,
                _ => return None,
            },
        };
        let given = Given { text: self.decrypt(path, &bytes, left()), warning: None };
        state.sops.insert(digest.clone(), (bytes, given.clone()));
        Some(given)
    }

    fn decrypt(&self, path: &str, bytes: &[u8], limit: Duration) -> Result<Secret, String> {
        let format = if path.ends_with(".json") { "json" } else { "yaml" };
        let mut run = Run::new(&self.sources.sops);
        run = run.args(["--decrypt", "--input-type", format, "--output-type", "json", "/dev/stdin"]).time_limit(limit);
        if let Some(file) = &self.sources.age_key_file {
            run = run.env("SOPS_AGE_KEY_FILE", file);
        }
        for name in &self.sources.sops_environment {
            if let Some(value) = settings::variable(name) {
                run = run.env(name, value);
            }
        }
        (run.stdin, run.output_limit) = (bytes.to_vec(), CLEAR_LIMIT);
        let output = blocking(run)?;
        let program = &self.sources.sops;
        if !output.success() {
            // Its own words may quote what it reads; its exit status says enough (its source, `cmd/sops/codes`).
            let why = match output.status {
                Some(128) => {
                    "it could not get the data key: no key that this user has is among the recipients".to_owned()
                }
                Some(51) => "its MAC does not match: it was changed without `sops`".to_owned(),
                Some(status) => format!("it ended with status {status}"),
                None => "it was ended by a signal".to_owned(),
            };
            return Err(format!("{program} does not decrypt {path}: {why} (`sops --decrypt {path}` tells more)"));
        }
        if output.truncated {
            return Err(format!("{program} said too much about {path}"));
        }
        String::from_utf8(output.stdout).map(Secret::new).map_err(|_| format!("{program} gave no UTF-8 for {path}"))
    }
}

/// Runs a program on a runtime of its own: loading a repository is not asynchronous.
fn blocking(run: Run) -> Result<Output, String> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(run.output()).map_err(|error| error.to_string())
    };
    let ended = std::thread::scope(|scope| scope.spawn(work).join());
    ended.unwrap_or_else(|_| Err("running a program failed".to_owned()))
}

fn bytes_of(path: &Path, limit: u64) -> Result<(Zeroizing<Vec<u8>>, u32), String> {
    private::read(path, limit).map_err(|error| error.to_string())
}

fn digest_of(path: &Path) -> Digest {
    match bytes_of(path, PASSWORD_LIMIT) {
        Ok((bytes, _)) => Digest::of([b"+".as_slice(), &bytes]),
        Err(why) => Digest::of([b"-".as_slice(), why.as_bytes()]),
    }
}

/// The password in a file, without white space around it, as Ansible reads it; or what the file prints, when it is a
/// program.
fn password(
    scripts: &mut BTreeMap<PathBuf, Result<Secret, String>>,
    file: &Path,
    left: &impl Fn() -> Duration,
) -> Result<Secret, String> {
    let about = std::fs::metadata(file).map_err(|error| error.to_string())?;
    if about.is_file() && about.permissions().mode() & 0o111 != 0 {
        let run = || -> Result<Secret, String> {
            let run = Run { output_limit: PASSWORD_LIMIT as usize, ..Run::new(file).time_limit(left()) };
            let output = blocking(run)?;
            match output.success() {
                true => text_of(&Zeroizing::new(output.stdout)),
                false => Err("the program failed; it is run because the file is executable".to_owned()),
            }
        };
        return scripts.entry(file.to_owned()).or_insert_with(run).clone();
    }
    text_of(&bytes_of(file, PASSWORD_LIMIT)?.0)
}

fn text_of(bytes: &[u8]) -> Result<Secret, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?.trim();
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(Secret::new(text)) }
}

/// One line without its end.
fn line(text: &str) -> Result<Secret, String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text {
        "" => Err("it is empty".to_owned()),
        _ if text.len() > MAX_LINE => Err(format!("it is longer than {MAX_LINE} bytes")),
        _ if text.chars().any(char::is_control) => Err("it is not one line of text".to_owned()),
        _ => Ok(Secret::new(text)),
    }
}

fn line_of(path: &Path) -> Given {
    match bytes_of(path, MAX_LINE as u64 + 2) {
        Err(why) => Given { text: Err(format!("{}: {why}", path.display())), warning: None },
        Ok((bytes, mode)) => {
            let text = std::str::from_utf8(&bytes).map_err(|_| "it is not UTF-8 text".to_owned()).and_then(line);
            let loose = mode & 0o004 != 0;
            Given {
                text: text.map_err(|why| format!("{}: {why}", path.display())),
                warning: loose.then(|| format!("everybody on the bootstrap host can read {}", path.display())),
            }
        }
    }
}

fn variable(name: &str) -> Given {
    let text = match settings::variable(name) {
        None => Err("it is not set in the daemon's environment".to_owned()),
        Some(value) => value.to_str().ok_or_else(|| "it is not UTF-8 text".to_owned()).and_then(line),
    };
    Given { text: text.map_err(|why| format!("the environment variable {name}: {why}")), warning: None }
}
