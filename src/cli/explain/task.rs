//! A host's cluster and its tasks, in words, and what a person can do about them.

use crate::cli::status::age;
use crate::model::Time;
use crate::plan::report::{ClusterStatus, TaskStatus};

/// What is told of a host's cluster.
pub fn about_cluster(cluster: &ClusterStatus, now: Time) -> Vec<String> {
    let counts: Vec<_> = cluster.hosts.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let condition = &cluster.condition;
    let mut lines = vec![format!(
        "Its cluster {} is {} ({}); {} ({}): {}.",
        cluster.cluster,
        cluster.state,
        counts.join(", "),
        condition.status.to_lowercase(),
        condition.reason,
        condition.message.trim_end_matches('.'),
    )];
    let words = cluster.tasks.iter().filter(|task| task.result != "pending" && task.result != "done");
    lines.extend(words.map(|task| about_task(task, cluster, now)));
    if let Some(files) = &cluster.write_back {
        let failed = files.message.as_ref().map(|why| format!("; the last push failed: {why}")).unwrap_or_default();
        let since = age(&files.since, now);
        lines.push(format!("Files of its playbook wait to be pushed to the watched branch, for {since}{failed}."));
    }
    lines.extend(cluster.notes.iter().map(|note| format!("Note on the cluster: {}.", note.trim_end_matches('.'))));
    lines
}

fn about_task(task: &TaskStatus, cluster: &ClusterStatus, now: Time) -> String {
    let mut text = format!("Task `{}`: {}", task.name, task.result);
    if let Some(at) = task.at.as_deref().filter(|_| task.result == "failed") {
        text.push_str(&format!(" {} ago", age(at, now)));
    }
    if let Some(progress) = cluster.progress.as_ref().filter(|_| task.result == "running") {
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
    if !task.covers.is_empty() && task.result == "failed" {
        let done: Vec<&str> = task.covers.keys().map(|id| &*id.host).collect();
        text.push_str(&format!(" It is done for {} and not run again there.", done.join(", ")));
    }
    if let Some(log) = &task.log {
        text.push_str(&format!(" Its log: {log} under state_dir, on the bootstrap host."));
    }
    text
}

/// What a person can do; nothing for reasons that are not about tasks.
pub fn advice(reason: &str) -> &'static str {
    match reason {
        "TaskFailed" | "TimedOut" | "HookFailed" | "HookTimedOut" | "OutcomeUnknown" => {
            "read the task's log, put right what made it fail, then raise cluster.run in bootstrap.yml and push. A \
             cluster that its playbook has half made is best installed anew first (raise the generation of its hosts)."
        }
        "Interrupted" => {
            "rackwright was restarted while a task ran, and how far that came is not known: read its log and look at the \
             hosts, then raise cluster.run and push. If everything was done, set cluster.ansible: none, or take the hook \
             out."
        }
        "Blocked" => "correct what the message names, in the repository or the settings; then it goes on.",
        "NotReady" | "TryAgain" => {
            "nothing, if the cluster's service is still coming up; else look at it on the host named."
        }
        "SshUnreachable" | "SshTimedOut" | "SshLost" | "Reaching" => {
            "see that the machine is switched on and up, and that its sshd answers at the address shown."
        }
        "HostKeyChanged" | "HostKeyRefused" => {
            "find out which machine answers at the host's address: that is what an impostor looks like, or an address \
             that another machine has taken. If its keys were made anew on purpose, install it anew (raise its \
             generation); if the right machine is back, it goes on by itself."
        }
        "SshDenied" | "SshRefused" => {
            "see that deploy.username exists on the host and has the public half of deploy.ssh_key in authorized_keys."
        }
        "NoDeployKey" | "SshKeyUnusable" => {
            "set deploy.ssh_key in rackwright.yaml to a private key that the daemon may read, and start it again."
        }
        "NoAddress" => "let the machine report or renew its lease: restart it.",
        "SudoRefused" => "let deploy.username run everything with sudo without a password on the host.",
        "RestartNotSeen" => {
            "its playbook ended well, but the restart that belongs to it was not seen: restart the hosts named, and look \
             at their consoles."
        }
        "GeneratedFiles" | "WriteBackBlocked" => {
            "see that the daemon can push to the watched branch; it is tried again."
        }
        _ => "",
    }
}
