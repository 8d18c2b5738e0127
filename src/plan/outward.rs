//! What leaves the rack besides its status branch: files that playbooks made, to the watched branch.
//!
//! Files wait in [`Generated`] until they are pushed, and then until a fetch that began afterwards has been loaded: a
//! playbook that runs before that would not find them. Hooks do not read them and go on.

use super::desk::Desk;
use super::{ClusterPlan, Step};
use crate::model::{Action, ClusterFacts, ClusterSpec, Fault, FaultClass, Generated, Reason, TaskSpec};

/// Pushes a cluster's generated files when it is time for it, and says how that stands.
pub(super) fn write_back(
    desk: &mut Desk<'_>,
    spec: &ClusterSpec,
    facts: Option<&ClusterFacts>,
    plan: &mut ClusterPlan,
) {
    let Some(generated) = waiting(spec, facts) else { return };
    let step = step(desk, spec, generated);
    if let (Step::Act { .. }, None, None) = (&step, generated.pushed, generated.pushing) {
        desk.actions.push(Action::WriteBack {
            cluster: spec.name.clone(),
            generated: generated.id.clone(),
            revision: generated.revision.clone(),
        });
    }
    desk.wake_for(&step);
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
pub(super) fn held(desk: &Desk<'_>, spec: &ClusterSpec, facts: Option<&ClusterFacts>, task: &TaskSpec) -> Option<Step> {
    let generated = waiting(spec, facts).filter(|_| task.is_ansible())?;
    Some(match step(desk, spec, generated) {
        // It is the push that is acted upon, not the task.
        Step::Act { reason, message, until } => Step::Wait { reason, message, until },
        step => step,
    })
}

/// Generated files that wait to be pushed or loaded, unless a person gave them up.
pub(super) fn waiting<'f>(spec: &ClusterSpec, facts: Option<&'f ClusterFacts>) -> Option<&'f Generated> {
    let generated = facts?.generated.as_ref()?;
    let failure = generated.failure.as_ref().map(|failure| failure.fault.reason);
    let theirs = matches!(failure, Some(Reason::GeneratedFilesLost | Reason::WriteBackConflict));
    (!theirs || spec.run <= generated.run).then_some(generated)
}

fn step(desk: &Desk<'_>, spec: &ClusterSpec, generated: &Generated) -> Step {
    let timeout = desk.policy.action_timeout;
    if let Some(pushed) = generated.pushed {
        let until = desk.later(pushed + timeout, pushed);
        return match &desk.world.rejected {
            Some(rejected) => {
                let head = rejected.revision.short();
                let message = format!("generated files are pushed, but the head {head} is refused; see rejected.yaml");
                Step::stalled(Reason::GeneratedFilesUnread, message, None)
            }
            None => Step::wait(Reason::GeneratedFiles, "generated files are pushed and about to be read back", until),
        };
    }
    let unsaved = |why: &str| format!("generated files are not pushed yet: {why}");
    if let Some(since) = generated.pushing {
        return Step::act(Reason::GeneratedFiles, unsaved("under way"), desk.later(since + timeout, since));
    }
    let Some(failure) = &generated.failure else {
        return Step::act(Reason::GeneratedFiles, unsaved("about to be"), desk.now + timeout);
    };
    let at = desk.rack_retry_at(spec.name.as_str(), failure);
    if desk.now >= at {
        return Step::act(Reason::GeneratedFiles, unsaved("trying again"), desk.now + timeout);
    }
    let Fault { class, reason, message } = &failure.fault;
    match class {
        FaultClass::Transient if failure.count <= spec.retries => {
            Step::wait(Reason::GeneratedFiles, unsaved(message), at)
        }
        _ => Step::stalled(*reason, unsaved(message), Some(at)),
    }
}
