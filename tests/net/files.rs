//! Static files: what a name finds below the root, and that a file is read once, whole and never mixed with another.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use rackwright::serve::files::{Found, Held, Library, PIECE};
use rackwright::settings::Settings;
use tempfile::TempDir;

use crate::rig::net::{ip, settings};

/// A directory with `root`, `ipxe` and things beside them.
fn site() -> (TempDir, Settings) {
    let dir = TempDir::new().unwrap();
    let (root, ipxe) = (dir.path().join("root"), dir.path().join("ipxe"));
    for path in ["root/host", "root/hosts", "root/sub dir", "root-too", "ipxe"] {
        std::fs::create_dir_all(dir.path().join(path)).unwrap();
    }
    for path in ["secret", "root-too/file", "root/boot.ipxe", "root/host/mac-525400aabb11.preseed"] {
        std::fs::write(dir.path().join(path), "outside").unwrap();
    }
    for (path, text) in [("vmlinuz", "kernel"), ("sub dir/file", "inner"), ("hosts/boot.ipxe", "fine"), ("empty", "")] {
        std::fs::write(root.join(path), text).unwrap();
    }
    symlink("vmlinuz", root.join("relative")).unwrap();
    symlink(root.join("vmlinuz"), root.join("absolute")).unwrap();
    symlink("sub dir", root.join("directory")).unwrap();
    symlink("../secret", root.join("leak")).unwrap();
    symlink("/", root.join("slash")).unwrap();
    symlink("../root-too", root.join("neighbour")).unwrap();
    symlink("boot.ipxe", root.join("alias.ipxe")).unwrap();
    symlink("host", root.join("alias")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    let mut settings = settings(ip("127.0.0.1"), Some(root));
    settings.network.ipxe = ipxe;
    (dir, settings)
}

async fn held(library: &Library, path: &str) -> Arc<Held> {
    match library.find(path).await {
        Found::File(held) => held,
        other => panic!("{path}: {other:?}"),
    }
}

async fn text(library: &Library, path: &str) -> String {
    let held = held(library, path).await;
    let piece = held.piece(0).await.unwrap();
    assert_eq!(piece.len() as u64, held.len());
    String::from_utf8(piece.to_vec()).unwrap()
}

#[tokio::test]
async fn names_find_files_below_the_root_and_nothing_else() {
    let (_dir, settings) = site();
    let library = Library::new(&settings);
    library.check().unwrap();
    for name in ["vmlinuz", "/vmlinuz", "//./vmlinuz", "relative", "absolute", "./relative"] {
        assert_eq!(text(&library, name).await, "kernel", "{name}");
    }
    assert_eq!(text(&library, "sub dir//file").await, "inner");
    assert_eq!(text(&library, "directory/file").await, "inner");
    assert_eq!(text(&library, "hosts/boot.ipxe").await, "fine", "only the root's own decides what is booted");
    let outside = ["leak", "slash/etc/passwd", "neighbour/file", "boot.ipxe", "./boot.ipxe", "alias.ipxe"];
    for name in outside.into_iter().chain(["host/mac-525400aabb11.preseed", "alias/mac-525400aabb11.preseed"]) {
        assert!(matches!(library.find(name).await, Found::Outside), "{name}");
    }
    let long = "a/".repeat(600) + "b";
    let missing = ["", "/", ".", "..", "../secret", "sub dir/../vmlinuz", "/etc/passwd", "sub dir", "vmlinuz/", "none"];
    for name in missing.into_iter().chain(["loop", "dangling", "vmlinuz\0", "vmlinuz/x", "..\\secret", &long]) {
        assert!(matches!(library.find(name).await, Found::Missing), "{name}");
    }
}

#[tokio::test]
async fn a_pipe_is_no_file_and_nobody_waits_for_its_writer() {
    let (dir, settings) = site();
    let made = std::process::Command::new("mkfifo").arg(dir.path().join("root/pipe")).status();
    assert!(made.unwrap().success());
    assert!(matches!(Library::new(&settings).find("pipe").await, Found::Missing));
}

#[tokio::test]
async fn a_root_that_is_no_directory_is_an_error_before_anything_is_served() {
    let (dir, mut settings) = site();
    settings.network.tftp_root = Some(dir.path().join("secret"));
    let error = Library::new(&settings).check().unwrap_err();
    assert!(error.to_string().ends_with("secret"), "{error}");
    settings.network.tftp_root = None;
    let library = Library::new(&settings);
    library.check().unwrap();
    assert!(matches!(library.find("vmlinuz").await, Found::Missing));
}

#[tokio::test]
async fn ipxe_comes_from_the_root_or_else_from_its_own_directory() {
    let (dir, settings) = site();
    let library = Library::new(&settings);
    let put = |path: &str, text: &str| std::fs::write(dir.path().join(path), text).unwrap();
    assert!(matches!(library.find("ipxe.efi").await, Found::Missing));
    put("elsewhere", "hangs after exit");
    symlink("../elsewhere", dir.path().join("ipxe/ipxe.efi")).unwrap();
    assert_eq!(text(&library, "ipxe.efi").await, "hangs after exit", "the one there is, through Debian's link");
    put("ipxe/snponly.efi", "snp");
    put("ipxe/undionly.kpxe", "bios");
    put("ipxe/other", "other");
    assert_eq!(text(&library, "/ipxe.efi").await, "snp");
    assert_eq!(text(&library, "undionly.kpxe").await, "bios");
    assert!(matches!(library.find("snponly.efi").await, Found::Missing), "only the names that DHCP gives");
    assert!(matches!(library.find("other").await, Found::Missing));
    put("root/ipxe.efi", "the site's own");
    assert_eq!(text(&library, "ipxe.efi").await, "the site's own");
    symlink("../secret", dir.path().join("root/ipxe-arm64.efi")).unwrap();
    put("ipxe/ipxe-arm64.efi", "arm");
    assert!(matches!(library.find("ipxe-arm64.efi").await, Found::Outside), "a bad link is not papered over");
}

/// Octets that differ from piece to piece.
fn large(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|at| (at / 1000) as u8 ^ salt).collect()
}

async fn whole(held: &Held) -> Vec<u8> {
    let mut octets = Vec::new();
    for index in 0..held.len().div_ceil(PIECE) {
        octets.extend_from_slice(&held.piece(index).await.unwrap());
    }
    octets
}

fn replace(path: &Path, octets: &[u8]) {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, octets).unwrap();
    std::fs::rename(fresh, path).unwrap();
}

#[tokio::test]
async fn a_file_comes_in_pieces_whatever_the_budget() {
    let (dir, settings) = site();
    let octets = large(3 * PIECE as usize + 17, 1);
    std::fs::write(dir.path().join("root/image"), &octets).unwrap();
    for budget in [0, PIECE, 64 * PIECE] {
        let held = held(&Library::with_budget(&settings, budget), "image").await;
        assert_eq!(held.len(), octets.len() as u64);
        assert!(whole(&held).await == octets && whole(&held).await == octets, "{budget}");
        assert_eq!((held.piece(3).await.unwrap().len(), held.piece(4).await.unwrap().len()), (17, 0));
        assert_eq!(held.piece(u64::MAX).await.unwrap().len(), 0);
    }
    assert_eq!(held(&Library::new(&settings), "empty").await.piece(0).await.unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_hundred_who_ask_for_one_piece_share_one_read() {
    let (dir, settings) = site();
    std::fs::write(dir.path().join("root/image"), large(2 * PIECE as usize, 2)).unwrap();
    let library = Arc::new(Library::new(&settings));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let library = library.clone();
        asking.spawn(async move { held(&library, "image").await.piece(1).await.unwrap() });
    }
    let pieces = asking.join_all().await;
    let first = pieces[0].as_ptr();
    assert!(pieces.iter().all(|piece| piece.as_ptr() == first && piece.len() == PIECE as usize));
}

#[tokio::test]
async fn a_replaced_file_is_another_one_and_a_transfer_ends_with_the_one_it_began_with() {
    let (dir, settings) = site();
    let library = Library::with_budget(&settings, 0);
    let path = dir.path().join("root/image");
    let (old, new) = (large(2 * PIECE as usize, 3), large(2 * PIECE as usize, 4));
    std::fs::write(&path, &old).unwrap();
    let before = held(&library, "image").await;
    assert_eq!(before.piece(0).await.unwrap(), old[..PIECE as usize]);
    replace(&path, &new);
    let after = held(&library, "image").await;
    assert!(whole(&before).await == old && whole(&after).await == new);
    assert_ne!(before.etag(), after.etag());
    assert!(Arc::ptr_eq(&after, &held(&library, "image").await), "one open file for all");
}

#[tokio::test]
async fn a_file_written_to_while_it_is_sent_is_an_error_not_a_mixture() {
    let (dir, settings) = site();
    let library = Library::new(&settings);
    let path = dir.path().join("root/image");
    std::fs::write(&path, large(2 * PIECE as usize, 5)).unwrap();
    let before = held(&library, "image").await;
    before.piece(0).await.unwrap();
    std::fs::write(&path, large(2 * PIECE as usize + 1, 6)).unwrap();
    assert!(before.piece(1).await.is_err());
    std::fs::write(&path, "short").unwrap();
    assert!(before.piece(1).await.is_err());
    assert_eq!(text(&library, "image").await, "short");
}

/// Debian's binaries, where the package `ipxe` is installed.
#[tokio::test]
async fn debians_own_binaries_are_found() {
    if !Path::new("/usr/lib/ipxe/snponly.efi").exists() {
        println!("SKIPPED debians_own_binaries_are_found: the package ipxe is not installed");
        return;
    }
    let (_dir, mut settings) = site();
    settings.network.ipxe = "/usr/lib/ipxe".into();
    let library = Library::new(&settings);
    for (name, file) in [("ipxe.efi", "snponly.efi"), ("undionly.kpxe", "undionly.kpxe")] {
        let octets = std::fs::read(Path::new("/usr/lib/ipxe").join(file)).unwrap();
        assert!(whole(&*held(&library, name).await).await == octets, "{name}");
    }
}
