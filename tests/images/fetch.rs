//! Fetching and verifying images: what is kept, what is refused, and what is done again.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use rackwright::drive::{http, image::Store};
use rackwright::model::{Digest, FaultClass, ImageSource, ImageSpec, Keyring, Reason, SignatureSpec};
use tempfile::TempDir;
use tokio::task::JoinSet;

const SHA: &str = "10834fae6832b550b9210227cd27ed3300f4589857215bb2eb264d08bb97ec68";
const KERNEL: &[u8] = include_bytes!("../fixtures/images/vmlinuz");
const KERNEL_SIG: &[u8] = include_bytes!("../fixtures/images/vmlinuz.asc");
const SUMS: &[u8] = include_bytes!("../fixtures/images/SHA256SUMS");
const SUMS_SIG: &[u8] = include_bytes!("../fixtures/images/SHA256SUMS.asc");
const VENDOR: &[u8] = include_bytes!("../fixtures/images/vendor.asc");
const STRANGER: &[u8] = include_bytes!("../fixtures/images/stranger.asc");

struct Site {
    dir: TempDir,
    store: Store,
    base: String,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// A store, a static root, and a mirror.
async fn site() -> Site {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("root")).unwrap();
    for (name, octets) in
        [("vmlinuz", KERNEL), ("SHA256SUMS", SUMS), ("SHA256SUMS.asc", SUMS_SIG), ("vmlinuz.asc", KERNEL_SIG)]
    {
        std::fs::write(dir.path().join("root").join(name), octets).unwrap();
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let kernel = move || {
        count.fetch_add(1, Ordering::Relaxed);
        async { KERNEL }
    };
    let short = || async {
        let pieces = [Ok("too short"), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        ([(header::CONTENT_LENGTH, HeaderValue::from_static("100"))], body).into_response()
    };
    let router = Router::new()
        .route("/vmlinuz", get(kernel))
        .route("/moved", get(|| async { Redirect::permanent("/vmlinuz") }))
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/busy", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/other", get(|| async { "something else" }))
        .route("/short", get(short));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let store = Store {
        dir: dir.path().join("images"),
        root: Some(dir.path().join("root")),
        client: http::downloads().unwrap(),
    };
    Site { dir, store, base, asked, _tasks: tasks }
}

fn image(source: ImageSource, signature: Option<SignatureSpec>) -> ImageSpec {
    let id = Digest::of([source.as_str().as_bytes(), format!("{signature:?}").as_bytes()]);
    ImageSpec { id, name: "vmlinuz".into(), installer: "own".into(), source, sha256: SHA.into(), signature }
}

impl Site {
    fn url(&self, path: &str) -> ImageSpec {
        image(ImageSource::Url(format!("{}{path}", self.base)), None)
    }

    fn kept(&self) -> Vec<String> {
        let list = std::fs::read_dir(&self.store.dir).into_iter().flatten();
        let mut names: Vec<_> = list.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    async fn refused(&self, image: &ImageSpec) -> (FaultClass, Reason, String) {
        let fault = self.store.ensure(image).await.unwrap_err();
        assert!(!self.store.dir.join(SHA).exists(), "{fault}");
        assert!(self.kept().iter().all(|name| !name.starts_with(".part-")), "{:?}", self.kept());
        (fault.class, fault.reason, fault.message)
    }
}

fn path(name: &str) -> ImageSpec {
    image(ImageSource::Path(name.into()), None)
}

#[tokio::test]
async fn an_image_is_fetched_once_and_verified_at_every_start() {
    let site = site().await;
    let image = site.url("/moved");
    let stamp = site.store.ensure(&image).await.unwrap();
    let file = site.store.dir.join(SHA);
    assert_eq!(std::fs::read(&file).unwrap(), KERNEL);
    assert_eq!((stamp.size, site.kept()), (KERNEL.len() as u64, vec![SHA.to_owned()]));
    assert_eq!(site.store.ensure(&image).await.unwrap(), stamp);
    assert_eq!(site.asked.load(Ordering::Relaxed), 1, "the one that is there is verified without the network");
    // Of the same length, so that only its octets tell.
    std::fs::write(&file, b"a kernel for rests\n").unwrap();
    let again = site.store.ensure(&image).await.unwrap();
    assert_ne!(again, stamp);
    assert_eq!((std::fs::read(&file).unwrap(), site.asked.load(Ordering::Relaxed)), (KERNEL.to_vec(), 2));
}

#[tokio::test]
async fn what_is_not_what_was_announced_is_never_kept() {
    let site = site().await;
    let (class, reason, message) = site.refused(&site.url("/other")).await;
    assert_eq!((class, reason.as_str()), (FaultClass::Operator, "DigestDiffers"));
    assert!(message.contains(SHA) && message.contains("f41f3fa6"), "expected and found: {message}");
    for (path, class, reason) in [
        ("/short", FaultClass::Transient, "BrokenAnswer"),
        ("/busy", FaultClass::Transient, "ServerError"),
        ("/missing", FaultClass::Permanent, "Refused"),
        ("/loop", FaultClass::Permanent, "Redirected"),
    ] {
        let found = site.refused(&site.url(path)).await;
        assert_eq!((found.0, found.1.as_str()), (class, reason), "{path}: {}", found.2);
    }
    let nobody = image(ImageSource::Url("http://127.0.0.1:1/x?key=geheim".into()), None);
    let (class, _, message) = site.refused(&nobody).await;
    assert!(class == FaultClass::Transient && !message.contains("geheim"), "{message}");
}

#[tokio::test]
async fn a_path_never_leads_out_of_the_static_root() {
    let mut site = site().await;
    let root = site.dir.path().join("root");
    std::fs::write(site.dir.path().join("secret"), KERNEL).unwrap();
    symlink("../secret", root.join("leak")).unwrap();
    symlink(site.dir.path().join("secret"), root.join("absolute")).unwrap();
    symlink("vmlinuz", root.join("inside")).unwrap();
    for name in ["leak", "absolute", "../secret", "/etc/passwd", "missing", "."] {
        let (class, reason, _) = site.refused(&path(name)).await;
        assert_eq!((class, reason.as_str()), (FaultClass::Permanent, "NotFound"), "{name}");
    }
    site.store.ensure(&path("inside")).await.unwrap();
    std::fs::remove_file(site.store.dir.join(SHA)).unwrap();
    site.store.root = None;
    assert_eq!(site.refused(&path("vmlinuz")).await.1, Reason::NoStaticRoot);
}

fn signed(signature: &str, sums: Option<&str>, keyring: Keyring) -> ImageSpec {
    let source = ImageSource::Path(signature.into());
    let sums = sums.map(|path| ImageSource::Path(path.into()));
    image(ImageSource::Path("vmlinuz".into()), Some(SignatureSpec { source, sums, keyring }))
}

fn own(keys: &[u8]) -> Keyring {
    Keyring::Own(keys.into())
}

/// Whether signatures can be checked here.
fn gpgv() -> bool {
    let there = std::process::Command::new("gpgv").arg("--version").output().is_ok();
    assert!(there || std::env::var_os("CI").is_none(), "gpgv is missing (Debian package gpgv)");
    if !there {
        println!("SKIPPED: gpgv is not installed (Debian package gpgv)");
    }
    there
}

#[tokio::test]
async fn a_vendors_signature_of_the_image_or_of_a_list_of_sums_counts() {
    if !gpgv() {
        return;
    }
    let site = site().await;
    let direct = signed("vmlinuz.asc", None, own(VENDOR));
    site.store.ensure(&direct).await.unwrap();
    site.store.ensure(&signed("SHA256SUMS.asc", Some("SHA256SUMS"), own(VENDOR))).await.unwrap();
    let host = site.dir.path().join("vendor.asc");
    std::fs::write(&host, VENDOR).unwrap();
    site.store.ensure(&signed("vmlinuz.asc", None, Keyring::Host(host.to_str().unwrap().into()))).await.unwrap();
    // At the next start the mirror may be away: everything needed is there.
    std::fs::remove_dir_all(site.dir.path().join("root")).unwrap();
    site.store.ensure(&direct).await.unwrap();
}

#[tokio::test]
async fn a_signature_that_does_not_hold_keeps_the_image_away() {
    if !gpgv() {
        return;
    }
    let site = site().await;
    std::fs::write(site.dir.path().join("root/others"), "0123  vmlinuz\n").unwrap();
    for (spec, reason, why) in [
        (signed("vmlinuz.asc", None, own(STRANGER)), "SignatureWrong", "a key that the keyring does not have"),
        (signed("SHA256SUMS.asc", None, own(VENDOR)), "SignatureWrong", "of something else"),
        (signed("SHA256SUMS", None, own(VENDOR)), "SignatureWrong", "does not hold"),
        (signed("SHA256SUMS.asc", Some("others"), own(VENDOR)), "SignatureWrong", "of something else"),
        (signed("vmlinuz.asc", Some("vmlinuz"), own(VENDOR)), "NotInSums", SHA),
        (signed("vmlinuz.asc", None, own(b"no keys at all")), "SignatureWrong", "does not hold"),
        (signed("vmlinuz.asc", None, Keyring::Host("/nonexistent/keys.gpg".into())), "NoKeyring", "/nonexistent"),
    ] {
        let (class, found, message) = site.refused(&spec).await;
        assert_eq!((class, found.as_str()), (FaultClass::Operator, reason), "{message}");
        assert!(message.contains(why), "{message}");
    }
    assert_eq!(site.kept(), Vec::<String>::new(), "no bad signature is found again at the next try");
}

#[tokio::test]
async fn what_nobody_announces_and_what_was_left_half_written_is_removed() {
    let site = site().await;
    site.store.ensure(&path("vmlinuz")).await.unwrap();
    for name in ["0123", "old.sig", ".part-abc"] {
        std::fs::write(site.store.dir.join(name), "x").unwrap();
    }
    site.store.clear();
    assert!(!site.store.dir.join(".part-abc").exists());
    let announced = crate::rig::repo::valid(&crate::images::repo::tree(&format!(
        "  - {{ name: vmlinuz, path: vmlinuz, sha256: {SHA} }}\n"
    )));
    site.store.sweep(&announced).await;
    assert_eq!(site.kept(), [SHA]);
    assert!(Path::new(&site.store.dir.join(SHA)).exists());
}
