//! One hook in one run of its task.

use std::path::Path;
use std::time::Duration;

use crate::drive::task::TaskRun;
use crate::model::HookTask;

/// A hook, and what one run of it needs.
pub(super) struct Job<'a> {
    pub(super) hook: &'a HookTask,
    pub(super) run: &'a TaskRun<'a>,
    pub(super) own: &'a Path,
}

impl Job<'_> {
    /// How long its program may take, each time.
    pub(super) fn time_limit(&self) -> Duration {
        self.run.task.time_limit.unwrap_or(self.run.settings.ansible.timeout)
    }

    pub(super) fn name(&self) -> String {
        let (name, kind) = (&self.run.task.name, &self.hook.program.name);
        if name == kind { name.clone() } else { format!("{name} ({kind})") }
    }
}
