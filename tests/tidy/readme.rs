//! What the README says about settings and dependencies is true.

use std::path::Path;

const README: &str = include_str!("../../README.md");

/// The text of the first fenced block in `language` that holds `word`, without its indentation.
fn block(language: &str, word: &str) -> String {
    let fence = format!("```{language}\n");
    let mut blocks =
        README.split(&fence).skip(1).filter_map(|rest| rest.split("```").next()).filter(|text| text.contains(word));
    let text = blocks.next().expect("such a block");
    text.lines().map(|line| line.strip_prefix("   ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_settings_shown_are_good() {
    let settings = rackwright::settings::parse(&block("yaml", "repository:"), Path::new("/etc/rackwright")).unwrap();
    assert_eq!(settings.network.subnets.len(), 1);
    assert_eq!(settings.repository.branch, "main");
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = include_str!("../../Cargo.toml");
    let dependencies = manifest.split("dependencies]\n").skip(1).flat_map(|part| {
        part.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(" = ")).map(|(name, _)| name)
    });
    let table = README.split("## Dependencies").nth(1).and_then(|rest| rest.split("## Not yet").next()).unwrap();
    let named: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    let named: Vec<_> = named.iter().flat_map(|cell| cell.split(", ")).collect();
    let missing: Vec<_> = dependencies.filter(|name| !named.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
