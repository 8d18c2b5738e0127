//! Where a static file is. No name and no link leads out of the root, not even one that is swapped while we look.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::RootError;

/// Longest name; the longest real ones (GRUB's modules) have some sixty octets.
const LONGEST_NAME: usize = 1024;

/// What iPXE's binaries are called here, and where a directory of them may have each, the best first.
///
/// For UEFI the one that uses the firmware's own driver comes first: `ipxe.efi` of 2019, which Debian still ships, hangs
/// after `exit`, so that a finished machine would not go on to its disk.
pub const IPXE: [(&str, &[&str]); 3] = [
    ("undionly.kpxe", &["undionly.kpxe", "bin/undionly.kpxe"]),
    ("ipxe.efi", &["snponly.efi", "ipxe-snponly-x86_64.efi", "bin-x86_64-efi/snponly.efi", "ipxe.efi"]),
    ("ipxe-arm64.efi", &["arm64-efi/snponly.efi", "bin-arm64-efi/snponly.efi", "ipxe-arm64.efi"]),
];

/// File systems on a disk of this machine or in its memory (statfs(2)): ext, XFS, Btrfs, tmpfs, overlay, ZFS, F2FS,
/// SquashFS, EROFS.
const LOCAL: &[u64] =
    &[0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, 0xf2f5_2010, 0x7371_7368, 0xe0f5_e1e2];

/// What is at a name.
pub enum Located {
    /// A regular file, open, and what is known of it.
    File(File, Metadata),
    /// A file that is never served.
    Outside,
    /// Nothing.
    Missing,
}

/// The directories that hold static files.
#[derive(Clone, Debug)]
pub struct Places {
    root: Option<Arc<Path>>,
    ipxe: Arc<Path>,
    /// Whether the root lies on this machine; looked at once.
    local: Arc<OnceLock<bool>>,
}

impl Places {
    /// A static root, and a directory with iPXE's binaries.
    pub fn new(root: Option<PathBuf>, ipxe: PathBuf) -> Places {
        Places { root: root.map(Arc::from), ipxe: Arc::from(ipxe), local: Arc::default() }
    }

    /// Whether the root can be read.
    pub fn check(&self) -> Result<(), RootError> {
        let Some(root) = &self.root else { return Ok(()) };
        match std::fs::read_dir(root) {
            Ok(_) => Ok(()),
            Err(source) => Err(RootError { path: root.to_path_buf(), source }),
        }
    }

    /// What is at `name`, when that can be told at once: a file by a name without links, on a disk of this machine. Some
    /// microseconds, where handing the question to another thread and back would cost more than sending a small file.
    pub fn glance(&self, name: &str) -> Option<(File, Metadata)> {
        let root = self.root.as_ref().filter(|_| self.local.get() == Some(&true))?;
        let name = tidy(name).filter(|name| !decides(Path::new(name)))?;
        let file = open_plain(&directory(root).ok()?, Path::new(&name), ResolveFlags::NO_XDEV).ok()?;
        let data = file.metadata().ok()?;
        data.is_file().then_some((file, data))
    }

    /// What is at `name`.
    pub fn locate(&self, name: &str) -> Located {
        let Some(name) = tidy(name) else { return Located::Missing };
        self.local.get_or_init(|| self.root.as_ref().is_some_and(|root| is_local(root)));
        let below = self.root.as_ref().map_or(Located::Missing, |root| below(root, &name));
        match below {
            Located::Missing => self.ipxe(&name),
            found => found,
        }
    }

    /// One of iPXE's binaries. Links are followed wherever they lead, for an administrator named the directory; Debian's
    /// lead to `/boot`.
    fn ipxe(&self, name: &str) -> Located {
        let names = IPXE.into_iter().find(|(asked, _)| *asked == name).map_or(&[][..], |(_, names)| names);
        let open = |name: &&str| regular(File::open(self.ipxe.join(name)).ok()?);
        names.iter().find_map(open).unwrap_or(Located::Missing)
    }
}

/// The name without leading slashes, doubled ones and `.`; nothing when it could be no file below a root.
fn tidy(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let fit = name.len() <= LONGEST_NAME && !name.ends_with('/') && !name.contains('\0') && !parts.contains(&"..");
    (fit && !parts.is_empty()).then(|| parts.join("/"))
}

/// The root's own `boot.ipxe` and `host/` are not given: those that PVC's tools leave there install whoever reads them;
/// the daemon says itself what a machine boots.
fn decides(inside: &Path) -> bool {
    inside == Path::new("boot.ipxe") || inside.starts_with("host")
}

fn directory(root: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Whether looking something up in this directory waits for nobody but this machine's own disk.
fn is_local(root: &Path) -> bool {
    let kind = rustix::fs::statfs(root).map(|data| data.f_type as u64);
    kind.is_ok_and(|kind| LOCAL.contains(&kind))
}

/// A file below the root. Links are followed as long as they end below it.
fn below(root: &Path, name: &str) -> Located {
    let Ok(directory) = directory(root) else { return Located::Missing };
    match open_plain(&directory, Path::new(name), ResolveFlags::empty()) {
        Ok(_) if decides(Path::new(name)) => Located::Outside,
        Ok(file) => regular(file).unwrap_or(Located::Missing),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            through_links(root, &directory, name)
        }
        Err(_) => Located::Missing,
    }
}

/// Resolves the links first, and then opens what they lead to as a name without links.
fn through_links(root: &Path, directory: &OwnedFd, name: &str) -> Located {
    let real = root.canonicalize().and_then(|root| Ok((root.join(name).canonicalize()?, root)));
    let Ok((real, root)) = real else { return Located::Missing };
    match real.strip_prefix(&root) {
        Ok(inside) if !decides(inside) => {
            open_plain(directory, inside, ResolveFlags::empty()).ok().and_then(regular).unwrap_or(Located::Missing)
        }
        _ => Located::Outside,
    }
}

/// Opens a name below a directory that has no link in it (`openat2(2)`, Linux 5.6): ELOOP when it has one. Does not wait
/// for the writer of a pipe.
fn open_plain(directory: &OwnedFd, name: &Path, also: ResolveFlags) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | also;
    let mut tries = 0;
    loop {
        match openat2(directory, name, flags, Mode::empty(), resolve) {
            // A rename somewhere on the system raced with the look-up; the kernel asks to try again.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if tries < 8 => tries += 1,
            done => return Ok(File::from(done?)),
        }
    }
}

fn regular(file: File) -> Option<Located> {
    let data = file.metadata().ok()?;
    data.is_file().then_some(Located::File(file, data))
}
