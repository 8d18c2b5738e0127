//! What a playbook tells while it runs (`rackwright_events.py`): how far it is, and what went wrong where.
#![allow(missing_docs, reason = "names that say all have no comment")]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::model::{Progress, TaskNews, some};

/// The callback plugin that tells it.
pub(crate) const PLUGIN: &str = include_str!("rackwright_events.py");
pub(crate) const PLUGIN_NAME: &str = "rackwright_events.py";
/// A longer line is not one of ours.
const LONGEST: usize = 64 << 10;
/// Hosts that are named: as failed, and in a message.
const NAMED: (usize, usize) = (50, 5);

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Play { name: String },
    Task { name: String },
    Failed { host: String, task: String, message: String },
    Unreachable { host: String, task: String, message: String },
    Host { host: String, failed: u32, unreachable: u32 },
    End,
}

/// What went wrong on a host.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// The play and the task it was in.
    pub at: (String, String),
    pub message: String,
    pub unreachable: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Story {
    pub progress: Progress,
    changed: bool,
    /// The last trouble of each host; some of it may have been rescued.
    trouble: BTreeMap<String, Trouble>,
    /// Hosts that it has done something with, and whether they failed in the end.
    hosts: BTreeMap<String, bool>,
    /// The run has ended and reported every host.
    ended: bool,
}

impl Story {
    fn take(&mut self, line: &[u8]) {
        // Whatever else somebody writes into the pipe is nothing to us.
        let Ok(event) = serde_json::from_slice(line) else { return };
        let at = || (self.progress.play.clone(), self.progress.task.clone());
        match event {
            Event::Play { name } => {
                self.progress.play = name;
                self.progress.task.clear();
                self.changed = true;
            }
            Event::Task { name } => {
                self.progress.task = name;
                self.progress.tasks = self.progress.tasks.saturating_add(1);
                self.changed = true;
            }
            Event::Failed { host, task, message } => {
                let trouble = Trouble { at: (at().0, task), message, unreachable: false };
                self.fails(host, trouble);
            }
            Event::Unreachable { host, task, message } => {
                let trouble = Trouble { at: (at().0, task), message, unreachable: true };
                self.fails(host, trouble);
            }
            Event::Host { host, failed, unreachable } => _ = self.hosts.insert(host, failed + unreachable > 0),
            Event::End => self.ended = true,
        }
    }

    fn fails(&mut self, host: String, trouble: Trouble) {
        if self.progress.failed.len() < NAMED.0 && !self.progress.failed.contains(&host) {
            self.progress.failed.push(host.clone());
        }
        self.trouble.insert(host, trouble);
        self.changed = true;
    }

    /// How far it is, if that has changed since it was asked last.
    pub fn news(&mut self) -> Option<TaskNews> {
        std::mem::take(&mut self.changed).then(|| TaskNews::Progress(self.progress.clone()))
    }

    pub(crate) fn has_news(&self) -> bool {
        self.changed
    }

    /// `names`, when a run that has come to its end did nothing with any of them: no play was for them. Of single hosts that
    /// cannot be told, for tasks with `run_once` leave the others out.
    pub(crate) fn untouched<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
        let names: Vec<_> = names.collect();
        let touched = !self.ended || names.iter().any(|name| self.hosts.contains_key(*name));
        if touched { Vec::new() } else { names }
    }

    /// What went wrong, for people: `play …, task …: hosts: message`, the first three different ones.
    pub fn troubles(&self) -> Option<String> {
        let mut same: Vec<(&Trouble, Vec<&str>)> = Vec::new();
        for (host, trouble) in &self.trouble {
            if self.ended && self.hosts.get(host) != Some(&true) {
                continue; // rescued
            }
            match same.iter_mut().find(|(known, _)| *known == trouble) {
                Some((_, hosts)) => hosts.push(host),
                None => same.push((trouble, vec![host])),
            }
        }
        let told: Vec<String> = same.iter().take(3).map(|(trouble, hosts)| tell(trouble, hosts)).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

fn tell(trouble: &Trouble, hosts: &[&str]) -> String {
    let (play, task) = &trouble.at;
    let names = some(hosts, NAMED.1);
    let line = trouble.message.lines().next().unwrap_or_default();
    let unreachable = if trouble.unreachable { "cannot be reached: " } else { "" };
    format!("play `{play}`, task `{task}`: {names}: {unreachable}{}", line.chars().take(400).collect::<String>())
}

/// The pipe that events come through.
pub struct Watch {
    pipe: pipe::Receiver,
    line: Vec<u8>,
    pub story: Story,
}

impl Watch {
    /// Makes the pipe.
    pub fn open(path: &Path) -> io::Result<Watch> {
        mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?;
        // Open for writing as well, it never ends: the plugin may come and go.
        let pipe = pipe::OpenOptions::new().read_write(true).open_receiver(path)?;
        Ok(Watch { pipe, line: Vec::new(), story: Story::default() })
    }

    /// Waits for more, and takes it. May be dropped while it waits.
    pub async fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let count = self.pipe.read(&mut buffer).await?;
        self.feed(&buffer[..count]);
        Ok(())
    }

    /// Takes what is there, once nobody writes any more.
    pub fn rest(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.pipe.try_read(&mut buffer) {
            self.feed(&buffer[..count]);
        }
    }

    fn feed(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() < LONGEST {
                self.line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                self.story.take(&std::mem::take(&mut self.line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(lines: &[&str]) -> Story {
        let mut story = Story::default();
        lines.iter().for_each(|line| story.take(line.as_bytes()));
        story
    }

    #[test]
    fn trouble_is_told_once_for_all_it_happened_to() {
        let failed = |host: &str| format!(r#"{{"event":"failed","host":"{host}","task":"t","message":"no\nmore"}}"#);
        let lines = [
            r#"{"event":"play","name":"p"}"#,
            r#"{"event":"task","name":"t"}"#,
            &failed("hv1"),
            &failed("hv2"),
            &failed("hv3"),
            r#"{"event":"unreachable","host":"hv4","task":"t","message":"down"}"#,
            "rubbish",
            r#"{"event":"host","host":"hv1","failed":1,"unreachable":0}"#,
            r#"{"event":"host","host":"hv2","failed":1,"unreachable":0}"#,
            r#"{"event":"host","host":"hv3","failed":0,"unreachable":0}"#,
            r#"{"event":"host","host":"hv4","failed":0,"unreachable":1}"#,
            r#"{"event":"end"}"#,
        ];
        let story = story(&lines);
        let told = "play `p`, task `t`: hv1, hv2: no; play `p`, task `t`: hv4: cannot be reached: down";
        assert_eq!(story.troubles().as_deref(), Some(told), "hv3 was rescued");
        assert_eq!(story.progress.failed, ["hv1", "hv2", "hv3", "hv4"]);
        assert_eq!(story.untouched(["hv1", "hv5"].into_iter()), Vec::<&str>::new());
        assert_eq!(story.untouched(["hv5", "hv6"].into_iter()), ["hv5", "hv6"]);
    }

    #[test]
    fn without_an_end_nothing_is_concluded_from_it() {
        let story = story(&[r#"{"event":"failed","host":"hv1","task":"t","message":"no"}"#]);
        assert!(story.troubles().unwrap().contains("hv1: no"));
        assert_eq!(story.untouched(["hv5"].into_iter()), Vec::<&str>::new());
    }
}
