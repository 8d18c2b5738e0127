//! The Git driver's writing side: the status branch, its races and its refusals, against real repositories.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rackwright::model::status::Files;
use rackwright::model::{FaultClass, Reason, Time};

use crate::rig::git::{Rig, git, programs};

const AT: Time = Time::from_secs(1_800_000_000);

fn files(list: &[(&str, &str)]) -> Files {
    list.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect()
}

fn two_hosts(first: &str, second: &str) -> Files {
    let readme = format!("{first} {second}\n");
    files(&[("README.md", &readme), ("hosts/c1/hv1.yaml", first), ("hosts/c1/hv2.yaml", second)])
}

#[tokio::test]
async fn commits_follow_each_other_and_the_same_bytes_make_none() {
    for program in programs() {
        let rig = Rig::pushed();
        let driver = rig.open().with_program(&program);
        let message = "c1: hv1 init -> installing\n\nObserved-Revision: 123\nTransition: c1/hv1 init -> installing";
        let first = driver.publish(&two_hosts("a", "b"), message, AT).await.unwrap().expect("a first commit");
        assert_eq!(rig.status_file("hosts/c1/hv1.yaml"), "a");
        assert_eq!(rig.forge(&["rev-parse", "rackwright/status"]), first.as_str());
        assert_eq!(rig.forge(&["log", "-1", "--format=%P", "rackwright/status"]), "", "an orphan branch");
        assert_eq!(
            rig.forge(&["log", "-1", "--format=%an <%ae> %ct %s", "rackwright/status"]),
            "rackwright <rackwright@localhost> 1800000000 c1: hv1 init -> installing"
        );
        let trailers = rig.forge(&["log", "-1", "--format=%(trailers:key=Transition,valueonly)", "rackwright/status"]);
        assert_eq!(trailers.trim(), "c1/hv1 init -> installing");

        assert_eq!(driver.publish(&two_hosts("a", "b"), "nothing", AT).await.unwrap(), None);
        let second = driver.publish(&files(&[("README.md", "less\n")]), "second", AT).await.unwrap().unwrap();
        assert_eq!(rig.forge(&["rev-parse", &format!("{second}^")]), first.as_str());
        assert_eq!(rig.forge(&["ls-tree", "-r", "--name-only", "rackwright/status"]), "README.md");
        assert_eq!(rig.status_commits(), 2);

        let restarted = rig.open().with_program(&program);
        assert_eq!(restarted.publish(&files(&[("README.md", "less\n")]), "again", AT).await.unwrap(), None);
        assert_eq!(restarted.read_status().await.unwrap(), Some(files(&[("README.md", "less\n")])));
        fsck(&rig.remote);
        fsck(&rig.state().join("mirror.git"));
    }
}

fn fsck(dir: &Path) {
    assert_eq!(git(dir, &["fsck", "--strict", "--no-dangling"]), "");
}

#[tokio::test]
async fn a_status_branch_can_be_the_first_branch_of_all() {
    let rig = Rig::new();
    let driver = rig.open();
    assert_eq!(driver.read_status().await.unwrap(), None);
    assert!(driver.publish(&two_hosts("a", "b"), "first", AT).await.unwrap().is_some());
    assert_eq!(driver.read_status().await.unwrap(), Some(two_hosts("a", "b")));
}

/// A person commits a file of their own to the status branch.
fn foreign_commit(rig: &Rig, path: &str, text: &str) -> String {
    git(&rig.work, &["fetch", "--quiet", "origin", "rackwright/status"]);
    git(&rig.work, &["checkout", "--quiet", "--detach", "FETCH_HEAD"]);
    let commit = rig.commit(path, text, "a note");
    rig.push("rackwright/status");
    commit
}

#[tokio::test]
async fn a_foreign_commit_in_between_is_built_upon() {
    for program in programs() {
        let rig = Rig::pushed();
        let driver = rig.open().with_program(&program);
        driver.publish(&two_hosts("a", "b"), "first", AT).await.unwrap();
        let foreign = foreign_commit(&rig, "notes/hv1.md", "smells of smoke\n");
        let ours = driver.publish(&two_hosts("a2", "b"), "second", AT).await.unwrap().unwrap();
        assert_eq!(rig.forge(&["rev-parse", &format!("{ours}^")]), foreign);
        assert_eq!(rig.status_file("notes/hv1.md"), "smells of smoke");
        assert_eq!(rig.status_file("hosts/c1/hv1.yaml"), "a2");

        // What a person wrote at one of our paths is put right again once we see it.
        foreign_commit(&rig, "hosts/c1/hv1.yaml", "scribble\n");
        foreign_commit(&rig, "hosts/c9/old.yaml", "scribble\n");
        driver.fetch().await.unwrap();
        driver.publish(&two_hosts("a2", "b"), "third", AT).await.unwrap().unwrap();
        assert_eq!(rig.status_file("hosts/c1/hv1.yaml"), "a2");
        let paths = rig.forge(&["ls-tree", "-r", "--name-only", "rackwright/status"]);
        assert!(paths.contains("notes/hv1.md") && !paths.contains("c9"), "{paths}");
        fsck(&rig.remote);
    }
}

#[tokio::test]
async fn two_publishers_at_once_lose_nothing() {
    let rig = Rig::pushed();
    let other_state = rig.dir.path().join("other");
    let ours = rig.open();
    let theirs = rackwright::drive::git::Git::at(&rig.repository(), &other_state).unwrap();
    for round in 0..6 {
        let (a, b) = (two_hosts(&format!("a{round}"), "x"), two_hosts("y", &format!("b{round}")));
        let (a, b) = tokio::join!(ours.publish(&a, "ours", AT), theirs.publish(&b, "theirs", AT));
        assert!(a.unwrap().is_some() && b.unwrap().is_some());
    }
    assert_eq!(rig.status_commits(), 12);
    let merges = rig.forge(&["rev-list", "--merges", "--count", "rackwright/status"]);
    let roots = rig.forge(&["rev-list", "--max-parents=0", "--count", "rackwright/status"]);
    assert_eq!((merges.as_str(), roots.as_str()), ("0", "1"), "one line of commits");
    fsck(&rig.remote);
}

#[tokio::test]
async fn a_refused_push_is_told_with_the_forge_s_words_and_heals() {
    let rig = Rig::pushed();
    let driver = rig.open();
    driver.publish(&two_hosts("a", "b"), "first", AT).await.unwrap();
    let hook = rig.remote.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho frozen until Monday >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let fault = driver.publish(&two_hosts("a2", "b"), "second", AT).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Permanent, Reason::PushRefused), "{fault}");
    assert!(fault.message.contains("frozen until Monday"), "{fault}");
    assert_eq!(rig.status_commits(), 1);

    std::fs::remove_file(&hook).unwrap();
    assert!(driver.publish(&two_hosts("a2", "b"), "second", AT).await.unwrap().is_some());
    assert_eq!(rig.status_commits(), 2);
}

#[tokio::test]
async fn a_push_whose_answer_was_lost_is_not_made_twice() {
    let rig = Rig::pushed();
    let driver = rig.open();
    driver.publish(&two_hosts("a", "b"), "first", AT).await.unwrap();
    // The push reaches the forge, and then the connection breaks: stood for by a git that fails after pushing.
    let flaky = rig.dir.path().join("flaky-git");
    let script = "#!/bin/sh\ngit \"$@\" || exit\ncase \"$*\" in *' push '*) echo 'fatal: the remote end hung up' >&2; exit 128;; esac\n";
    std::fs::write(&flaky, script).unwrap();
    std::fs::set_permissions(&flaky, std::fs::Permissions::from_mode(0o755)).unwrap();
    drop(driver);
    let driver = rig.open().with_program(&flaky);
    let fault = driver.publish(&two_hosts("a2", "b"), "second", AT).await.unwrap_err();
    assert_eq!((fault.class, fault.reason), (FaultClass::Transient, Reason::Unreachable), "{fault}");
    assert_eq!(rig.status_commits(), 2, "it arrived all the same");
    assert_eq!(driver.publish(&two_hosts("a2", "b"), "second", AT).await.unwrap(), None);
    assert_eq!(rig.status_commits(), 2);
}

#[tokio::test]
async fn a_deleted_or_rewritten_status_branch_is_begun_again() {
    let rig = Rig::pushed();
    let driver = rig.open();
    driver.publish(&two_hosts("a", "b"), "first", AT).await.unwrap();
    rig.forge(&["update-ref", "-d", "refs/heads/rackwright/status"]);
    assert!(driver.publish(&two_hosts("a2", "b"), "again", AT).await.unwrap().is_some());
    assert_eq!(rig.status_commits(), 1);
    rig.forge(&["update-ref", "-d", "refs/heads/rackwright/status"]);
    driver.fetch().await.unwrap();
    assert!(driver.publish(&two_hosts("a2", "b"), "and again", AT).await.unwrap().is_some(), "same bytes, but gone");
}

#[tokio::test]
async fn a_name_that_stands_in_the_way_is_told() {
    let rig = Rig::pushed();
    rig.push("rackwright"); // `rackwright/status` cannot exist beside it
    let fault = rig.open().publish(&two_hosts("a", "b"), "first", AT).await.unwrap_err();
    assert!(fault.message.contains("rackwright"), "{fault}");
}

/// Empties a file that git keeps read-only.
fn wreck(path: &Path) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, "").unwrap();
}

/// Where the blob that holds `text` is kept, as a loose object.
fn blob(dir: &Path, rig: &Rig, text: &str) -> std::path::PathBuf {
    std::fs::write(rig.dir.path().join("text"), text).unwrap();
    let id = git(rig.dir.path(), &["hash-object", "text"]);
    dir.join("objects").join(&id[..2]).join(&id[2..])
}

#[tokio::test]
async fn a_damaged_object_of_ours_heals_and_one_of_theirs_costs_us_nothing() {
    let rig = Rig::pushed();
    let driver = rig.open();
    let head = driver.fetch().await.unwrap();
    driver.keep(&head).unwrap();
    driver.publish(&two_hosts("a", "b"), "first", AT).await.unwrap();

    // Theirs: the forge cannot send what it lost.
    rig.commit("clusters.yml", "clusters: [lost]\n", "news");
    rig.push("main");
    wreck(&blob(&rig.remote, &rig, "clusters: [lost]\n"));
    for _ in 0..3 {
        driver.fetch().await.unwrap_err();
    }
    assert!(driver.tree(&head).is_ok(), "what we keep stays");
    assert!(!rig.state().join("mirror.git.broken").exists());
    git(&rig.work, &["commit", "--quiet", "--amend", "--allow-empty", "-m", "again"]);
    std::fs::remove_file(blob(&rig.remote, &rig, "clusters: [lost]\n")).unwrap();
    git(&rig.work, &["push", "--quiet", "--force", "origin", "HEAD~1:refs/heads/main"]);

    // Ours: an object that a power cut emptied.
    let lost = blob(&rig.state().join("mirror.git"), &rig, "c");
    std::fs::create_dir_all(lost.parent().unwrap()).unwrap();
    std::fs::write(&lost, "").unwrap();
    driver.publish(&two_hosts("c", "b"), "second", AT).await.unwrap_err();
    driver.publish(&two_hosts("c", "b"), "second", AT).await.unwrap().unwrap();
    assert_eq!(rig.status_file("hosts/c1/hv1.yaml"), "c");
    fsck(&rig.state().join("mirror.git"));
}
