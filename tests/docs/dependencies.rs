//! Every dependency has its reason in `docs/explanation/dependencies.md`.

use super::page;

#[test]
fn every_dependency_has_its_reason() {
    let manifest = include_str!("../../Cargo.toml");
    let dependencies = manifest.split("dependencies]\n").skip(1).flat_map(|part| {
        part.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(" = ")).map(|(name, _)| name)
    });
    let dependencies: Vec<_> = dependencies.collect();
    let page = page("docs/explanation/dependencies.md");
    let table = page.split("## What is used, and for what").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let named: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    let named: Vec<_> = named.iter().flat_map(|cell| cell.split(", ")).collect();
    let missing: Vec<_> = dependencies.iter().filter(|name| !named.contains(name)).collect();
    assert_eq!(missing, Vec::<&&str>::new());
    let gone: Vec<_> =
        named.iter().filter(|name| !["crate", "---"].contains(name) && !dependencies.contains(name)).collect();
    assert_eq!(gone, Vec::<&&str>::new(), "named, and not used");
}
