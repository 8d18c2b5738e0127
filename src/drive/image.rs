//! Fetching and verifying images of installers: from a URL or the static root into `state_dir/images/<sha256>`.
//!
//! A file there has the digest it is named by, and its vendor's signature where one is asked for: it is written under
//! another name, verified, brought to the disk, and only then renamed. Every start of the daemon verifies anew, from the
//! files that are there, without the network.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::blocking;
use crate::model::{Desired, Fault, ImageSource, ImageSpec, ImageStamp, Reason};

mod fetch;
mod signature;

use fetch::{Limits, disk};

/// Octets of an image.
const LARGEST: u64 = 8 << 30;
/// Octets of a signature or a list of sums.
const SMALL: u64 = 1 << 20;

/// For the fault of work that was not finished.
const WORK: &str = "work on the image store";

/// Where images are kept, and what they come from.
#[derive(Clone, Debug)]
pub struct Store {
    /// `state_dir/images`.
    pub dir: PathBuf,
    /// `network.tftp.root`.
    pub root: Option<PathBuf>,
    /// For URLs.
    pub client: reqwest::Client,
}

impl Store {
    /// Makes sure that an image is there and is what was announced; says which file that is.
    pub async fn ensure(&self, image: &ImageSpec) -> Result<ImageStamp, Fault> {
        tokio::fs::create_dir_all(&self.dir).await.map_err(|error| disk("cannot make the image store", &error))?;
        let path = self.dir.join(&*image.sha256);
        let (kept, sha256) = (path.clone(), image.sha256.clone());
        let is_right = move || {
            let found = fetch::copy(&mut File::open(kept).ok()?, &mut io::sink(), u64::MAX).ok()?;
            Some(found == *sha256)
        };
        let right = blocking(WORK, is_right).await?.unwrap_or(false);
        if right {
            self.check_signature(image, &path).await?;
        } else {
            let fresh = self.fetch(image).await?;
            self.check_signature(image, fresh.path()).await?;
            let (dir, path) = (self.dir.clone(), path.clone());
            blocking(WORK, move || keep(fresh, &dir, &path)).await??;
        }
        let data = tokio::fs::metadata(&path).await.map_err(|error| disk("cannot look at the image", &error))?;
        Ok(stamp(&data))
    }

    /// Brings the image under a name that nobody is served, and compares its digest.
    async fn fetch(&self, image: &ImageSpec) -> Result<NamedTempFile, Fault> {
        tracing::info!(image = %image.name, from = image.source.as_str(), "fetching an image");
        let (fresh, found) = self.bring(&image.source, &Limits { octets: LARGEST, what: &image.name }).await?;
        if *found != *image.sha256 {
            let message = format!(
                "its SHA-256 is {found}, and the manifest says {}: correct the manifest, or find out who changed {}",
                image.sha256,
                image.source.as_str()
            );
            return Err(Fault::operator(Reason::DigestDiffers, message));
        }
        Ok(fresh)
    }

    /// Copies something into a temporary file of the store, and says its digest.
    async fn bring(&self, source: &ImageSource, limits: &Limits<'_>) -> Result<(NamedTempFile, String), Fault> {
        let dir = self.dir.clone();
        let to = blocking(WORK, move || {
            let to = tempfile::Builder::new().prefix(".part-").tempfile_in(&dir);
            to.map_err(|error| disk("cannot write to the image store", &error))
        })
        .await??;
        match source {
            ImageSource::Url(url) => fetch::url(&self.client, url, to, limits).await,
            ImageSource::Path(path) => {
                let Some(root) = self.root.clone() else {
                    return Err(Fault::operator(Reason::NoStaticRoot, "network.tftp.root is not set"));
                };
                let (path, octets) = (path.clone(), limits.octets);
                blocking(WORK, move || fetch::path(&root, &path, to, octets)).await?
            }
        }
    }

    /// Checks the vendor's signature, which is kept beside the image so that a restart needs no network.
    async fn check_signature(&self, image: &ImageSpec, file: &Path) -> Result<(), Fault> {
        let Some(wanted) = &image.signature else { return Ok(()) };
        let signature = self.beside(image, "sig", &wanted.source).await?;
        let sums = match &wanted.sums {
            None => None,
            Some(source) => Some(self.beside(image, "sums", source).await?),
        };
        let checked = signature::check(&self.dir, wanted, &signature, sums.as_deref(), file, &image.sha256).await;
        if checked.is_err() {
            // Not to be found again at the next try: the vendor may have put another one there.
            for kept in [Some(signature), sums].into_iter().flatten() {
                let _ = tokio::fs::remove_file(kept).await;
            }
        }
        checked
    }

    /// A small file of an image, by the image's own name: two images never share one.
    async fn beside(&self, image: &ImageSpec, kind: &str, source: &ImageSource) -> Result<PathBuf, Fault> {
        let path = self.dir.join(format!("{}.{kind}", image.id));
        if !tokio::fs::try_exists(&path).await.unwrap_or(false) {
            let what = format!("{} of {}", kind, image.name);
            let (fresh, _) = self.bring(source, &Limits { octets: SMALL, what: &what }).await?;
            let (dir, path) = (self.dir.clone(), path.clone());
            blocking(WORK, move || keep(fresh, &dir, &path)).await??;
        }
        Ok(path)
    }

    /// Removes what no installer announces any more, and what was left half-written by a daemon that was killed. Whoever
    /// is being sent such a file keeps it open.
    pub async fn sweep(&self, desired: &Desired) {
        let wanted: BTreeSet<String> = desired
            .images
            .values()
            .flat_map(|image| [image.sha256.to_string(), format!("{}.sig", image.id), format!("{}.sums", image.id)])
            .collect();
        let dir = self.dir.clone();
        let swept = blocking(WORK, move || {
            for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if !wanted.contains(&name) && !name.starts_with(".part-") && std::fs::remove_file(entry.path()).is_ok()
                {
                    tracing::info!(name, "an image that nobody announces any more was removed");
                }
            }
        });
        let _ = swept.await;
    }

    /// Removes what a daemon that was killed left half-written. Only before anything is fetched.
    pub fn clear(&self) {
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(".part-") {
                let _ = std::fs::remove_file(entry.path()).or_else(|_| std::fs::remove_dir_all(entry.path()));
            }
        }
    }
}

fn stamp(data: &Metadata) -> ImageStamp {
    ImageStamp { size: data.len(), inode: data.ino(), modified: (data.mtime(), data.mtime_nsec()) }
}

/// Brings a finished file to the disk, and only then gives it its name.
fn keep(fresh: NamedTempFile, dir: &Path, path: &Path) -> Result<(), Fault> {
    let done = fresh.as_file().sync_all().and_then(|()| {
        fresh.persist(path).map_err(|error| error.error)?;
        File::open(dir)?.sync_all()
    });
    done.map_err(|error| disk("cannot keep the image", &error))
}
