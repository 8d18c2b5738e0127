//! Commands in the documents: what begins with `rackwright` is read by the real command line.

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use rackwright::cli::Cli;

use super::blocks::{Block, fenced};
use super::pages;

/// The commands of a block: after `$ ` or `# ` in `console`, every line in `sh`; continued lines are joined.
pub fn commands(block: &Block) -> Vec<String> {
    let joined = block.text.replace("\\\n", " ");
    let lines = joined.lines();
    match block.info.split(' ').next() {
        Some("console") => lines
            .filter_map(|line| line.strip_prefix("$ ").or_else(|| line.strip_prefix("# ")))
            .map(str::to_owned)
            .collect(),
        Some("sh") if block.path().is_none() => lines.map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// The words of each `rackwright` command in a line, quotes taken off.
fn invocations(line: &str) -> Vec<Vec<String>> {
    let (mut all, mut words, mut word, mut quote) = (Vec::new(), Vec::new(), None::<String>, None);
    for c in line.chars().chain(['\n']) {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | ';' | '&' | '>' | '<' | '\n') => {
                words.extend(word.take());
                all.push(std::mem::take(&mut words));
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    all.push(words);
    let ours = all.into_iter().filter_map(|words| {
        let begin = words.iter().position(|word| !word.contains('=') && word != "sudo" && word != "time")?;
        let from_source = words[begin..].iter().map(String::as_str).collect::<Vec<_>>();
        match from_source[..] {
            ["rackwright", ..] => Some(words[begin..].to_vec()),
            ["cargo", "run", ..] => {
                let at = words.iter().position(|word| word == "--")?;
                Some(std::iter::once("rackwright".to_owned()).chain(words[at + 1..].iter().cloned()).collect())
            }
            _ => None,
        }
    });
    ours.collect()
}

fn mistakes(path: &str, text: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    for block in fenced(text) {
        for words in commands(&block).iter().flat_map(|line| invocations(line)) {
            let Err(error) = Cli::command().try_get_matches_from(&words) else { continue };
            if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                mistakes.push(format!("{path}:{}: {}\n{error}", block.line, words.join(" ")));
            }
        }
    }
    mistakes
}

#[test]
fn the_commands_shown_exist() {
    let wrong: Vec<String> = pages().iter().flat_map(|(path, text)| mistakes(path, text)).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    let bad = "```console\n$ sudo rackwright run --confg x\n$ A=b rackwright status | head; rackwright nothing\n```\n";
    assert_eq!(mistakes("x.md", bad).len(), 2);
    assert_eq!(invocations("rackwright explain 'a b' >x # rackwright"), [["rackwright", "explain", "a b"]]);
}

#[test]
fn commands_in_running_text_exist() {
    let words: Vec<String> = Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let mut wrong = Vec::new();
    for (path, text) in pages() {
        for code in text.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("rackwright ")) {
            let name = code.split_whitespace().next().unwrap_or_default();
            if !name.starts_with(['-', '…']) && !words.iter().any(|word| word == name) {
                wrong.push(format!("{path}: rackwright {code}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
