//! The Git driver's reading side, against real repositories.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rackwright::drive::git::Git;
use rackwright::model::{FaultClass, Reason, Revision};
use rackwright::repo::Entry;

use crate::rig::git::{Rig, command, git, programs};

fn file(text: &str) -> Option<Entry> {
    Some(Entry::File(Arc::from(text.as_bytes())))
}

#[tokio::test]
async fn a_head_is_fetched_read_and_followed_through_a_force_push() {
    for program in programs() {
        let rig = Rig::pushed();
        let driver = rig.open().with_program(&program);
        let first = driver.fetch().await.unwrap();
        assert_eq!(first.as_str(), git(&rig.work, &["rev-parse", "HEAD"]));
        assert_eq!(driver.tree(&first).unwrap().get("clusters.yml").cloned(), file("clusters: []\n"));

        let second = rig.commit("clusters.yml", "clusters: [a]\n", "second");
        rig.push("main");
        assert_eq!(driver.fetch().await.unwrap().as_str(), second);
        assert_eq!(driver.fetch().await.unwrap().as_str(), second, "fetching again changes nothing");

        git(&rig.work, &["reset", "--quiet", "--hard", "HEAD~1"]);
        let other = rig.commit("clusters.yml", "clusters: [b]\n", "instead");
        git(&rig.work, &["push", "--quiet", "--force", "origin", "HEAD:main"]);
        let head = driver.fetch().await.unwrap();
        assert_eq!(head.as_str(), other);
        assert_eq!(driver.tree(&head).unwrap().get("clusters.yml").cloned(), file("clusters: [b]\n"));
    }
}

#[tokio::test]
async fn file_urls_and_a_second_start_work() {
    let rig = Rig::pushed();
    let mut repository = rig.repository();
    repository.url = format!("file://{}", rig.remote.display());
    let head = Git::at(&repository, &rig.state()).unwrap().fetch().await.unwrap();
    let again = Git::at(&repository, &rig.state()).unwrap();
    assert!(again.tree(&head).is_ok(), "the mirror is still there");
    assert_eq!(again.fetch().await.unwrap(), head);
}

#[tokio::test]
async fn a_repository_of_another_user_is_read() {
    if !is_root() {
        return;
    }
    for program in programs() {
        let rig = Rig::pushed();
        let done = Command::new("chown").args(["-R", "12345:12345"]).arg(&rig.remote).status().unwrap();
        assert!(done.success());
        rig.open().with_program(&program).fetch().await.unwrap();
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.starts_with(b"0\n")
}

#[tokio::test]
async fn an_unreachable_remote_and_a_missing_branch_are_transient() {
    let rig = Rig::new();
    let driver = rig.open();
    let fault = driver.fetch().await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::BranchMissing), "{fault}");

    rig.push("main");
    driver.fetch().await.unwrap();
    std::fs::rename(&rig.remote, rig.dir.path().join("away")).unwrap();
    let fault = driver.fetch().await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::Unreachable), "{fault}");
    std::fs::rename(rig.dir.path().join("away"), &rig.remote).unwrap();
    driver.fetch().await.unwrap();
}

#[tokio::test]
async fn credentials_go_into_a_header_and_a_refusal_is_for_the_operator() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let rig = Rig::new();
    let mut repository = rig.repository();
    repository.url = format!("http://bob:geheim@127.0.0.1:{port}/x.git");
    let driver = Git::at(&repository, &rig.state()).unwrap();
    let serve = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(socket.read_u8().await.unwrap());
        }
        let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        socket.write_all(answer).await.unwrap();
        String::from_utf8(request).unwrap()
    };
    let (fault, request) = tokio::join!(driver.fetch(), serve);
    let fault = fault.unwrap_err();
    if fault.message.contains("remote-http") {
        return; // this git has no HTTP transport installed
    }
    assert!(request.contains("Authorization: Basic Ym9iOmdlaGVpbQ=="), "{request}");
    assert_eq!((fault.class, fault.reason), (FaultClass::Operator, Reason::AuthenticationFailed), "{fault}");
    assert!(!fault.to_string().contains("geheim"), "{fault}");
}

#[tokio::test]
async fn everything_a_tree_can_hold_is_read_or_told() {
    let rig = Rig::new();
    std::os::unix::fs::symlink("../clusters.yml", rig.work.join("link")).unwrap();
    std::fs::create_dir_all(rig.work.join("a/b")).unwrap();
    std::fs::write(rig.work.join("a/b/run"), "#!/bin/sh\n").unwrap();
    git(&rig.work, &["add", "--all"]);
    git(&rig.work, &["update-index", "--chmod=+x", "a/b/run"]);
    let submodule = format!("160000,{},roles/pvc", "1".repeat(40));
    git(&rig.work, &["update-index", "--add", "--cacheinfo", &submodule]);
    let big = hash(&rig, &vec![b'x'; (4 << 20) + 1]);
    git(&rig.work, &["update-index", "--add", "--cacheinfo", &format!("100644,{big},big.img")]);
    git(&rig.work, &["commit", "--quiet", "-m", "everything"]);
    rig.push("main");
    let driver = rig.open();
    let head = driver.fetch().await.unwrap();
    let snapshot = driver.snapshot(&head).unwrap();
    let tree = &snapshot.tree;
    assert_eq!(tree.get("link"), Some(&Entry::Link("../clusters.yml".into())));
    assert_eq!(tree.get("a/b/run").cloned(), file("#!/bin/sh\n"));
    assert_eq!(tree.get("roles/pvc"), Some(&Entry::Submodule));
    assert_eq!(tree.len(), 4);
    let warnings: Vec<_> = snapshot.warnings.iter().map(|w| (w.path.as_str(), w.code.as_str())).collect();
    assert_eq!(warnings, [("big.img", "file-too-large")]);
}

#[tokio::test]
async fn a_tree_that_unfolds_without_end_is_refused() {
    let rig = Rig::new();
    let blob = hash(&rig, b"x");
    let mut entry = format!("100644 blob {blob}\t");
    let mut tree = String::new();
    for _ in 0..8 {
        // each level holds the one below twenty times
        let names = (0..20).map(|n| format!("{entry}{n}\n")).collect::<String>();
        tree = mktree(&rig, &names);
        entry = format!("040000 tree {tree}\t");
    }
    let commit = git(&rig.work, &["commit-tree", "-m", "bomb", &tree]);
    git(&rig.work, &["push", "--quiet", "origin", &format!("{commit}:refs/heads/main")]);
    let driver = rig.open();
    let head = driver.fetch().await.unwrap();
    let fault = driver.tree(&head).unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::TreeTooLarge), "{fault}");
    assert_eq!(driver.fetch().await.unwrap(), head, "and nothing else is harmed");
}

fn feed(rig: &Rig, args: &[&str], input: &[u8]) -> String {
    let mut child = command(&rig.work).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().into()
}

fn hash(rig: &Rig, data: &[u8]) -> String {
    feed(rig, &["hash-object", "-w", "--stdin"], data)
}

fn mktree(rig: &Rig, entries: &str) -> String {
    feed(rig, &["mktree"], entries.as_bytes())
}

#[tokio::test]
async fn a_kept_revision_survives_its_branch_and_others_are_forgotten() {
    let rig = Rig::pushed();
    let driver = rig.open();
    let first = driver.fetch().await.unwrap();
    driver.keep(&first).unwrap();
    git(&rig.work, &["commit", "--quiet", "--amend", "-m", "rewritten"]);
    git(&rig.work, &["push", "--quiet", "--force", "origin", "HEAD:main"]);
    let second = driver.fetch().await.unwrap();
    driver.keep(&second).unwrap();
    git(&rig.state().join("mirror.git"), &["gc", "--quiet", "--prune=now"]);
    let again = rig.open();
    assert!(again.tree(&first).is_ok());
    assert_eq!(again.kept().unwrap().len(), 2);

    again.forget_others(std::slice::from_ref(&second)).unwrap();
    assert_eq!(again.kept().unwrap(), std::slice::from_ref(&second));
    git(&rig.state().join("mirror.git"), &["gc", "--quiet", "--prune=now"]);
    let fault = again.tree(&first).unwrap_err();
    assert_eq!(fault.reason, Reason::RevisionMissing);
    assert!(again.fetch().await.is_ok());
    assert!(again.tree(&second).is_ok(), "asking for what is not there does no harm");
    assert_eq!(again.tree(&Revision::new("nonsense")).unwrap_err().class, FaultClass::Transient);
}

#[tokio::test]
async fn a_damaged_mirror_and_left_over_locks_are_repaired() {
    let rig = Rig::pushed();
    let head = rig.open().fetch().await.unwrap();
    let mirror = rig.state().join("mirror.git");
    std::fs::write(mirror.join("refs/rackwright/watched.lock"), "").unwrap();
    std::fs::write(mirror.join("packed-refs.lock"), "").unwrap();
    rig.commit("x", "y", "news");
    rig.push("main");
    let news = rig.open().fetch().await.unwrap();
    assert_ne!(news, head);

    std::fs::remove_dir_all(mirror.join("objects/pack")).unwrap();
    let driver = rig.open();
    assert!(rig.state().join("mirror.git.broken").exists());
    assert_eq!(driver.fetch().await.unwrap(), news);

    std::fs::remove_dir_all(&mirror).unwrap();
    assert_eq!(driver.fetch().await.unwrap(), news, "a mirror that vanished while we ran is made anew");

    std::fs::remove_dir_all(rig.state()).unwrap();
    std::fs::create_dir_all(&mirror).unwrap();
    std::fs::write(mirror.join("HEAD"), "garbage").unwrap();
    assert_eq!(rig.open().fetch().await.unwrap(), news);
}

#[tokio::test]
async fn a_signature_is_checked_when_signers_are_set() {
    let rig = Rig::pushed();
    let key = rig.dir.path().join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "x", "-f"]).arg(&key).status();
    if !made.is_ok_and(|status| status.success()) {
        return; // no ssh-keygen here: nothing could be verified either
    }
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let signers = rig.dir.path().join("signers");
    std::fs::write(&signers, format!("ada@example.net {public}")).unwrap();
    let mut repository = rig.repository();
    repository.allowed_signers = Some(signers.clone());
    for program in programs() {
        let driver = Git::at(&repository, &rig.state()).unwrap().with_program(&program);
        let unsigned = driver.fetch().await.unwrap();
        let finding = driver.verify(&unsigned).await.unwrap().expect("it is not signed");
        assert_eq!(finding.code, "bad-signature");

        let sign = format!("user.signingKey={}", key.display());
        git(&rig.work, &["-c", "gpg.format=ssh", "-c", &sign, "commit", "--quiet", "--amend", "-S", "-m", "signed"]);
        git(&rig.work, &["push", "--quiet", "--force", "origin", "HEAD:main"]);
        let signed = driver.fetch().await.unwrap();
        assert_eq!(driver.verify(&signed).await.unwrap(), None);

        std::fs::write(&signers, "").unwrap();
        let finding = driver.verify(&signed).await.unwrap().expect("nobody is allowed");
        assert_eq!(finding.code, "bad-signature", "{finding}");
        std::fs::write(&signers, format!("ada@example.net {public}")).unwrap();
        git(&rig.work, &["commit", "--quiet", "--amend", "-m", "unsigned again"]);
        git(&rig.work, &["push", "--quiet", "--force", "origin", "HEAD:main"]);
    }
    let open = rig.open();
    let head = open.fetch().await.unwrap();
    assert_eq!(open.verify(&head).await.unwrap(), None, "without signers nothing is checked");
}

#[tokio::test]
async fn a_push_to_a_local_repository_is_noticed() {
    let rig = Rig::pushed();
    let driver = rig.open();
    let mut watcher = driver.watch().expect("a path can be watched");
    let limit = Duration::from_secs(20);
    for round in 0..3 {
        rig.commit("x", &round.to_string(), "news");
        rig.push("main");
        tokio::time::timeout(limit, watcher.changed()).await.expect("the push is noticed");
        assert_eq!(driver.fetch().await.unwrap().as_str(), git(&rig.work, &["rev-parse", "HEAD"]));
    }
    // The same for a repository with a working tree.
    let mut repository = rig.repository();
    repository.url = rig.work.to_str().unwrap().into();
    let mut watcher = Git::at(&repository, &rig.dir.path().join("state2")).unwrap().watch().unwrap();
    rig.commit("x", "by hand", "local");
    tokio::time::timeout(limit, watcher.changed()).await.expect("the commit is noticed");
}
