//! Blocks marked `console run` are run, one page after the other, and print what is shown.
//!
//! A page begins in a clone of the example repository, with the files that it shows. `…` in shown output stands for anything in a line, and a line of
//! its own for any lines. A page's blocks share their directory.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use super::blocks::fenced;
use super::{pages, root};

/// A command and what it is to print.
struct Shown {
    command: String,
    output: Vec<String>,
}

fn shown(text: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    for line in text.replace("\\\n", " ").lines() {
        match (line.strip_prefix("$ "), all.last_mut()) {
            (Some(command), _) => all.push(Shown { command: command.to_owned(), output: Vec::new() }),
            (None, Some(last)) => last.output.push(line.to_owned()),
            (None, None) => panic!("a block begins with a command: {line}"),
        }
    }
    all
}

/// Whether a line is as shown, where `…` stands for anything; how wide a column is does not matter.
fn is_line(shown: &str, line: &str) -> bool {
    let narrow = |text: &str| text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let (shown, line) = (narrow(shown), narrow(line));
    let mut parts = shown.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, inner)) = parts.split_last() else { return rest.is_empty() };
    for part in inner {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether output is as shown.
fn is_output(shown: &[String], lines: &[&str]) -> bool {
    match (shown.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first.trim() == "…" => {
            (0..=lines.len()).any(|skip| is_output(rest, &lines[skip..]))
        }
        (Some((first, rest)), Some((line, lines))) => is_line(first, line) && is_output(rest, lines),
        _ => false,
    }
}

/// A clone of the example repository, with the program on the path.
fn stage(dir: &Path) {
    let origin = dir.join("infra");
    let setup = format!(
        "cp -r {} {origin} && cd {origin} && git init -q -b main && git add . && git commit -qm 'Define the clusters'",
        root().join("repo-schema/example").display(),
        origin = origin.display()
    );
    std::fs::create_dir(dir.join("bin")).unwrap();
    symlink(env!("CARGO_BIN_EXE_rackwright"), dir.join("bin/rackwright")).unwrap();
    let (_, good) = run(&setup, dir, dir);
    assert!(good, "the example repository");
}

fn run(command: &str, dir: &Path, at: &Path) -> (String, bool) {
    let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .args(["-c", &format!("{{ {command}\n}} 2>&1")])
        .current_dir(at)
        .env("PATH", path)
        .env("HOME", dir)
        .env_remove("RUST_LOG")
        .envs(
            ["AUTHOR", "COMMITTER"]
                .iter()
                .flat_map(|who| [(format!("GIT_{who}_NAME"), "ops"), (format!("GIT_{who}_EMAIL"), "ops@example.net")]),
        )
        .output()
        .expect("sh");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
}

/// Writes a file that a page shows; every one may be a program.
fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a directory")).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn walk(path: &str, text: &str) -> Vec<String> {
    let blocks = fenced(text);
    let mut wrong = Vec::new();
    if !blocks.iter().any(|block| block.info == "console run") {
        return wrong;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut at = dir.path().join("infra");
    stage(dir.path());
    for block in &blocks {
        if let Some(path) = block.path() {
            put(&at.join(path), &block.text);
        }
    }
    for block in blocks.iter().filter(|block| block.info == "console run") {
        for shown in shown(&block.text) {
            if let Some(to) = shown.command.strip_prefix("cd ") {
                at.push(to);
                continue;
            }
            let (output, _) = run(&shown.command, dir.path(), &at);
            let lines: Vec<&str> = output.lines().collect();
            if !is_output(&shown.output, &lines) {
                wrong.push(format!("{path}:{}: `{}` prints\n{output}", block.line, shown.command));
            }
        }
    }
    wrong
}

#[test]
fn what_commands_print_is_as_shown() {
    let wrong: Vec<String> = pages().iter().flat_map(|(path, text)| walk(path, text)).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert_eq!(walk("x.md", "```console run\n$ echo a; echo b; echo cd\na\n…\nc…\n$ echo x\ny\n```\n").len(), 1);
}

#[test]
fn an_ellipsis_stands_for_anything() {
    assert!(is_line("a…c", "abbbc") && is_line("a…", "a") && is_line("…b…", "abc") && !is_line("a…c", "abd"));
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(is_output(&lines("a\n…\nd"), &["a", "b", "c", "d"]) && !is_output(&lines("a\n…\nd"), &["a", "b"]));
    assert!(is_output(&[], &[]) && !is_output(&[], &["a"]));
}
