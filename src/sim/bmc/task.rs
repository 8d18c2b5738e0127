//! What a simulated BMC does later: tasks (DSP0266, "Asynchronous operations"), an iDRAC's jobs, and settings that wait
//! for a restart of the machine.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Bmc, Request, Response, Volume};
use crate::model::{PowerState, Time};
use crate::sim::chassis::Chassis;
use crate::sim::fault::Fault;
use crate::sim::tree::Vendor;

#[derive(Clone, Debug)]
pub(super) enum Work {
    Bios,
    MakeVolume(Volume),
    DeleteVolume(u32),
    /// A change that another service would make at once.
    Change(Request),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Now,
    /// As soon as the machine has power.
    Powered,
    /// When the machine has been restarted, counted from this number of starts.
    Restarted(u64),
}

#[derive(Clone, Debug)]
pub struct Task {
    /// Its number in the collection, or the job's.
    pub id: String,
    pub(super) name: &'static str,
    pub(super) work: Option<Work>,
    pub(super) when: When,
    pub(super) begun: Option<Time>,
    pub(super) lasts: Duration,
    /// How far it is, of 100.
    pub percent: u32,
    /// Whether it ended without effect.
    pub failed: bool,
    /// Where what it made is.
    pub(super) made: Option<String>,
    /// Whether the service tells of it.
    pub(super) visible: bool,
}

/// Tasks that a service remembers.
const REMEMBERED: usize = 24;
pub(super) const TASKS: &str = "/redfish/v1/TaskService/Tasks";
pub(super) const MONITORS: &str = "/redfish/v1/TaskService/TaskMonitors";

impl Task {
    /// Whether it has ended, one way or the other.
    pub fn ended(&self) -> bool {
        self.work.is_none()
    }

    /// `TaskState` (Task 1.x).
    pub fn state(&self) -> &'static str {
        match (self.ended(), self.failed, self.begun) {
            (true, false, _) => "Completed",
            (true, true, _) => "Exception",
            (false, _, None) => "Pending",
            (false, _, Some(_)) => "Running",
        }
    }

    pub fn body(&self, path: &str) -> Value {
        let message = if self.failed { "The task failed." } else { "The task is in progress or done." };
        json!({
            "@odata.id": path, "@odata.type": "#Task.v1_5_1.Task", "Id": self.id, "Name": self.name,
            "TaskState": self.state(), "TaskStatus": if self.failed { "Critical" } else { "OK" },
            "PercentComplete": self.percent, "TaskMonitor": format!("{MONITORS}/{}", self.id),
            "Messages": [{ "MessageId": "Base.1.8.GeneralError", "Message": message }],
        })
    }

    /// The same as one of an iDRAC's jobs.
    pub fn job(&self, path: &str) -> Value {
        let state = match self.state() {
            "Completed" => "Completed",
            "Exception" => "Failed",
            "Running" => "Running",
            _ => "Scheduled",
        };
        json!({
            "@odata.id": path, "Id": self.id, "Name": self.name, "JobState": state, "PercentComplete": self.percent,
            "JobType": "BIOSConfiguration", "Message": "", "TargetSettingsURI": null,
        })
    }
}

impl Bmc {
    pub(super) fn starts(&self, machine: &dyn Chassis) -> u64 {
        self.restarts + u64::from(machine.starts())
    }

    /// Whether a job for the BIOS is there and has not ended.
    pub(super) fn bios_job(&self) -> bool {
        self.tasks.iter().any(|task| matches!(task.work, Some(Work::Bios)))
    }

    /// Whether at this path there is a task that runs and that is answered with 202.
    pub(super) fn runs(&self, path: &str) -> bool {
        let id = path.strip_prefix(TASKS).and_then(|rest| rest.strip_prefix('/'));
        let ours = |id| self.tasks().find(|task| task.id == id);
        self.config.vendor == Vendor::Dell && id.and_then(ours).is_some_and(|task| !task.ended())
    }

    pub(super) fn begin(&mut self, name: &'static str, work: Work, when: When, lasts: Duration, visible: bool) {
        let number = self.tasks.len() + 1;
        let id = if self.config.vendor == Vendor::Dell { format!("JID_{number:012}") } else { number.to_string() };
        let (begun, work) = (None, Some(work));
        self.tasks.push(Task { id, name, work, when, begun, lasts, percent: 0, failed: false, made: None, visible });
        let old = self.tasks.iter().filter(|task| task.visible && task.ended()).count();
        if old > REMEMBERED
            && let Some(oldest) = self.tasks.iter_mut().find(|task| task.visible && task.ended())
        {
            oldest.visible = false;
        }
    }

    /// 202 for the task that was just begun: an iDRAC points to the task, others to a task monitor.
    pub(super) fn accepted(&self) -> Response {
        let Some(task) = self.tasks.last() else { return Response::error(500, "there is no task") };
        let (path, monitor) = (format!("{TASKS}/{}", task.id), format!("{MONITORS}/{}", task.id));
        match self.config.vendor {
            Vendor::Dell => Response::new(202, None).with("Location", path),
            _ => Response::new(202, Some(task.body(&path))).with("Location", monitor),
        }
    }

    /// A task monitor: 202 while the task goes on, then what the request would have been answered with.
    pub(super) fn task_monitor(&self, path: &str) -> Option<Response> {
        let id = path.strip_prefix(MONITORS)?.strip_prefix('/')?;
        let task = self.tasks().find(|task| task.id == id)?;
        let body = task.body(&format!("{TASKS}/{id}"));
        Some(match (task.ended(), task.failed, &task.made) {
            (false, ..) => Response::new(202, Some(body)).with("Location", path.to_owned()),
            (true, true, _) => Response::error(500, "the task failed"),
            (true, false, Some(made)) => Response::new(201, None).with("Location", made.clone()),
            (true, false, None) => Response::new(200, Some(body)),
        })
    }

    pub(super) fn tick(&mut self, machine: &mut dyn Chassis, now: Time) {
        if self.tasks.iter().all(Task::ended) {
            return;
        }
        let starts = self.starts(machine);
        let on = machine.power() == PowerState::On;
        let mut due = Vec::new();
        for (index, task) in self.tasks.iter_mut().enumerate().filter(|(_, task)| task.work.is_some()) {
            let may = match task.when {
                When::Now => true,
                When::Powered => on,
                When::Restarted(since) => on && starts > since,
            };
            if may && task.begun.is_none() {
                task.begun = Some(now);
            }
            let Some(begun) = task.begun else { continue };
            let spent = now.since(begun);
            let of = task.lasts.as_millis().max(1);
            task.percent = u32::try_from(spent.as_millis() * 100 / of).unwrap_or(100).min(99);
            if spent >= task.lasts {
                due.push((index, begun + task.lasts));
            }
        }
        for (index, at) in due {
            self.end(machine, at, index);
        }
    }

    fn end(&mut self, machine: &mut dyn Chassis, now: Time, index: usize) {
        let Some(work) = self.tasks[index].work.take() else { return };
        self.tasks[index].percent = 100;
        if self.tasks[index].visible && machine.faults().fires(Fault::BmcTaskFails) {
            self.tasks[index].failed = true;
            if matches!(work, Work::Bios) {
                self.pending.clear();
            }
            return;
        }
        match work {
            Work::Bios => {
                self.bios.append(&mut self.pending);
                self.tally.configured += 1;
            }
            Work::MakeVolume(volume) => self.tasks[index].made = self.add_volume(volume),
            Work::DeleteVolume(number) => self.remove_volume(machine, now, number),
            Work::Change(request) => {
                let path = request.path.trim_end_matches('/').to_owned();
                let response = match request.method.as_str() {
                    "PATCH" => self.patch(machine, now, &path, &request),
                    "POST" => self.post(machine, now, &path, &request),
                    _ => self.delete_volume(machine, now, &path),
                };
                self.tasks[index].failed = response.status >= 400;
            }
        }
    }
}
