//! The words of a status commit: the subject says what moved, the trailers are for machines.

use std::fmt::Write as _;

use crate::model::{Move, MoveKind, World};

/// Subjects longer than this are cut by most viewers.
const SUBJECT: usize = 72;

/// The message of the commit that brings the status branch from change number `after` to `upto`.
pub fn commit_message(world: &World, after: u64, upto: u64) -> String {
    let news: Vec<&Move> = world.moves.recent.iter().filter(|entry| entry.seq > after && entry.seq <= upto).collect();
    let mut text = subject(&news, world);
    text.push_str("\n\n");
    if news.len() > 1 {
        for entry in &news {
            let (from, to) = entry.change.words();
            _ = writeln!(text, "{} {}: {from} -> {to}", entry.at, entry.subject);
        }
        text.push('\n');
    }
    if let Some(revision) = world.desired.as_ref().and_then(|desired| desired.revision.as_ref()) {
        _ = writeln!(text, "Observed-Revision: {revision}");
    }
    if let Some(rejected) = &world.rejected {
        _ = writeln!(text, "Rejected-Revision: {}", rejected.revision);
    }
    for entry in &news {
        let key = match entry.change.kind() {
            MoveKind::Host => "Transition",
            MoveKind::Cluster => "Cluster-Transition",
            MoveKind::Task => "Task-Result",
            MoveKind::Repository => "Repository-Transition",
            MoveKind::Condition => "Condition",
        };
        let (from, to) = entry.change.words();
        _ = writeln!(text, "{key}: {} {from} -> {to}", entry.subject);
    }
    text
}

fn subject(news: &[&Move], world: &World) -> String {
    let mut parts: Vec<String> = Vec::new();
    // One host's steps in one commit read as one: hv1 init -> preparing.
    for entry in news {
        let phrase = phrase(entry);
        if !parts.contains(&phrase) {
            parts.push(phrase);
        }
    }
    let Some(first) = parts.first() else {
        let rejected = world.rejected.as_ref().map(|rejected| rejected.revision.short());
        return match rejected {
            Some(revision) => format!("rack: {revision} is refused"),
            None => "rack: status refreshed".to_owned(),
        };
    };
    let mut text = first.clone();
    for (index, part) in parts.iter().enumerate().skip(1) {
        let more = parts.len() - index;
        let tail = format!(", and {more} more");
        if text.len() + part.len() + 2 > SUBJECT.saturating_sub(if more > 1 { tail.len() } else { 0 }) {
            text.push_str(&tail);
            break;
        }
        text.push_str(", ");
        text.push_str(part);
    }
    text
}

fn phrase(entry: &Move) -> String {
    let (subject, (from, to)) = (&entry.subject, entry.change.words());
    match (entry.change.kind(), subject.split_once('/')) {
        (MoveKind::Host | MoveKind::Task | MoveKind::Condition, Some((cluster, rest))) => {
            format!("{cluster}: {rest} {from} -> {to}")
        }
        _ => format!("{subject}: {from} -> {to}"),
    }
}
