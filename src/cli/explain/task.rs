//! A host's cluster and its tasks, in words.

use crate::cli::status::age;
use crate::model::status::{ClusterStatus, TaskStatus};
use crate::model::{TaskResult, Time};

/// What is told of a host's cluster.
pub fn about_cluster(cluster: &ClusterStatus, now: Time) -> Vec<String> {
    let counts: Vec<_> = cluster.hosts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let condition = &cluster.condition;
    let mut lines = vec![format!(
        "Its cluster {} is {} ({}); {} ({}): {}.",
        cluster.cluster,
        cluster.state,
        counts.join(", "),
        condition.status.as_str().to_lowercase(),
        condition.reason,
        condition.message.trim_end_matches('.'),
    )];
    let words = cluster.tasks.iter().filter(|task| !matches!(task.result, TaskResult::Pending | TaskResult::Done));
    lines.extend(words.map(|task| about_task(task, cluster, now)));
    if let Some(files) = &cluster.write_back {
        let failed = files.message.as_ref().map(|why| format!("; the last push failed: {why}")).unwrap_or_default();
        let since = age(files.since, now);
        lines.push(format!("Files of its playbook wait to be pushed to the watched branch, for {since}{failed}."));
    }
    lines.extend(cluster.notes.iter().map(|note| format!("Note on the cluster: {}.", note.trim_end_matches('.'))));
    lines
}

fn about_task(task: &TaskStatus, cluster: &ClusterStatus, now: Time) -> String {
    let mut text = format!("Task `{}`: {}", task.name, task.result);
    if let Some(at) = task.at.filter(|_| task.result == TaskResult::Failed) {
        text.push_str(&format!(" {} ago", age(at, now)));
    }
    if let Some(progress) = cluster.progress.as_ref().filter(|_| task.result == TaskResult::Running) {
        text.push_str(&format!(
            ", at `{}` of play `{}`, its task number {}",
            progress.task, progress.play, progress.tasks
        ));
        if !progress.failed.is_empty() {
            text.push_str(&format!("; failed so far: {}", progress.failed.join(", ")));
        }
    }
    if let Some(why) = &task.message {
        text.push_str(&format!(": {}", why.trim_end_matches('.')));
    }
    text.push('.');
    for (host, why) in &task.failed {
        text.push_str(&format!(" On {host}: {}.", why.trim_end_matches('.')));
    }
    if !task.covers.is_empty() && task.result == TaskResult::Failed {
        let done: Vec<&str> = task.covers.keys().map(|id| &*id.host).collect();
        text.push_str(&format!(" It is done for {} and not run again there.", done.join(", ")));
    }
    if let Some(log) = &task.log {
        text.push_str(&format!(" Its log: {log} under state_dir, on the bootstrap host."));
    }
    text
}
