//! Where an image's octets come from: a URL, or a file below the static root.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Response, Url};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::drive::http::failed;
use crate::model::{Fault, Reason, span};

/// Time for all of it. Whoever delivers 8 GiB more slowly than at 1.2 MB/s is not a mirror to boot from.
const TOTAL: Duration = Duration::from_secs(2 * 3600);
/// A word in the log at least every so many octets.
const NEWS: u64 = 256 << 20;

/// Octets read from the disk at once.
const CHUNK: usize = 1 << 20;

/// How much may come, and what it is.
pub struct Limits<'a> {
    /// Octets.
    pub octets: u64,
    /// For people.
    pub what: &'a str,
}

/// From a URL; says the digest of what came.
pub async fn url(
    client: &Client,
    url: &str,
    to: NamedTempFile,
    limits: &Limits<'_>,
) -> Result<(NamedTempFile, String), Fault> {
    let url = Url::parse(url).map_err(|_| Fault::operator(Reason::InvalidRequest, "its address is not a URL"))?;
    // Without the query, which may be a secret.
    let place = format!("{}{}", url.origin().ascii_serialization(), url.path());
    let fetched = tokio::time::timeout(TOTAL, async {
        let answer = client.get(url).send().await.map_err(|error| match error.is_redirect() {
            true => Fault::permanent(Reason::Redirected, format!("{place} leads from one redirect to the next")),
            false => failed("fetching", &place, &error),
        })?;
        body(answer, &place, to, limits).await
    });
    fetched.await.unwrap_or_else(|_| {
        Err(Fault::transient(Reason::Timeout, format!("{place} has not sent it within {}", span(TOTAL))))
    })
}

async fn body(
    mut answer: Response,
    place: &str,
    mut to: NamedTempFile,
    limits: &Limits<'_>,
) -> Result<(NamedTempFile, String), Fault> {
    let status = answer.status();
    match status.as_u16() {
        200 => {}
        408 | 429 | 500..=599 => {
            return Err(Fault::transient(Reason::ServerError, format!("{place} answered {status}")));
        }
        _ => return Err(Fault::permanent(Reason::Refused, format!("{place} answered {status}"))),
    }
    let length = answer.content_length();
    if length.is_some_and(|length| length > limits.octets) {
        return Err(too_large(limits.octets));
    }
    let news = length.map_or(NEWS, |length| NEWS.max(length / 10));
    let (mut hash, mut come, mut told) = (Sha256::new(), 0u64, 0u64);
    while let Some(chunk) = answer.chunk().await.map_err(|error| failed("fetching", place, &error))? {
        come += chunk.len() as u64;
        if come > limits.octets {
            return Err(too_large(limits.octets));
        }
        hash.update(&chunk);
        // Some kilobytes into the page cache at a time: not worth a thread of its own.
        to.write_all(&chunk).map_err(|error| disk("cannot write to the image store", &error))?;
        if come - told >= news {
            told = come;
            tracing::info!(what = limits.what, mib = come >> 20, of = length.map(|length| length >> 20), "fetching");
        }
    }
    if length.is_some_and(|length| length != come) {
        return Err(Fault::transient(
            Reason::BrokenAnswer,
            format!("{place} sent {come} octets of {}", length.unwrap_or(0)),
        ));
    }
    Ok((to, hex::encode(hash.finalize())))
}

/// From a file below the static root: no link in the path leads out of it, or the repository's authors could publish
/// whatever the daemon can read.
pub fn path(root: &Path, path: &str, mut to: NamedTempFile, limit: u64) -> Result<(NamedTempFile, String), Fault> {
    let missing = |why: String| Fault::permanent(Reason::NotFound, format!("{path} below network.tftp.root: {why}"));
    let root = File::open(root).map_err(|error| missing(error.to_string()))?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(&root, path, flags, Mode::empty(), resolve).map_err(|error| match error {
        rustix::io::Errno::XDEV => missing("a link leads out of the root".into()),
        error => missing(error.to_string()),
    })?;
    let mut file = File::from(file);
    if !file.metadata().is_ok_and(|data| data.is_file()) {
        return Err(missing("not a file".into()));
    }
    let digest = copy(&mut file, &mut to, limit)?;
    Ok((to, digest))
}

/// Copies what is read, up to a limit, and says its digest.
pub(super) fn copy(from: &mut impl Read, to: &mut impl Write, limit: u64) -> Result<String, Fault> {
    let (mut hash, mut chunk, mut copied) = (Sha256::new(), vec![0; CHUNK], 0u64);
    loop {
        let read = from.read(&mut chunk).map_err(|error| disk("cannot read the file", &error))?;
        let part = chunk.get(..read).unwrap_or_default();
        copied += read as u64;
        match read {
            0 => return Ok(hex::encode(hash.finalize())),
            _ if copied > limit => return Err(too_large(limit)),
            _ => to.write_all(part).map_err(|error| disk("cannot write to the image store", &error))?,
        }
        hash.update(part);
    }
}

pub(super) fn too_large(limit: u64) -> Fault {
    Fault::operator(Reason::TooLarge, format!("it is larger than {} MiB", limit >> 20))
}

/// The disk may have room, or be there, later.
pub(super) fn disk(what: &str, error: &io::Error) -> Fault {
    Fault::transient(Reason::ImageStore, format!("{what}: {error}"))
}
