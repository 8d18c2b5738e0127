//! `docs/reference/command-line.md`: what clap knows.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};
use rackwright::cli::Cli;

use super::generated::{code, hold, table};

#[test]
fn the_command_line_is_documented() {
    let mut program = Cli::command().term_width(0);
    program.build();
    let global = arguments(program.get_arguments());
    let mut commands = String::new();
    for command in program.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help") {
        describe(command, &mut commands);
    }
    hold("docs/reference/command-line.md", &[("global options", global), ("commands", commands)]);
}

fn describe(command: &Command, text: &mut String) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let _ = writeln!(text, "## {name}\n\n{}.\n\n```text\n{usage}\n```\n", about.trim_end_matches('.'));
    let own = arguments(command.get_arguments().filter(|argument| !argument.is_global_set()));
    if !own.is_empty() {
        let _ = writeln!(text, "{own}");
    }
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help") {
        describe(inner, text);
    }
}

fn arguments<'a>(list: impl Iterator<Item = &'a Arg>) -> String {
    let shown =
        list.filter(|argument| !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version"));
    let rows: Vec<_> = shown.map(|argument| vec![code(&form(argument)), meaning(argument)]).collect();
    if rows.is_empty() { String::new() } else { table(&["argument", "meaning"], rows) }
}

/// `-v`, `--config <FILE>`, `<HOST>`
fn form(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let names: Vec<String> = names.iter().map(|name| format!("<{name}>")).collect();
    let value = if argument.get_action().takes_values() { names.join(" ") } else { String::new() };
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let options: Vec<String> = short.into_iter().chain(long).collect();
    [options.join(", "), value].iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ")
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or_else(|| argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut parts = vec![format!("{}.", help.trim_end_matches('.'))];
    let takes = argument.get_action().takes_values();
    let words: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|word| takes && !word.is_hide_set())
        .map(|word| match word.get_help() {
            Some(help) => format!("{} ({help})", code(word.get_name())),
            None => code(word.get_name()),
        })
        .collect();
    if !words.is_empty() {
        parts.push(format!("One of {}.", words.join(", ")));
    }
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| code(&value.to_string_lossy())).collect();
    if takes && !defaults.is_empty() {
        parts.push(format!("Default: {}.", defaults.join(", ")));
    }
    parts.join(" ")
}
