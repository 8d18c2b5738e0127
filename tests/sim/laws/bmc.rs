//! The laws about BMCs, checked after every event.

use std::collections::{BTreeMap, BTreeSet};

use rackwright::model::{HostId, Time, World};
use rackwright::sim::bmc::{Bmc, FailedLogin};

/// How long a deletion may take after it was asked for: some begin when the machine has power.
const DELETION: i64 = 3_600_000;

/// What is known of one BMC beside what it tells itself.
#[derive(Default)]
pub struct Seen {
    /// Sessions that nobody can know of: the daemon crashed before it heard of them, or lost its journal.
    pub lost: BTreeSet<String>,
    failures: usize,
    /// Failed logins, by user and password.
    tried: BTreeMap<(String, String), u32>,
    /// Further tries that are in order: the one before was forgotten, or a person asked for it.
    pub forgiven: u32,
    deleted: usize,
    /// What it had been asked when its host left the repository.
    asked: Option<u64>,
    /// When volumes in the way were last allowed to go.
    pub consent: Option<Time>,
}

#[derive(Default)]
pub struct BmcOracle(pub BTreeMap<HostId, Seen>);

impl BmcOracle {
    pub fn of(&mut self, id: &HostId) -> &mut Seen {
        self.0.entry(id.clone()).or_default()
    }

    /// Never more than one session of ours, apart from those that nobody can know of. Where a session can be ended by a
    /// token only, one that could not be closed is ended by the next, and for that moment there are two.
    pub fn sessions(&mut self, id: &HostId, bmc: &Bmc) {
        let seen = self.of(id);
        let open: BTreeSet<String> = bmc.session_uris().collect();
        seen.lost.retain(|uri| open.contains(uri));
        let ours: Vec<_> = open.difference(&seen.lost).collect();
        let most = if bmc.config().basic { 1 } else { 2 };
        assert!(ours.len() <= most, "{id}: sessions {ours:?} are open at once");
    }

    /// An account that was refused is not tried again.
    pub fn logins(&mut self, id: &HostId, failures: &[FailedLogin]) {
        let seen = self.of(id);
        for failed in &failures[seen.failures..] {
            let account = (failed.username.clone(), failed.password.reveal().to_owned());
            let times = seen.tried.entry(account).or_default();
            if *times > 0 {
                assert!(seen.forgiven > 0, "{id}: the account `{}` was tried again at {}", failed.username, failed.at);
                seen.forgiven -= 1;
            }
            *times += 1;
        }
        seen.failures = failures.len();
    }

    /// Whether the last failed login is newer than this.
    pub fn failed_since(failures: &[FailedLogin], at: Time) -> bool {
        failures.last().is_some_and(|failed| failed.at >= at)
    }

    /// What others made is deleted with consent only.
    pub fn volumes(&mut self, id: &HostId, bmc: &Bmc) {
        let seen = self.of(id);
        for (at, volume) in &bmc.tally.deleted[seen.deleted..] {
            let consented = seen.consent.is_some_and(|consent| at.0 - consent.0 <= DELETION);
            assert!(consented || !volume.foreign, "{id}: {volume:?} was deleted at {at} without consent");
        }
        seen.deleted = bmc.tally.deleted.len();
    }

    /// A BMC whose host has left the repository is left alone, but for closing what was opened there.
    pub fn gone(&mut self, id: &HostId, bmc: &Bmc, gone: bool) {
        let asked = bmc.tally.requests - bmc.tally.farewells;
        let seen = self.of(id);
        seen.asked = gone.then(|| seen.asked.unwrap_or(asked));
        let since = seen.asked.unwrap_or(asked);
        assert_eq!(asked, since, "{id} has left the repository, and its BMC was talked to");
    }
}

/// Whether a disk may be blank of which an install is known: its volume was deleted for the next one.
pub fn disk_may_be_gone(world: &World, id: &HostId, bmc: &Bmc) -> bool {
    let installed = world.hosts.get(id).and_then(|facts| facts.installed.as_ref());
    let next = world.spec(id).map(|spec| spec.generation);
    !bmc.tally.deleted.is_empty() && installed.map(|installed| installed.generation) < next
}

/// Nobody talks to a BMC that is not in the repository.
pub fn strangers(bmc: &Bmc) {
    assert_eq!(bmc.tally.requests, 0, "an unknown BMC was talked to");
}

/// The laws can be broken: each of them notices what it is there to notice.
#[test]
fn each_law_about_bmcs_notices() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rackwright::model::Secret;
    use rackwright::sim::bmc::{BmcConfig, Request};
    use rackwright::sim::machine::{Machine, MachineConfig, Timings};
    use rackwright::sim::tree::{Vendor, storage};
    use serde_json::json;

    let id: HostId = "c1/hv1".parse().unwrap();
    let broken = |law: &dyn Fn()| catch_unwind(AssertUnwindSafe(law)).is_err();
    let machine = MachineConfig::new("hv1", None, "52:54:00:00:00:01".parse().unwrap(), Timings::real());
    let machine = std::cell::RefCell::new(Machine::new(machine));
    let fresh = || {
        let config = BmcConfig::new(Vendor::Hpe, "admin", Secret::new("secret"));
        Bmc::new(config.with_foreign_volume("RAID1", &[1, 2]))
    };
    let ask = |bmc: &mut Bmc, method: &str, path: &str, body: serde_json::Value| {
        // admin:secret
        let headers = [("authorization".to_owned(), "Basic YWRtaW46c2VjcmV0".to_owned())].into();
        let body = body.to_string().into_bytes();
        let request = Request { method: method.into(), path: path.into(), headers, body };
        bmc.handle(&mut *machine.borrow_mut(), Time(1000), &request).response.unwrap().status
    };
    let login = |bmc: &mut Bmc, password: &str| {
        let body = json!({ "UserName": "admin", "Password": password });
        ask(bmc, "POST", "/redfish/v1/SessionService/Sessions", body)
    };

    let (mut one, mut two) = (fresh(), fresh());
    assert_eq!([login(&mut one, "secret"), login(&mut two, "secret"), login(&mut two, "secret")], [201; 3]);
    assert!(!broken(&|| BmcOracle::default().sessions(&id, &one)), "one session");
    assert!(broken(&|| BmcOracle::default().sessions(&id, &two)), "two sessions");
    let lost = || {
        let mut oracle = BmcOracle::default();
        oracle.of(&id).lost.extend(two.session_uris().last());
        oracle
    };
    assert!(!broken(&|| lost().sessions(&id, &two)), "of which nobody can know of one");

    let (mut once, mut again, mut other) = (fresh(), fresh(), fresh());
    let tried = [(&mut once, ["guess", "secret"]), (&mut again, ["guess", "guess"]), (&mut other, ["guess", "hope"])];
    for (bmc, passwords) in tried {
        passwords.into_iter().for_each(|password| _ = login(bmc, password));
    }
    assert!(!broken(&|| BmcOracle::default().logins(&id, &once.tally.failed)), "one refused login");
    assert!(broken(&|| BmcOracle::default().logins(&id, &again.tally.failed)), "the same account twice");
    assert!(!broken(&|| BmcOracle::default().logins(&id, &other.tally.failed)), "two accounts");
    let forgiving = || {
        let mut oracle = BmcOracle::default();
        oracle.of(&id).forgiven = 1;
        oracle
    };
    assert!(!broken(&|| forgiving().logins(&id, &again.tally.failed)), "a refusal that was forgotten");
    login(&mut again, "guess");
    assert!(broken(&|| forgiving().logins(&id, &again.tally.failed)), "more often than that");

    let (mut kept, mut deleted) = (fresh(), fresh());
    assert_eq!(ask(&mut kept, "GET", "/redfish/v1/Systems", json!(null)), 200);
    let path = storage::volume_path(Vendor::Hpe, &deleted.volumes()[0]).unwrap();
    assert_eq!(ask(&mut deleted, "DELETE", &path, json!(null)), 204);
    assert!(!broken(&|| BmcOracle::default().volumes(&id, &kept)), "nothing deleted");
    assert!(broken(&|| BmcOracle::default().volumes(&id, &deleted)), "a foreign volume deleted");
    let consenting = |at: i64| {
        let mut oracle = BmcOracle::default();
        oracle.of(&id).consent = Some(Time(at));
        oracle
    };
    assert!(!broken(&|| consenting(900).volumes(&id, &deleted)), "with consent");
    assert!(broken(&|| consenting(999 - DELETION).volumes(&id, &deleted)), "with consent of long ago");

    let mut left = BmcOracle::default();
    left.gone(&id, &fresh(), true);
    let left = std::cell::RefCell::new(left);
    assert!(!broken(&|| left.borrow_mut().gone(&id, &fresh(), true)), "left alone after it was removed");
    assert!(broken(&|| left.borrow_mut().gone(&id, &kept, true)), "talked to after it was removed");
    assert!(!broken(&|| strangers(&fresh())), "left alone");
    assert!(broken(&|| strangers(&kept)), "a stranger was talked to");
}
