//! Files that a playbook made, kept under the state directory until they are on the watched branch:
//! `generated/<cluster>/<digest>/<path in the repository>`.
//!
//! A copy is complete or not there: it is written beside its place, made durable, and renamed. Its name is the digest of
//! what it holds, so that a damaged one is noticed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::private;
use crate::model::{ClusterName, Digest, Fault, Reason};

/// Largest sum of all files of a copy, in bytes.
pub(crate) const TOTAL_LIMIT: u64 = 64 << 20;
/// How many files a copy may hold.
pub(crate) const COUNT_LIMIT: usize = 10_000;

/// Path in the repository -> file.
pub type Files = BTreeMap<String, File>;

/// A file that a playbook made. Often a key, so that its contents are wiped.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Whether it may be executed: all that Git knows of modes.
    pub executable: bool,
    /// Its contents.
    pub data: Zeroizing<Vec<u8>>,
}

impl File {
    /// An ordinary file.
    pub fn new(data: impl Into<Vec<u8>>) -> Self {
        File { executable: false, data: Zeroizing::new(data.into()) }
    }

    /// Reads one; of a file larger than all of a copy may be, one byte more than that.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let mut file = fs::File::open(path)?;
        let executable = file.metadata()?.permissions().mode() & 0o100 != 0;
        let mut data = Zeroizing::new(Vec::new());
        file.by_ref().take(TOTAL_LIMIT + 1).read_to_end(&mut data)?;
        Ok(File { executable, data })
    }
}

/// Digest of paths, modes and contents.
pub fn digest(files: &Files) -> Digest {
    let parts = files.iter().flat_map(|(path, file)| {
        let mode: &[u8] = if file.executable { b"755" } else { b"644" };
        [path.as_bytes(), mode, file.data.as_slice()]
    });
    Digest::of(parts)
}

/// Where a copy is kept.
pub fn dir(state_dir: &Path, cluster: &ClusterName, id: &Digest) -> PathBuf {
    state_dir.join("generated").join(cluster.as_str()).join(id.as_str())
}

/// Keeps files; gives the name of the copy. When it returns, they survive a power cut. Keeping the same files twice
/// makes one copy.
pub fn keep(state_dir: &Path, cluster: &ClusterName, files: &Files) -> io::Result<Digest> {
    if let Some(path) = files.keys().find(|path| !is_plain(path)) {
        return Err(io::Error::other(format!("`{path}` is no path inside the repository")));
    }
    if files.len() > COUNT_LIMIT || files.values().map(|file| file.data.len() as u64).sum::<u64>() > TOTAL_LIMIT {
        return Err(io::Error::other(too_much()));
    }
    let id = digest(files);
    let place = dir(state_dir, cluster, &id);
    if read(state_dir, cluster, &id).is_ok() {
        return Ok(id);
    }
    let new = place.with_extension("new");
    for stale in [&new, &place] {
        remove(stale)?;
    }
    private::dir(&new)?;
    for (path, file) in files {
        let path = new.join(path);
        path.parent().map_or(Ok(()), private::dir)?;
        let mode = if file.executable { 0o700 } else { 0o600 };
        private::write(&path, &file.data, mode)?.sync_all()?;
    }
    sync_dirs(&new)?;
    fs::rename(&new, &place)?;
    // The new names up to the state directory.
    place.ancestors().skip(1).take(3).try_for_each(sync_dir)?;
    Ok(id)
}

/// Reads a copy and checks it. Fails for good when it is not what its name says: nobody else has these files.
pub fn read(state_dir: &Path, cluster: &ClusterName, id: &Digest) -> Result<Files, Fault> {
    let place = dir(state_dir, cluster, id);
    let lost = |why: String| {
        let advice = "put them back from a backup, or raise the cluster's `run` to go on without them";
        Fault::operator(
            Reason::GeneratedFilesLost,
            format!("the kept files {} cannot be used: {why}; {advice}", place.display()),
        )
    };
    let (mut files, mut total) = (Files::new(), 0);
    if !place.is_dir() {
        return Err(lost("they are missing".into()));
    }
    collect(&place, "", &mut files, &mut total).map_err(|error| lost(error.to_string()))?;
    match digest(&files) == *id {
        true => Ok(files),
        false => Err(lost("they have been changed".into())),
    }
}

fn collect(dir: &Path, prefix: &str, files: &mut Files, total: &mut u64) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| io::Error::other("a name is not UTF-8"))?;
        let path = format!("{prefix}{name}");
        let about = entry.metadata()?;
        if about.is_dir() {
            collect(&entry.path(), &format!("{path}/"), files, total)?;
            continue;
        }
        if !about.is_file() {
            return Err(io::Error::other(format!("`{path}` is not a file")));
        }
        let file = File::read(&entry.path())?;
        *total += file.data.len() as u64;
        if *total > TOTAL_LIMIT || files.len() >= COUNT_LIMIT {
            return Err(io::Error::other(too_much()));
        }
        files.insert(path, file);
    }
    Ok(())
}

pub(crate) fn too_much() -> String {
    format!("more than {COUNT_LIMIT} files, or {} MiB of them", TOTAL_LIMIT >> 20)
}

/// Forgets a copy. Only after its push is known; one that is not there is fine.
pub fn forget(state_dir: &Path, cluster: &ClusterName, id: &Digest) -> io::Result<()> {
    remove(&dir(state_dir, cluster, id))
}

/// Whether a path stays inside the repository, and out of what Git calls its own.
fn is_plain(path: &str) -> bool {
    let own = |part: &str| part.eq_ignore_ascii_case(".git");
    !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | "..") && !own(part))
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_dirs(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_dirs(&entry.path())?;
        }
    }
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter().map(|(path, text)| (path.to_string(), File::new(*text))).collect()
    }

    #[test]
    fn what_is_kept_is_read_back_and_damage_is_noticed() {
        let state = tempfile::tempdir().unwrap();
        let cluster = ClusterName::new("cluster1");
        let mut made = files(&[("files/cluster1/a/key", "secret"), ("files/cluster1/run", "#!/bin/sh\n")]);
        made.get_mut("files/cluster1/run").unwrap().executable = true;
        let id = keep(state.path(), &cluster, &made).unwrap();
        assert_eq!(keep(state.path(), &cluster, &made).unwrap(), id, "twice is once");
        let place = dir(state.path(), &cluster, &id);
        let key = place.join("files/cluster1/a/key");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(&key)), (0o700, 0o600));
        assert!(read(state.path(), &cluster, &id).is_ok_and(|found| found == made));

        fs::write(&key, "other").unwrap();
        let fault = read(state.path(), &cluster, &id).err().unwrap();
        assert_eq!(fault.reason, Reason::GeneratedFilesLost);
        assert!(fault.message.contains("have been changed"), "{fault}");
        assert_eq!(keep(state.path(), &cluster, &made).unwrap(), id, "a damaged copy is replaced");
        assert!(read(state.path(), &cluster, &id).is_ok());

        forget(state.path(), &cluster, &id).unwrap();
        forget(state.path(), &cluster, &id).unwrap();
        assert!(read(state.path(), &cluster, &id).err().unwrap().message.contains("missing"));
    }

    #[test]
    fn a_copy_never_leaves_its_directory() {
        let state = tempfile::tempdir().unwrap();
        for path in ["../x", "a/../../x", "/etc/x", "a//b", ".git/hooks/x", "a/.GIT/config", ""] {
            assert!(keep(state.path(), &ClusterName::new("c"), &files(&[(path, "x")])).is_err(), "{path}");
        }
        let (id, place) = (digest(&files(&[("a", "x")])), state.path().join("generated/c"));
        fs::create_dir_all(place.join(id.as_str())).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", place.join(id.as_str()).join("a")).unwrap();
        let fault = read(state.path(), &ClusterName::new("c"), &id).err().unwrap();
        assert!(fault.message.contains("is not a file"), "{fault}");
    }
}
