//! Directories and files that nobody but the daemon's user can read, and bounded reading of files with secrets.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

/// Makes a directory (mode 0700), and those above it that are missing.
pub(crate) fn dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a file that must not exist yet.
pub(crate) fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// Makes a file that must not exist yet, with these bytes.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    let mut file = create(path, mode)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// A file's bytes and mode. Only of regular files, for nothing else is sure to end, and at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<(Zeroizing<Vec<u8>>, u32)> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(about.len().min(limit + 1) as usize));
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is larger than {limit} bytes")));
    }
    Ok((bytes, about.permissions().mode()))
}
