//! The status branch as anybody with git can read it, and the laws of its history.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rackwright::cli::demo::stage::Stage;
use rackwright::drive::git::Local;
use rackwright::model::status::{ClusterStatus, Files, HostStatus, RejectedStatus};
use rackwright::model::{ClusterState, ConditionStatus, HostState};

const BRANCH: &str = "rackwright/status";

/// The head of the status branch.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    pub head: String,
    pub files: Files,
}

/// A host's file, read back.
pub struct Host(pub HostStatus);

impl Host {
    /// Completed, and nothing left to do.
    pub fn is_done(&self) -> bool {
        self.0.state == HostState::Completed && self.0.condition.status == ConditionStatus::Ready
    }
}

impl Status {
    /// Reads it from a bare repository.
    pub fn read(repository: &Path) -> Option<Status> {
        let local = Local::discover(repository).ok()?;
        let (head, files) = local.status(BRANCH).ok()??;
        Some(Status { head: head.to_string(), files })
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, path: &str) -> Option<T> {
        let text = self.files.get(path)?;
        Some(serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}\n{text}")))
    }

    /// The file of `cluster/host`.
    pub fn host(&self, name: &str) -> Option<Host> {
        self.parse(&format!("hosts/{name}.yaml")).map(Host)
    }

    /// The file of `cluster/host`, which must be there.
    pub fn the(&self, name: &str) -> HostStatus {
        self.host(name).unwrap_or_else(|| panic!("no file of {name}")).0
    }

    /// Every host's file.
    pub fn hosts(&self) -> Vec<HostStatus> {
        let paths = self.files.keys().filter(|path| path.starts_with("hosts/"));
        paths.filter_map(|path| self.parse(path)).collect()
    }

    /// A cluster's file.
    pub fn cluster(&self, name: &str) -> Option<ClusterStatus> {
        self.parse(&format!("clusters/{name}.yaml"))
    }

    pub fn cluster_is_completed(&self, name: &str) -> bool {
        self.cluster(name)
            .is_some_and(|it| it.state == ClusterState::Completed && it.condition.status == ConditionStatus::Ready)
    }

    /// `rejected.yaml`.
    pub fn rejected(&self) -> Option<RejectedStatus> {
        self.parse("rejected.yaml")
    }
}

/// A commit of the status branch.
#[derive(Clone, Debug)]
pub struct Commit {
    pub subject: String,
    pub observed: Option<String>,
    /// `cluster/host`, from, to.
    pub transitions: Vec<(String, String, String)>,
}

/// Reads the history, oldest first, and checks what must hold for it at any time: an orphan branch in one line, every
/// commit changes something, trailers can be read, no transition of a host is missing or there twice.
pub async fn check_history(stage: &Stage) -> Vec<Commit> {
    let repository = stage.repository();
    let fsck = stage.git(&repository, &["fsck", "--strict", "--no-dangling", "--no-progress"]).await.unwrap();
    assert_eq!(fsck.trim(), "");
    let watched = stage.git(&repository, &["rev-list", "main"]).await.unwrap();
    let watched: BTreeSet<&str> = watched.lines().collect();
    let format = "--format=%H%x09%T%x09%P%x09%s%x09%(trailers:key=Observed-Revision,valueonly,separator=%x20)\
                  %x09%(trailers:key=Transition,valueonly,separator=%x1f)";
    let log = stage.git(&repository, &["log", "--reverse", "--topo-order", format, BRANCH]).await.unwrap();
    let (mut history, mut before, mut states) = (Vec::new(), (String::new(), String::new()), BTreeMap::new());
    for line in log.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let [id, tree, parents, subject, observed, transitions] = parts[..] else { panic!("{line:?}") };
        assert_eq!(parents, before.0, "one root and one line: {line}");
        assert_ne!(tree, before.1, "a commit that changes nothing: {line}");
        assert!(!watched.contains(id), "an orphan branch");
        assert!(!subject.is_empty() && subject.chars().count() <= 72 + 20, "{subject}");
        let observed = Some(observed).filter(|it| !it.is_empty());
        assert!(observed.is_none_or(|it| watched.contains(it)), "Observed-Revision is one of the branch: {line}");
        let transitions: Vec<_> = transitions.split('\x1f').filter(|it| !it.is_empty()).map(transition).collect();
        for (host, from, to) in &transitions {
            let last = states.insert(host.clone(), to.clone());
            assert_eq!(last.as_deref().unwrap_or("new"), from, "the states of {host} are a chain: {log}");
        }
        before = (id.to_owned(), tree.to_owned());
        history.push(Commit { subject: subject.to_owned(), observed: observed.map(str::to_owned), transitions });
    }
    // What the chain leads to is what the files say.
    let status = Status::read(&repository).expect("a status branch");
    for (host, state) in &states {
        assert_eq!(status.the(host).state.as_str(), state, "{host}");
    }
    history
}

fn transition(text: &str) -> (String, String, String) {
    let words: Vec<&str> = text.split(' ').collect();
    let [host, from, "->", to] = words[..] else { panic!("{text:?} is not a transition") };
    let known = |word: &str| HostState::parse(word).is_some();
    assert!(known(to) && (known(from) || from == "new") && from != to, "{text}");
    assert_eq!(host.matches('/').count(), 1, "{text}");
    (host.to_owned(), from.to_owned(), to.to_owned())
}
