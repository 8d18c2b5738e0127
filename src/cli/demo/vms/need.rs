//! What `demo --vms` needs of the machine it runs on; whatever is missing is named with its Debian package, all at once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::qemu::OVMF;
use crate::settings;

/// Program -> Debian package.
const PROGRAMS: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("syslinux", "syslinux"),
    ("mformat", "mtools"),
    ("grub-mkstandalone", "grub-common"),
    ("depmod", "kmod"),
    ("cpio", "cpio"),
    ("xz", "xz-utils"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("git", "git"),
];

/// File -> Debian package.
const FILES: &[(&str, &str)] = &[
    ("/usr/lib/syslinux/mbr/mbr.bin", "syslinux-common"),
    ("/usr/lib/grub/x86_64-efi/normal.mod", "grub-efi-amd64-bin"),
    ("/usr/lib/ipxe/undionly.kpxe", "ipxe"),
    ("/usr/lib/ipxe/qemu/pxe-virtio.rom", "ipxe-qemu"),
    ("/usr/share/seabios/bios-256k.bin", "seabios"),
    (OVMF[0], "ovmf"),
];

/// Where the boot record of BIOS disks is.
pub(super) const MBR: &str = FILES[0].0;

/// Fails with everything that is missing.
pub fn check(kernel: &Path) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing
            .push("root: bridge, taps and the ports 67 and 69 are made in a network namespace of its own".to_owned());
    }
    if !Path::new("/dev/net/tun").exists() {
        missing.push("/dev/net/tun: the kernel's tun driver (modprobe tun)".to_owned());
    }
    let packages = packages();
    if !packages.is_empty() {
        let names: Vec<_> = packages.into_iter().collect();
        missing.push(format!("programs: apt-get install --no-install-recommends {}", names.join(" ")));
    }
    if !has_kernel(kernel) {
        missing.push(format!(
            "a kernel: there is none under {}. It need not be installed:
    apt-get download $(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p')
    dpkg -x linux-image-*.deb DIR      # then: --kernel DIR",
            kernel.display()
        ));
    }
    if missing.is_empty() {
        return Ok(());
    }
    bail!("machines with real firmware need more than this machine has:\n- {}", missing.join("\n- "))
}

/// The packages whose programs or files are not here.
fn packages() -> BTreeSet<&'static str> {
    let path = settings::environment(&["PATH"]).pop().map(|(_, value)| value).unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let absent = PROGRAMS.iter().filter(|(name, _)| !dirs.iter().any(|dir| dir.join(name).exists()));
    let files = FILES.iter().filter(|(file, _)| !Path::new(file).exists());
    absent.chain(files).map(|(_, package)| *package).collect()
}

/// Whether a kernel and its modules are there.
fn has_kernel(root: &Path) -> bool {
    let modules = std::fs::read_dir(root.join("lib/modules")).into_iter().flatten().flatten();
    modules.map(|entry| entry.file_name()).any(|version| {
        let image = format!("vmlinuz-{}", version.to_string_lossy());
        root.join("boot").join(image).exists()
    })
}
