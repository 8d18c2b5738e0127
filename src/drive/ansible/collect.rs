//! What a playbook wrote: files that are new, or other than before, below the directories that are written back.
//!
//! Only regular files count. A symbolic link is neither kept nor followed, for it could lead anywhere on this machine;
//! a file that was deleted stays in the repository.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::drive::generated::{COUNT_LIMIT, File, Files, TOTAL_LIMIT, too_much};
use crate::model::{ClusterName, Digest};

/// The files as they were before.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// Whose they are.
    pub cluster: ClusterName,
    dirs: Vec<String>,
    files: BTreeMap<String, Digest>,
}

/// What was made.
#[derive(Default)]
pub struct Made {
    /// By path in the repository.
    pub files: Files,
    /// Paths that are neither files nor directories.
    pub left_out: Vec<String>,
}

impl Baseline {
    /// Looks at the directories `dirs` of a checkout.
    pub fn take(cluster: &ClusterName, root: &Path, dirs: Vec<String>) -> io::Result<Baseline> {
        let mut found = Found::default();
        dirs.iter().try_for_each(|dir| walk(root, dir, &mut found))?;
        let read = |path: &String| Ok((path.clone(), print(&File::read(&root.join(path))?)));
        let files = found.files.iter().map(read).collect::<io::Result<_>>()?;
        Ok(Baseline { cluster: cluster.clone(), dirs, files })
    }

    /// What is new or other in them. Fails when that is more than is kept.
    pub fn changes(&self, root: &Path) -> io::Result<Made> {
        let mut found = Found::default();
        self.dirs.iter().try_for_each(|dir| walk(root, dir, &mut found))?;
        let (mut files, mut total) = (Files::new(), 0);
        for path in found.files {
            let file = File::read(&root.join(&path))?;
            if self.files.get(&path) == Some(&print(&file)) {
                continue;
            }
            total += file.data.len() as u64;
            if total > TOTAL_LIMIT || files.len() >= COUNT_LIMIT {
                return Err(io::Error::other(too_much()));
            }
            files.insert(path, file);
        }
        Ok(Made { files, left_out: found.others })
    }
}

/// Puts files into a checkout, where no link of it leads out.
pub fn lay(root: &Path, files: &Files) -> io::Result<()> {
    let inside = root.canonicalize()?;
    for (path, file) in files {
        let place = root.join(path);
        let parent = place.parent().unwrap_or(root);
        fs::create_dir_all(parent)?;
        if !parent.canonicalize()?.starts_with(&inside) || place.is_symlink() {
            return Err(io::Error::other(format!("`{path}` leads out of the repository")));
        }
        fs::write(&place, &file.data)?;
        fs::set_permissions(&place, fs::Permissions::from_mode(if file.executable { 0o700 } else { 0o600 }))?;
    }
    Ok(())
}

fn print(file: &File) -> Digest {
    Digest::of([file.data.as_slice(), &[u8::from(file.executable)]])
}

#[derive(Default)]
struct Found {
    files: Vec<String>,
    others: Vec<String>,
}

/// Every file below `dir`, which is reached without a link.
fn walk(root: &Path, dir: &str, found: &mut Found) -> io::Result<()> {
    let parts: Vec<&str> = dir.split('/').collect();
    let real = |count: usize| root.join(parts[..count].join("/")).symlink_metadata().is_ok_and(|about| about.is_dir());
    if !(1..=parts.len()).all(real) || parts.contains(&"..") {
        return Ok(());
    }
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(root.join(&dir))? {
            let entry = entry?;
            let name = entry.file_name().into_string();
            let name = name.map_err(|_| io::Error::other(format!("a name in {dir} is not UTF-8")))?;
            let path = format!("{dir}/{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                dirs.push(path);
            } else if kind.is_file() {
                found.files.push(path);
            } else {
                found.others.push(path);
            }
            if found.files.len() + found.others.len() + dirs.len() > 10 * COUNT_LIMIT {
                return Err(io::Error::other(format!("more than {} files", 10 * COUNT_LIMIT)));
            }
        }
    }
    found.files.sort();
    found.files.dedup();
    Ok(())
}
