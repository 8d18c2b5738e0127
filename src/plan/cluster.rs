//! A cluster: the barrier that waits for its last host, and its tasks in their order.

use super::context::{PlanContext, next_mark};
use super::reach;
use super::step::{ClusterPlan, Step};
use super::task::{announcements, left_on};
use super::view::{Begin, ClusterView, Outlook};
use crate::model::{Action, Reason, TaskIntent};

/// Decides what happens next to the cluster, and begins its next task when all is ready.
pub(super) fn plan<'w>(ctx: &mut PlanContext<'w>, view: &ClusterView<'w>, outlook: Option<Outlook<'w>>) -> ClusterPlan {
    let shown = view.facts.and_then(|facts| facts.shown.as_ref());
    let step = match outlook {
        _ if view.present == 0 => Step::done("no hosts"),
        Some(Outlook { step, begin }) => {
            start(ctx, view, begin);
            step
        }
        None => {
            let since = shown.map_or(ctx.now, |(_, at)| *at);
            Step::wait(Reason::Peers, view.missing_message(), next_mark(since, ctx.policy.peers_timeout, ctx.now))
        }
    };
    ctx.wake_for(&step);
    ClusterPlan { name: view.spec.name.clone(), state: view.state(), step, notes: notes(view) }
}

/// Begins what is to be begun.
fn start<'w>(ctx: &mut PlanContext<'w>, view: &ClusterView<'w>, begin: Begin<'w>) {
    let cluster = &view.spec.name;
    for (task, announced) in announcements(view) {
        let (cluster, definition) = (cluster.clone(), task.definition.clone());
        ctx.tasks.push(TaskIntent { cluster, task: task.id.clone(), definition, announced });
    }
    match begin {
        Begin::Nothing => {}
        Begin::Reach { hosts, again } => {
            again.into_iter().for_each(|at| ctx.wake(at));
            hosts.iter().for_each(|host| reach::begin(ctx, host));
        }
        Begin::Run(task) => ctx.begin(Action::Run {
            cluster: cluster.clone(),
            task: task.id.clone(),
            definition: task.definition.clone(),
            covers: view.due.clone(),
            run: view.spec.run,
            // As long as any host is a member of the cluster, the others join it: PVC's roles would bootstrap a new Ceph
            // cluster and wipe the database's keys of the one that runs.
            do_bootstrap: task.is_ansible() && !view.is_carried(task),
        }),
    }
}

/// What people should know of a cluster, whatever it is doing.
fn notes(view: &ClusterView<'_>) -> Vec<String> {
    let passed = view.given_up.iter().filter_map(|task| Some((task, view.record(task)?.failure.as_ref()?)));
    let passed = passed.map(|(task, last)| {
        let run = view.spec.run;
        format!(
            "`{}` failed and was passed over: {}; raise `run` above {run} to try it again",
            task.name, last.failure.fault
        )
    });
    passed.chain(left_on(view)).collect()
}
