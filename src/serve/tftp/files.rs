//! What a TFTP name means: a machine's own files, the deploy keys, or a file under the static root.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::fs::File;

use super::ServeError;
use crate::model::{Mac, Time, Token, World};
use crate::plan::boot::{self, FileAnswer};
use crate::serve::Context;

/// Longest name; the longest real ones (GRUB's modules) have some sixty octets.
const LONGEST_NAME: usize = 512;
/// A public key file is one line per key.
const LONGEST_KEYS: u64 = 64 * 1024;

/// What a name stands for, for this client.
pub enum Found {
    /// A script for whoever asks: local boot, or asking again by MAC.
    Text(String),
    /// A rendered file of one machine.
    Own(String),
    /// The deploy user's public keys.
    Keys(Vec<u8>),
    /// A file under the static root, and its size.
    Static(File, u64),
    /// An answer file: reading it is the claim.
    Claim {
        /// The boot MAC it is for.
        mac: Mac,
        /// The body, with marks.
        body: Arc<str>,
    },
    /// Nothing.
    Missing,
    /// Something, but not for this client.
    Refused(String),
}

impl Found {
    /// One word for counters and logs.
    pub fn outcome(&self) -> &'static str {
        match self {
            Found::Text(_) => "boot-script",
            Found::Own(_) => "boot-file",
            Found::Keys(_) => "keys",
            Found::Static(..) => "static",
            Found::Claim { .. } => "claim",
            Found::Missing => "not-found",
            Found::Refused(_) => "refused",
        }
    }
}

/// Finds files by name.
pub struct Files {
    root: Option<PathBuf>,
    claims: Arc<Claims>,
}

impl Files {
    /// With the static root of the settings, which must exist.
    pub async fn new(ctx: &Context) -> Result<Self, ServeError> {
        let root = match &ctx.settings.network.tftp_root {
            None => None,
            Some(path) => {
                let fail = |source| ServeError::Root { path: path.clone(), source };
                let real = tokio::fs::canonicalize(path).await.map_err(fail)?;
                if !real.is_dir() {
                    return Err(fail(std::io::ErrorKind::NotADirectory.into()));
                }
                Some(real)
            }
        };
        Ok(Files { root, claims: Arc::default() })
    }

    /// The claims of the last seconds.
    pub fn claims(&self) -> Arc<Claims> {
        self.claims.clone()
    }

    /// What `name` stands for when `client` asks.
    pub async fn find(&self, ctx: &Context, name: &str, client: SocketAddr) -> Found {
        if name.len() > LONGEST_NAME || name.contains('\0') {
            return Found::Missing;
        }
        // A leading slash is the root, however many there are; `.` and empty parts mean nothing.
        let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        match parts[..] {
            ["boot.ipxe"] => script(&ctx.world(), client),
            ["host", name] => host_file(&ctx.world(), name, client),
            ["host", ..] => Found::Missing,
            ["keys.txt"] if ctx.settings.deploy.ssh_key.is_some() => keys(ctx).await,
            _ => self.under_root(&parts).await,
        }
    }

    /// A regular file under the root. Links are followed as long as they end inside it.
    async fn under_root(&self, parts: &[&str]) -> Found {
        let Some(root) = &self.root else { return Found::Missing };
        if parts.is_empty() || parts.contains(&"..") {
            return Found::Missing;
        }
        let wanted = parts.iter().fold(root.clone(), |path, part| path.join(part));
        match open_inside(root, &wanted).await {
            Ok(Some((file, size))) => Found::Static(file, size),
            Ok(None) => Found::Refused(format!("{} is outside of the root", wanted.display())),
            Err(_) => Found::Missing,
        }
    }
}

async fn open_inside(root: &Path, wanted: &Path) -> std::io::Result<Option<(File, u64)>> {
    let real = tokio::fs::canonicalize(wanted).await?;
    if !real.starts_with(root) {
        return Ok(None);
    }
    // Asked before opening: opening a pipe would wait for its writer.
    if !tokio::fs::metadata(&real).await?.is_file() {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    let file = File::open(&real).await?;
    let size = file.metadata().await?.len();
    Ok(Some((file, size)))
}

/// `boot.ipxe`: of the machine that the client's address is leased to. A client that we cannot name is told to ask again
/// by its MAC, over HTTP, so that a machine without a lease of ours gets what `boot()` says of it too. A `boot.ipxe` in
/// the static root is never given: the one that PVC's tools make installs whoever reads it.
fn script(world: &World, client: SocketAddr) -> Found {
    match boot::host_by_address(world, client.ip()) {
        Some(mac) => answer(boot::file(world, mac, "boot.ipxe", client.ip())),
        None => {
            Found::Text(format!("#!ipxe\nchain {}/boot/${{mac}}/boot.ipxe || exit\n", world.policy.site.http_base()))
        }
    }
}

/// `host/mac-<12 hex>.ipxe` and `.preseed`.
fn host_file(world: &World, name: &str, client: SocketAddr) -> Found {
    let digits = name.strip_prefix("mac-").and_then(|rest| rest.get(..12));
    match digits.and_then(|digits| digits.parse::<Mac>().ok()) {
        Some(mac) => answer(boot::file(world, mac, name, client.ip())),
        None => Found::Missing,
    }
}

fn answer(answer: FileAnswer) -> Found {
    match answer {
        FileAnswer::Body(body) => Found::Own(body.to_string()),
        FileAnswer::Claim { mac, body } => Found::Claim { mac, body },
        FileAnswer::NotFound => Found::Missing,
        FileAnswer::Refused(why) => Found::Refused(why),
    }
}

/// `keys.txt`: the public half of `deploy.ssh_key`.
async fn keys(ctx: &Context) -> Found {
    let Some(private) = &ctx.settings.deploy.ssh_key else { return Found::Missing };
    let mut public = private.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    let small = tokio::fs::metadata(&public).await.is_ok_and(|data| data.is_file() && data.len() <= LONGEST_KEYS);
    match tokio::fs::read(&public).await {
        Ok(body) if small => Found::Keys(body),
        Ok(_) => Found::Missing,
        Err(error) => {
            tracing::warn!(path = %public.display(), %error, "the deploy key's public half cannot be read");
            Found::Missing
        }
    }
}

/// Claims of the last seconds: a request that is sent again because its answer was lost is not a second claim.
#[derive(Debug, Default)]
pub struct Claims(Mutex<VecDeque<(SocketAddr, Mac, Token, Time)>>);

impl Claims {
    /// How long the same client address and port mean the same request. A machine that starts over takes longer, or
    /// comes from another port.
    const KEPT_FOR: Duration = Duration::from_secs(30);
    /// How many are remembered.
    const MOST: usize = 1024;

    /// The token this client was given for this machine a moment ago.
    pub fn recall(&self, peer: SocketAddr, mac: Mac, now: Time) -> Option<Token> {
        let claims = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let newest = claims.iter().rev().find(|(_, whose, ..)| *whose == mac)?;
        let (who, _, token, at) = newest;
        (*who == peer && now.since(*at) < Self::KEPT_FOR).then(|| token.clone())
    }

    /// Remembers a token that was granted.
    pub fn remember(&self, peer: SocketAddr, mac: Mac, token: &Token, now: Time) {
        let mut claims = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        claims.retain(|(.., at)| now.since(*at) < Self::KEPT_FOR);
        if claims.len() >= Self::MOST {
            claims.pop_front();
        }
        claims.push_back((peer, mac, token.clone(), now));
    }
}
