//! The laws about tasks, checked as they are begun and at the end.

use std::collections::{BTreeMap, BTreeSet};

use rackwright::model::{ClusterName, Digest, HostId, TaskId, TokenId};

/// What truly was begun and done, whatever rackwright remembers of it.
#[derive(Default)]
pub struct TaskOracle {
    /// Bootstraps begun: at which value of `run`, for which installs.
    begun: BTreeSet<(ClusterName, u32, TokenId)>,
    /// Work of hooks that must not be done twice.
    worked: BTreeSet<(TaskId, u32, TokenId)>,
    /// Installs that a task of a cluster is recorded to be done for.
    done: BTreeMap<(ClusterName, TaskId), BTreeSet<TokenId>>,
    /// Files of successful runs.
    made: BTreeSet<Digest>,
    /// Files that reached the branch.
    pushed: BTreeSet<Digest>,
}

type Covers = BTreeMap<HostId, TokenId>;

impl TaskOracle {
    /// A cluster is made anew once for each value of `run`, and never while somebody in it (`on_disk`: what its hosts
    /// carry) has been configured.
    pub fn bootstraps(&mut self, cluster: &ClusterName, run: u32, covers: &Covers, on_disk: &[TokenId]) {
        for token in covers.values() {
            assert!(self.begun.insert((cluster.clone(), run, token.clone())), "{cluster}: bootstrapped twice at {run}");
        }
        let done = self.done.get(&(cluster.clone(), TaskId::new("ansible")));
        let carried = on_disk.iter().find(|token| done.is_some_and(|done| done.contains(*token)));
        assert_eq!(carried, None, "{cluster}: made anew although it runs");
    }

    /// A hook that must not be repeated works on an install once for each value of `run`.
    pub fn works(&mut self, task: &TaskId, run: u32, token: &TokenId) {
        assert!(self.worked.insert((task.clone(), run, token.clone())), "{task} twice on one install at {run}");
    }

    /// What is done for a cluster is not done again while one of its hosts carries it.
    pub fn works_for_all(&mut self, cluster: &ClusterName, task: &TaskId, on_disk: &[TokenId]) {
        let done = self.done.get(&(cluster.clone(), task.clone()));
        let carried = on_disk.iter().find(|token| done.is_some_and(|done| done.contains(*token)));
        assert_eq!(carried, None, "{cluster}: {task} again although it was done");
    }

    /// A success was recorded.
    pub fn succeeded(&mut self, cluster: &ClusterName, task: &TaskId, covers: &Covers, made: Option<&Digest>) {
        self.done.entry((cluster.clone(), task.clone())).or_default().extend(covers.values().cloned());
        self.made.extend(made.cloned());
    }

    /// Files reached the branch.
    pub fn reached_branch(&mut self, files: &Digest) {
        self.pushed.insert(files.clone());
    }

    /// The journal is lost: what remains is what the status branch says.
    pub fn forget(&mut self, said: &BTreeMap<(ClusterName, TaskId), Covers>, kept: &BTreeSet<Digest>) {
        for (key, done) in &mut self.done {
            let said: BTreeSet<&TokenId> = said.get(key).into_iter().flat_map(|covers| covers.values()).collect();
            done.retain(|token| said.contains(token));
        }
        self.made.retain(|files| kept.contains(files) || self.pushed.contains(files));
    }

    /// In the end the files of every successful run are on the branch.
    pub fn nothing_is_lost(&self) {
        let lost: Vec<_> = self.made.difference(&self.pushed).collect();
        assert!(lost.is_empty(), "files never reached the branch: {lost:?}");
    }
}

#[test]
fn each_law_about_tasks_notices() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    let broken = |law: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(law)).is_err();
    let (cluster, task) = (ClusterName::new("c1"), TaskId::new("ansible"));
    let token = rackwright::model::Token::from_random([7; 16]).id();
    let covers: Covers = [("c1/hv1".parse().unwrap(), token.clone())].into();
    let mut oracle = TaskOracle::default();
    assert!(!broken(&mut || oracle.bootstraps(&cluster, 1, &covers, std::slice::from_ref(&token))), "the first time");
    assert!(broken(&mut || oracle.bootstraps(&cluster, 1, &covers, &[])), "twice at one value of run");
    assert!(!broken(&mut || oracle.works(&task, 1, &token)) && broken(&mut || oracle.works(&task, 1, &token)));
    assert!(!broken(&mut || oracle.works_for_all(&cluster, &task, std::slice::from_ref(&token))));
    oracle.succeeded(&cluster, &task, &covers, Some(&Digest::new("a")));
    assert!(
        broken(&mut || oracle.works_for_all(&cluster, &task, std::slice::from_ref(&token))),
        "again for the cluster"
    );
    assert!(
        broken(&mut || oracle.bootstraps(&cluster, 2, &covers, std::slice::from_ref(&token))),
        "a cluster that runs"
    );
    assert!(broken(&mut || oracle.nothing_is_lost()), "files that were not pushed");
    oracle.reached_branch(&Digest::new("a"));
    assert!(!broken(&mut || oracle.nothing_is_lost()));
}
