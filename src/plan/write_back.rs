//! Files that playbooks generate: pushed to the watched branch.
//!
//! They wait in [`Generated`] until they are pushed, and then until a fetch that began afterwards has been loaded: a
//! playbook that runs before that would not find them. Hooks do not read them and go on.

use super::context::PlanContext;
use super::step::{ClusterPlan, Step};
use super::view::ClusterView;
use crate::model::{Action, Fault, FaultClass, Generated, Lane, Reason, TaskSpec, Work};

/// Pushes a cluster's generated files when it is time for it, and says how that stands.
pub(super) fn push(ctx: &mut PlanContext<'_>, view: &ClusterView<'_>, plan: &mut ClusterPlan) {
    let Some((generated, work)) = waiting(ctx, view) else { return };
    let step = step(ctx, view, generated, work);
    if let (Step::Act { .. }, None, None) = (&step, generated.pushed, &work.doing) {
        let (generated, revision) = (generated.id.clone(), generated.revision.clone());
        ctx.begin(Action::WriteBack { cluster: view.spec.name.clone(), generated, revision });
    }
    ctx.wake_for(&step);
    match (&plan.step, &step) {
        // A cluster is not done before what its playbook made is safe.
        (Step::Done { .. }, _) => plan.step = step,
        (_, Step::Act { message, .. } | Step::Wait { message, .. } | Step::Stalled { message, .. }) => {
            plan.notes.push(message.clone());
        }
        (_, Step::Done { .. }) => {}
    }
}

/// What a task waits for because generated files are not on the watched branch yet: a later run of the playbook needs
/// them.
pub(super) fn held(ctx: &PlanContext<'_>, view: &ClusterView<'_>, task: &TaskSpec) -> Option<Step> {
    let (generated, work) = waiting(ctx, view).filter(|_| task.is_ansible())?;
    Some(match step(ctx, view, generated, work) {
        // It is the push that is acted upon, not the task.
        Step::Act { reason, message, until } => Step::Wait { reason, message, until },
        step => step,
    })
}

/// Generated files that wait to be pushed or loaded, unless a person gave them up.
fn waiting<'w>(ctx: &PlanContext<'w>, view: &ClusterView<'w>) -> Option<(&'w Generated, &'w Work)> {
    let generated = view.facts?.generated.as_ref()?;
    let work = ctx.world.lanes.get(&Lane::WriteBack(view.spec.name.clone()));
    let failure = work.failure.as_ref().map(|failure| failure.fault.reason);
    let theirs = matches!(failure, Some(Reason::GeneratedFilesLost | Reason::WriteBackConflict));
    (!theirs || view.spec.run <= generated.run).then_some((generated, work))
}

fn step(ctx: &PlanContext<'_>, view: &ClusterView<'_>, generated: &Generated, work: &Work) -> Step {
    if let Some(pushed) = generated.pushed {
        return match &ctx.world.rejected {
            Some(rejected) => {
                let head = rejected.revision.short();
                let message = format!("generated files are pushed, but the head {head} is refused; see rejected.yaml");
                Step::stalled(Reason::GeneratedFilesUnread, message, None)
            }
            None => {
                let message = "generated files are pushed and about to be read back";
                Step::wait(Reason::GeneratedFiles, message, ctx.action_deadline(pushed))
            }
        };
    }
    let unsaved = |why: &str| format!("generated files are not pushed yet: {why}");
    let begin = ctx.now + ctx.policy.action_timeout;
    if let Some(since) = work.since() {
        return Step::act(Reason::GeneratedFiles, unsaved("under way"), ctx.action_deadline(since));
    }
    let Some(failure) = &work.failure else {
        return Step::act(Reason::GeneratedFiles, unsaved("about to be"), begin);
    };
    let at = ctx.retry_at(view.spec.name.as_str(), failure);
    if ctx.now >= at {
        return Step::act(Reason::GeneratedFiles, unsaved("trying again"), begin);
    }
    let Fault { class, reason, message } = &failure.fault;
    match class {
        FaultClass::Transient if failure.count <= view.spec.retries => {
            Step::wait(Reason::GeneratedFiles, unsaved(message), at)
        }
        _ => Step::stalled(*reason, unsaved(message), Some(at)),
    }
}
