//! Publishing the status branch, and waiting for what it must announce.

use super::context::PlanContext;
use super::step::{Plan, Step};
use crate::model::{Action, Lane, Reason, Time};

/// Brings the status branch up to date: at once after a quiet time, else no sooner than the debounce after the last.
pub(super) fn publish(ctx: &mut PlanContext<'_>, plan: &Plan) {
    let world = ctx.world;
    let git = &world.git;
    let nothing_known = world.desired.is_none() && world.rejected.is_none();
    let news = git.published != Some(plan.fingerprint) || world.moves.last > world.moves.published;
    let idle = !news && ctx.intents.is_empty() && ctx.tasks.is_empty();
    if nothing_known || idle || !ctx.is_due(&Lane::Publish, "publish") {
        return;
    }
    match git.published_at.map(|at| at + ctx.policy.publish_debounce) {
        // A cluster whose machines are all up waits for nothing but this.
        Some(next) if ctx.now < next && ctx.tasks.is_empty() => ctx.wake(next),
        _ => {
            let (intents, tasks) = (std::mem::take(&mut ctx.intents), std::mem::take(&mut ctx.tasks));
            let fingerprint = plan.fingerprint;
            ctx.begin(Action::Publish { fingerprint, moves_upto: world.moves.last, intents, tasks });
        }
    }
}

/// What is waited for while the status branch does not say yet that something may be begun.
pub(super) fn announcing(ctx: &PlanContext<'_>, since: Time, what: &str) -> Step {
    let work = ctx.world.lanes.get(&Lane::Publish);
    if let Some(failure) = work.failure.as_ref().filter(|_| work.doing.is_none()) {
        let (at, why) = (ctx.retry_at("publish", failure), &failure.fault);
        if ctx.now < at {
            let message = format!("{what} is begun once the status branch announces it; publishing failed: {why}");
            return Step::stalled(Reason::StatusBranchUnreachable, message, Some(at));
        }
    }
    let message = format!("waiting for the status branch to announce {what}");
    Step::wait(Reason::Announcing, message, ctx.action_deadline(work.since().unwrap_or(since)))
}
