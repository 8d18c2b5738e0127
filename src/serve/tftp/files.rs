//! What a TFTP name means: a machine's own files, the deploy keys, or a file under the static root.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::{Mac, World};
use crate::plan::boot::{self, FileAnswer};
use crate::serve::Context;
use crate::serve::files::{self, Held};

/// Longest name; the longest real ones (GRUB's modules) have some sixty octets.
const LONGEST_NAME: usize = 512;
/// A public key file is one line per key.
const LONGEST_KEYS: u64 = 64 * 1024;

/// What a name stands for, for this client.
pub enum Found {
    /// A script for whoever asks: local boot, or asking again by MAC.
    Text(String),
    Own(String),
    Keys(Bytes),
    Static(Arc<Held>),
    /// An answer file: reading it is the claim.
    Claim {
        mac: Mac,
        /// The body, with marks.
        body: Arc<str>,
    },
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
            Found::Static(_) => "static",
            Found::Claim { .. } => "claim",
            Found::Missing => "not-found",
            Found::Refused(_) => "refused",
        }
    }
}

/// What `name` stands for when `client` asks.
pub async fn find(ctx: &Context, name: &str, client: SocketAddr) -> Found {
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
        _ => match ctx.library.find(name).await {
            files::Found::File(file) => Found::Static(file),
            files::Found::Outside => Found::Refused("it is outside of the root".into()),
            files::Found::Missing => Found::Missing,
        },
    }
}

/// `boot.ipxe`: of the machine that the client's address is leased to. A client that we cannot name is told to ask again
/// by its MAC, over HTTP, so that a machine without a lease of ours gets what `boot()` says of it too. A `boot.ipxe` in
/// the static root is never given: the one that PVC's tools make installs whoever reads it.
fn script(world: &World, client: SocketAddr) -> Found {
    match boot::host_by_address(world, client.ip()) {
        Some(mac) => answer(boot::file(world, mac, "boot.ipxe", client.ip())),
        None => {
            Found::Text(format!("#!ipxe\nchain {}/boot/${{mac}}/boot.ipxe || exit 1\n", world.policy.site.http_base()))
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
        Ok(body) if small => Found::Keys(body.into()),
        Ok(_) => Found::Missing,
        Err(error) => {
            tracing::warn!(path = %public.display(), %error, "the deploy key's public half cannot be read");
            Found::Missing
        }
    }
}
