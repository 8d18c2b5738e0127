//! Files: the static root and what installers ask of it, iPXE's binaries, the state directory, keys.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statfs, statvfs};

use super::Check;
use crate::model::{Desired, some};
use crate::serve::files::IPXE;
use crate::settings::Settings;

/// Free octets below which the journal is in danger, and below which somebody should look.
const SCARCE: u64 = 256 << 20;
const LITTLE: u64 = 1 << 30;
/// statfs(2): file systems on which SQLite's locks are not to be trusted.
const REMOTE: [(i64, &str); 3] = [(0x6969, "NFS"), (0x517b, "SMB"), (0xfe53_4d42, "SMB")];

/// `network.tftp.root`, and whether it has what boot scripts ask for.
pub fn root(settings: &Settings, desired: Option<&Desired>) -> Vec<Check> {
    let wanted = desired.map(assets).unwrap_or_default();
    let name = "network.tftp.root";
    let Some(root) = &settings.network.tftp_root else {
        return vec![match wanted.is_empty() {
            true => Check::ok(name, "not set, and no boot script needs a file of it"),
            false => Check::fail(name, format!("not set; boot scripts ask for {}", list(&wanted)), "set it"),
        }];
    };
    if let Err(error) = fs::read_dir(root) {
        let advice = "make it, readable for the daemon's user; the TFTP server does not start without it";
        return vec![Check::fail(name, format!("{}: {error}", root.display()), advice)];
    }
    let missing: BTreeSet<String> = wanted.iter().filter(|path| !readable(&root.join(path))).cloned().collect();
    let shown = root.display();
    vec![match (missing.is_empty(), wanted.is_empty()) {
        (true, true) => Check::ok(name, format!("{shown} can be read")),
        (true, false) => Check::ok(name, format!("{shown} has {}", list(&wanted))),
        (false, _) => Check::fail(
            name,
            format!("{shown} lacks (or this user cannot read) {}", list(&missing)),
            "put there what the installer needs, for PVC what pvc-installer's buildpxe.sh makes",
        ),
    }]
}

fn list(paths: &BTreeSet<String>) -> String {
    some(&paths.iter().collect::<Vec<_>>(), 6)
}

fn readable(path: &Path) -> bool {
    path.is_file() && fs::File::open(path).is_ok()
}

/// The files below `/assets/` that the hosts' boot scripts name, as far as they are written out. Scripts keep the
/// directory's address in a variable of iPXE, as the shipped ones do (`set assets-url …/assets`).
fn assets(desired: &Desired) -> BTreeSet<String> {
    let bodies = desired.hosts.values().flat_map(|host| &host.files).map(|file| &file.body);
    let bodies: BTreeSet<&str> = bodies.map(AsRef::as_ref).collect();
    bodies.into_iter().flat_map(in_script).collect()
}

fn in_script(body: &str) -> BTreeSet<String> {
    let mut text = body.to_owned();
    for line in body.lines() {
        let mut words = line.split_whitespace();
        if let (Some("set"), Some(name), Some(value)) = (words.next(), words.next(), words.next())
            && value.ends_with("/assets")
        {
            text = text.replace(&format!("${{{name}}}"), value);
        }
    }
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(|line| line.split([' ', '\t', '=', '"', '\'', ',', ';']));
    let paths = words.filter_map(|word| word.split_once("/assets/")).map(|(_, path)| path.trim_end_matches(')'));
    paths.filter(|path| !path.is_empty() && !path.contains(['$', '{', '}'])).map(String::from).collect()
}

/// iPXE's binaries, as they are looked for when machines ask.
pub fn loaders(settings: &Settings) -> Vec<Check> {
    let check = |(asked, names)| {
        let what = match asked {
            "undionly.kpxe" => "BIOS",
            "ipxe-arm64.efi" => "UEFI arm64",
            _ => "UEFI x64",
        };
        loader(settings, asked, what, names)
    };
    IPXE.into_iter().map(check).collect()
}

fn loader(settings: &Settings, asked: &str, what: &str, names: &[&str]) -> Check {
    let (name, dir) = (format!("iPXE for {what}"), &settings.network.ipxe);
    let own = settings.network.tftp_root.as_ref().map(|root| root.join(asked)).filter(|path| readable(path));
    let found = own.clone().or_else(|| names.iter().map(|name| dir.join(name)).find(|path| readable(path)));
    match found {
        Some(path) if asked == "ipxe.efi" && own.is_none() && path.ends_with("ipxe.efi") => Check::warning(
            name,
            path.display().to_string(),
            "Debian's ipxe.efi is of 2019 and hangs after `exit`, so that finished machines do not reach their disk: put \
             snponly.efi beside it, or an ipxe.efi of your own into network.tftp.root",
        ),
        Some(path) => Check::ok(name, path.display().to_string()),
        None if asked == "ipxe-arm64.efi" => {
            let advice = "only arm64 machines need it: put ipxe-arm64.efi into network.tftp.root";
            Check::warning(name, "there is none", advice)
        }
        None => {
            let advice = format!("apt install ipxe, or put {asked} into network.tftp.root, or set network.ipxe");
            Check::fail(name, format!("no {asked} in network.tftp.root, none in {}", dir.display()), advice)
        }
    }
}

/// `state_dir`: ours to write, with room, on a disk of this machine.
pub fn state(settings: &Settings) -> Check {
    let (name, dir) = ("state_dir", &settings.state_dir);
    let mut there: PathBuf = dir.clone();
    while !there.exists() && there.pop() {}
    let (shown, exists) = (dir.display(), &there == dir);
    if !there.is_dir() {
        return Check::fail(name, format!("{} is not a directory", there.display()), "move it away, or set state_dir");
    }
    if let Err(error) = access(&there, Access::WRITE_OK | Access::EXEC_OK) {
        let advice = "make it and give it to the daemon's user (systemd: StateDirectory=rackwright)";
        return Check::fail(name, format!("{}: {error}", there.display()), advice);
    }
    let kind = statfs(&there).ok().map(|about| about.f_type);
    if let Some((_, kind)) = REMOTE.iter().find(|(magic, _)| Some(*magic) == kind) {
        let advice = "the journal is SQLite, whose locks need a disk of this machine";
        return Check::fail(name, format!("{shown} is on {kind}"), advice);
    }
    let free = statvfs(&there).map_or(u64::MAX, |about| about.f_bavail.saturating_mul(about.f_frsize));
    let found = format!("{shown}{}, {} MiB free", if exists { "" } else { " will be made" }, free >> 20);
    match free {
        ..SCARCE => Check::fail(name, found, "make room: a full disk stops the journal, and with it everything"),
        SCARCE..LITTLE => Check::warning(name, found, "make room before it runs out"),
        _ => Check::ok(name, found),
    }
}

/// Files that the settings name, and that must be there.
pub fn named(settings: &Settings) -> Vec<Check> {
    let repository = &settings.repository;
    let public = settings.deploy.ssh_key.as_ref().map(|key| {
        let mut path = key.clone().into_os_string();
        path.push(".pub");
        PathBuf::from(path)
    });
    let ca = match &settings.bmc.tls {
        crate::settings::BmcTls::Ca(file) => Some(file.clone()),
        _ => None,
    };
    let files = [
        ("repository.ssh_key", repository.ssh_key.clone()),
        ("repository.known_hosts", repository.known_hosts.clone()),
        ("repository.webhook_secret_file", repository.webhook_secret_file.clone()),
        ("repository.allowed_signers", repository.allowed_signers.clone()),
        ("repository.signing_key", repository.signing_key.clone()),
        ("deploy.ssh_key's public half", public),
        ("bmc.tls", ca),
    ];
    let uris = settings.notifications.iter().filter_map(|to| match &to.uri {
        crate::settings::Uri::File(path) => Some(("notifications.uri_file", Some(path.clone()))),
        crate::settings::Uri::Given(_) => None,
    });
    let token = settings.commit_status.as_ref().map(|forge| forge.token_file.clone());
    let wrong = files
        .into_iter()
        .chain(uris)
        .chain([("commit_status.token_file", token)])
        .filter_map(|(key, path)| Some((key, path?)))
        .filter_map(|(key, path)| {
            let error = fs::File::open(&path).err()?;
            let advice = format!("make it readable for the daemon's user, or correct {key}");
            Some(Check::fail(key, format!("{}: {error}", path.display()), advice))
        });
    let key = settings.deploy.ssh_key.as_deref().and_then(|key| crate::drive::ssh::check_key(key).err()).map(|error| {
        Check::fail("deploy.ssh_key", error.to_string(), "`ssh-keygen -t ed25519 -N ''` makes one that can be used")
    });
    wrong.chain(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::preflight::{Grade, judge};

    #[test]
    fn scripts_say_what_they_need() {
        let script = "#!ipxe\n# /assets/comment\nset assets-url http://192.0.2.1:9999/assets\n\
                      kernel ${assets-url}/vmlinuz || goto failed\ninitrd ${assets-url}/initrd.img\n\
                      set imgargs fetch=${assets-url}/filesystem.squashfs x=${assets-url}/${uuid}\n\
                      initrd http://192.0.2.1:9999/assets/a/b.img\nkernel http://mirror.example.net/linux\n";
        let found: Vec<_> = in_script(script).into_iter().collect();
        assert_eq!(found, ["a/b.img", "filesystem.squashfs", "initrd.img", "vmlinuz"]);
    }

    #[test]
    fn loaders_come_from_the_root_or_from_the_package() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = judge::tests::settings("");
        settings.network.ipxe = dir.path().join("ipxe");
        settings.network.tftp_root = Some(dir.path().join("root"));
        let grades = |settings: &Settings| loaders(settings).iter().map(|check| check.grade).collect::<Vec<_>>();
        assert_eq!(grades(&settings), [Grade::Fail, Grade::Fail, Grade::Warning]);
        let put = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        };
        ["ipxe/undionly.kpxe", "ipxe/ipxe.efi"].into_iter().for_each(put);
        assert_eq!(grades(&settings), [Grade::Ok, Grade::Warning, Grade::Warning], "Debian's of 2019");
        put("ipxe/snponly.efi");
        assert_eq!(grades(&settings)[1], Grade::Ok);
        fs::remove_file(dir.path().join("ipxe/snponly.efi")).unwrap();
        ["root/ipxe.efi", "root/ipxe-arm64.efi"].into_iter().for_each(put);
        assert_eq!(grades(&settings), [Grade::Ok; 3], "a site's own");
        assert_eq!(root(&settings, None)[0].grade, Grade::Ok);
    }

    #[test]
    fn the_state_is_ours_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = judge::tests::settings("");
        settings.state_dir = dir.path().join("not/yet");
        let check = state(&settings);
        assert!(check.grade != Grade::Fail && check.found.contains("will be made"), "{check:?}");
        assert!(!settings.state_dir.exists(), "looking changes nothing");
        fs::write(dir.path().join("not"), "a file").unwrap();
        assert_eq!(state(&settings).grade, Grade::Fail);
        settings.deploy.ssh_key = Some(dir.path().join("key"));
        let check = &named(&settings)[0];
        assert!(check.found.contains("key.pub") && check.grade == Grade::Fail, "{check:?}");
    }
}
