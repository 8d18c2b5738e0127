//! A revision's files on disk: links as links, executable bits, submodules at their commits, nothing that could leak.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rackwright::model::{FaultClass, Reason, Revision};

use crate::rig::git::{Rig, git};

/// A repository of its own beside the forge, with one commit of these files.
fn beside(rig: &Rig, name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
    let dir = rig.dir.path().join(name);
    fs::create_dir_all(&dir).unwrap();
    git(&dir, &["init", "--quiet", "--initial-branch=main"]);
    for (path, text) in files {
        let file = dir.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    git(&dir, &["add", "--all"]);
    git(&dir, &["commit", "--quiet", "-m", "first"]);
    dir
}

fn add_submodule(work: &Path, url: &str, path: &str) {
    git(work, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", url, path]);
}

/// PVC's layout: two submodules, one of them with one of its own, and links into them and out again.
fn pvc(rig: &Rig) -> Revision {
    let roles =
        beside(rig, "pvc-ansible", &[("roles/base/tasks/main.yml", "[]\n"), ("roles/pvc/tasks/main.yml", "[]\n")]);
    fs::create_dir_all(roles.join("roles/pvc/files")).unwrap();
    symlink("../../../../files", roles.join("roles/pvc/files/ceph")).unwrap();
    git(&roles, &["add", "--all"]);
    git(&roles, &["commit", "--quiet", "-m", "ceph"]);
    let inner = beside(rig, "inner", &[("inner.txt", "inner\n")]);
    let installer = beside(rig, "pvc-installer", &[("install.sh", "#!/bin/sh\n")]);
    add_submodule(&installer, inner.to_str().unwrap(), "deep/inner");
    git(&installer, &["commit", "--quiet", "-m", "inner"]);

    let work = &rig.work;
    add_submodule(work, roles.to_str().unwrap(), "pvc-ansible");
    // Relative to the forge's own address.
    add_submodule(work, installer.to_str().unwrap(), "pvc-installer");
    git(work, &["config", "-f", ".gitmodules", "submodule.pvc-installer.url", "../pvc-installer"]);
    fs::create_dir_all(work.join("roles")).unwrap();
    symlink("../pvc-ansible/roles/base", work.join("roles/base")).unwrap();
    symlink("../pvc-ansible/roles/pvc", work.join("roles/pvc")).unwrap();
    fs::write(work.join("update-remote.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(work.join("update-remote.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let revision = rig.commit("files/cluster1/ceph/ceph.conf", "[global]\n", "pvc's layout");
    rig.push("main");
    Revision::new(revision)
}

#[tokio::test]
async fn pvcs_layout_is_whole() {
    let rig = Rig::new();
    let revision = pvc(&rig);
    let ours = rig.open();
    ours.fetch().await.unwrap();
    let dir = rig.dir.path().join("out");
    ours.checkout(&revision, &dir).await.unwrap();
    let link = |path: &str| fs::read_link(dir.join(path)).unwrap().to_str().unwrap().to_owned();
    assert_eq!(link("roles/base"), "../pvc-ansible/roles/base");
    assert_eq!(link("pvc-ansible/roles/pvc/files/ceph"), "../../../../files");
    assert_eq!(fs::read_to_string(dir.join("roles/pvc/files/ceph/cluster1/ceph/ceph.conf")).unwrap(), "[global]\n");
    assert_eq!(fs::read_to_string(dir.join("pvc-installer/deep/inner/inner.txt")).unwrap(), "inner\n");
    let mode = |path: &str| fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("update-remote.sh") & 0o111, mode("clusters.yml") & 0o111), (0o700, 0o111, 0));
    // For whoever asks git inside of it.
    assert_eq!(git(&dir, &["rev-parse", "HEAD"]), revision.as_str());
    assert_eq!(git(&dir, &["status", "--porcelain", "--ignore-submodules=all"]), "");
    assert_eq!(git(&dir, &["remote"]), "");

    // What is known needs no network: the other side may be gone.
    for gone in ["pvc-ansible", "pvc-installer", "inner", "forge.git"] {
        fs::rename(rig.dir.path().join(gone), rig.dir.path().join(format!("{gone}.gone"))).unwrap();
    }
    let again = rig.dir.path().join("again");
    ours.checkout(&revision, &again).await.unwrap();
    assert!(again.join("pvc-installer/deep/inner/inner.txt").exists());
}

#[tokio::test]
async fn a_submodule_moves_with_the_revision() {
    let rig = Rig::new();
    let first = pvc(&rig);
    let ours = rig.open();
    ours.fetch().await.unwrap();
    ours.checkout(&first, &rig.dir.path().join("one")).await.unwrap();
    let roles = rig.dir.path().join("pvc-ansible");
    fs::write(roles.join("new.yml"), "[]\n").unwrap();
    git(&roles, &["add", "--all"]);
    git(&roles, &["commit", "--quiet", "-m", "new"]);
    // The recorded commit need not be a branch's head.
    git(&rig.work.join("pvc-ansible"), &["pull", "--quiet"]);
    git(&roles, &["commit", "--quiet", "--allow-empty", "-m", "later"]);
    let second = Revision::new(rig.commit("x", "x", "new roles"));
    rig.push("main");
    ours.fetch().await.unwrap();
    for (revision, name, there) in [(&second, "two", true), (&first, "three", false)] {
        let dir = rig.dir.path().join(name);
        ours.checkout(revision, &dir).await.unwrap();
        assert_eq!(dir.join("pvc-ansible/new.yml").exists(), there, "{name}");
    }
}

#[tokio::test]
async fn a_submodule_that_cannot_be_had_is_named() {
    let rig = Rig::new();
    pvc(&rig);
    git(&rig.work, &["config", "-f", ".gitmodules", "submodule.pvc-ansible.url", "/nowhere/user:geheim@x/roles.git"]);
    let revision = Revision::new(rig.commit("x", "x", "a bad address"));
    rig.push("main");
    let ours = rig.open();
    ours.fetch().await.unwrap();
    let fault = ours.checkout(&revision, &rig.dir.path().join("out")).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::SubmoduleMissing));
    assert!(fault.message.starts_with("submodule pvc-ansible (/nowhere/"), "{fault}");

    git(&rig.work, &["rm", "--quiet", "--cached", ".gitmodules"]);
    git(&rig.work, &["commit", "--quiet", "-m", "no addresses"]);
    rig.push("main");
    ours.fetch().await.unwrap();
    let revision = Revision::new(git(&rig.work, &["rev-parse", "HEAD"]));
    let fault = ours.checkout(&revision, &rig.dir.path().join("other")).await.unwrap_err();
    assert!(fault.message.contains("submodule pvc-ansible") && fault.message.contains(".gitmodules"), "{fault}");
}

#[tokio::test]
async fn hooks_and_filters_of_nobody_run() {
    let rig = Rig::pushed();
    let trap = rig.dir.path().join("trapped");
    rig.commit(".gitattributes", "* filter=trap\n", "a filter");
    let revision =
        Revision::new(rig.commit("hooks/post-checkout", &format!("#!/bin/sh\ntouch {}\n", trap.display()), "x"));
    rig.push("main");
    let ours = rig.open();
    ours.fetch().await.unwrap();
    let hooks = rig.state().join("mirror.git/hooks");
    fs::create_dir_all(&hooks).unwrap();
    for name in ["post-checkout", "post-index-change", "reference-transaction"] {
        fs::write(hooks.join(name), format!("#!/bin/sh\ntouch {}\n", trap.display())).unwrap();
        fs::set_permissions(hooks.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let dir = rig.dir.path().join("out");
    ours.checkout(&revision, &dir).await.unwrap();
    assert!(dir.join("hooks/post-checkout").exists());
    assert!(!trap.exists(), "a hook ran");
}
