//! Journals of 0.1.0 are read. `fixtures/journal-0.1.0` holds what that version's `demo` wrote: the events of a run that
//! was completed and of one that was killed in the middle, the repositories they are about, and its snapshots of what it
//! knew after so many events.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rackwright::daemon::journal::Journal;
use rackwright::daemon::replay;
use rackwright::model::{Desired, Event, HostState, Policy, Revision, Site, Subnet, Time, World};
use rackwright::plan::{Plan, Step, check, reduce};
use rackwright::repo::{self, Context, Entry, Tree};

const LAYOUT: i64 = 1;

struct Sample {
    name: &'static str,
    /// Third and fourth octets are free.
    net: [u8; 2],
    head: &'static str,
}

const COMPLETED: Sample =
    Sample { name: "completed", net: [127, 89], head: "1a660e9a9edfc15a31787a2c83e385d21534e9c4" };
const STOPPED: Sample = Sample { name: "stopped", net: [127, 46], head: "5506b6282106da3f53ebfd8a8c8608567b6709b2" };

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journal-0.1.0")
}

fn read(dir: &Path, below: &str, tree: &mut Tree) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = format!("{below}{}", entry.file_name().to_str().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => read(&entry.path(), &format!("{path}/"), tree),
            false => _ = tree.insert(path, Entry::File(std::fs::read(entry.path()).unwrap().into())),
        }
    }
}

impl Sample {
    fn policy(&self) -> Policy {
        let ip = |c, d| Ipv4Addr::new(self.net[0], self.net[1], c, d);
        let subnet = Subnet {
            net: format!("{}/16", ip(0, 0)).parse().unwrap(),
            first: ip(1, 0),
            last: ip(254, 255),
            gateway: None,
            dns: Vec::new(),
            domain: None,
            ntp: Vec::new(),
            lease_time: std::time::Duration::from_secs(600),
        };
        let site =
            Site { address: ip(0, 1), http_port: 9999, tftp_port: 6969, subnets: vec![subnet], leases_are_ours: true };
        Policy { site, ..Policy::default() }
    }

    fn load(&self, revision: &Revision, previous: Option<&Desired>) -> Option<Arc<Desired>> {
        let mut tree = Tree::new();
        match revision.as_str() == self.head {
            true => read(&fixtures().join(self.name), "", &mut tree),
            false => _ = tree.insert("clusters.yml".into(), Entry::File(Arc::from(*b"clusters: []\n"))),
        }
        let site = self.policy().site;
        let context = Context {
            http_base: site.http_base(),
            address: site.address,
            subnets: &site.subnets,
            deploy_username: "deploy".into(),
            mirror: "http://mirror.example.net/debian".into(),
            release: "bookworm".into(),
            previous,
            revision: Some(revision.clone()),
            secrets: Default::default(),
        };
        let loaded = repo::load(&tree, &context);
        Some(Arc::new(loaded.desired.unwrap_or_else(|| panic!("{:?}", loaded.findings))))
    }

    fn events(&self) -> Vec<(i64, String)> {
        let text = std::fs::read_to_string(fixtures().join(format!("{}.jsonl", self.name))).unwrap();
        let event = |line: &str| {
            let (at, event): (i64, serde_json::Value) = serde_json::from_str(line).unwrap();
            (at, event.to_string())
        };
        text.lines().map(event).collect()
    }

    /// A journal as 0.1.0 leaves it: with the snapshot it made after `compacted` events, or with events only.
    fn journal(&self, path: &Path, compacted: Option<usize>) {
        let db = rusqlite::Connection::open(path).unwrap();
        db.execute_batch(
            "CREATE TABLE events (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL);
             CREATE TABLE snapshot (id INTEGER PRIMARY KEY CHECK (id = 1), at INTEGER NOT NULL, body TEXT NOT NULL);",
        )
        .unwrap();
        db.pragma_update(None, "user_version", LAYOUT).unwrap();
        let events = self.events();
        if let Some(count) = compacted {
            let body = std::fs::read_to_string(fixtures().join(format!("{}-{count}.json", self.name))).unwrap();
            db.execute("INSERT INTO snapshot VALUES (1, ?1, ?2)", (events[count - 1].0, body)).unwrap();
        }
        for (seq, (at, body)) in events.iter().enumerate().skip(compacted.unwrap_or_default()) {
            db.execute("INSERT INTO events VALUES (?1, ?2, ?3)", (seq as i64 + 1, at, body)).unwrap();
        }
    }

    fn replay(&self, path: &Path) -> (World, Time, Plan) {
        let (world, at, plan) = replay(path, self.policy(), |revision, before| self.load(revision, before)).unwrap();
        assert_eq!(check(&world, &plan), Vec::<String>::new());
        (world, at, plan)
    }
}

/// The events of 0.1.0, and its own snapshot of the first of them with the events after it, amount to the same.
#[test]
fn a_snapshot_of_the_first_version_says_what_its_events_say() {
    for (sample, compacted) in [(COMPLETED, 15), (COMPLETED, 105), (STOPPED, 42), (STOPPED, 54)] {
        let dir = tempfile::tempdir().unwrap();
        let (whole, short) = (dir.path().join("whole.db"), dir.path().join("short.db"));
        sample.journal(&whole, None);
        sample.journal(&short, Some(compacted));
        let (expected, at, plan) = sample.replay(&whole);
        let (world, ..) = sample.replay(&short);
        assert!(expected.desired.is_some() && !plan.hosts.is_empty());
        assert_eq!(world, expected, "{} from {compacted}", sample.name);

        // Read beside a running daemon it stays as it is; opened by one it is rewritten, once and for all.
        let layout = |path: &Path| -> i64 {
            let db = rusqlite::Connection::open(path).unwrap();
            db.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
        };
        assert_eq!(layout(&short), LAYOUT);
        drop(Journal::open(&short).unwrap());
        assert_eq!(layout(&short), LAYOUT + 1);
        assert_eq!(sample.replay(&short).0, expected, "rewritten");
        let mut journal = Journal::open(&short).unwrap();
        journal.append(at, [&Event::DaemonStarted]).unwrap();
        let mut restarted = expected;
        reduce(&mut restarted, &Event::DaemonStarted, at);
        assert_eq!(sample.replay(&short).0, restarted, "and goes on");
    }
}

#[test]
fn a_rack_that_the_first_version_completed_stays_completed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    COMPLETED.journal(&path, None);
    let (world, at, plan) = COMPLETED.replay(&path);
    assert_eq!(plan.hosts.len(), 4);
    for host in &plan.hosts {
        assert_eq!(host.state, HostState::Completed, "{}", host.id);
        assert!(matches!(host.step, Step::Done { .. }), "{:?}", host.step);
    }
    assert_eq!(plan.clusters.iter().map(|it| it.state.as_str()).collect::<Vec<_>>(), ["completed"; 2]);
    let started = rackwright::plan::plan(&world, at);
    assert!(started.actions.iter().all(|action| action.host().is_none()), "{:?}", started.actions);
}

#[test]
fn a_rack_that_the_first_version_was_killed_in_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    STOPPED.journal(&path, Some(54));
    let (mut world, at, _) = STOPPED.replay(&path);
    reduce(&mut world, &Event::DaemonStarted, at);
    assert!(world.lanes.under_way().next().is_none(), "nothing is taken for under way after a restart");
    let plan = rackwright::plan::plan(&world, at);
    assert_eq!(check(&world, &plan), Vec::<String>::new());
    assert_eq!(plan.hosts.len(), 6);
    assert!(plan.hosts.iter().all(|host| host.state > HostState::Init), "{plan:?}");
    assert!(plan.hosts.iter().all(|host| !matches!(host.step, Step::Stalled { .. })), "{plan:?}");
}
