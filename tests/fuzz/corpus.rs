//! Every file of the fuzzers' corpus through its entry, with overflow checks and assertions on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use crate::fuzz::entries::ENTRIES;

/// The files of a target's corpus, in order.
pub fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn the_whole_corpus_is_replayed() {
    for (target, entry) in ENTRIES {
        let files = corpus(target);
        assert!(!files.is_empty(), "tests/fuzz/corpus/{target} is empty");
        for (name, octets) in files {
            let outcome = catch_unwind(AssertUnwindSafe(|| entry(&octets)));
            assert!(outcome.is_ok(), "tests/fuzz/corpus/{target}/{name}");
        }
    }
}

#[test]
fn every_target_has_its_entry_and_its_corpus() {
    let manifest = include_str!("Cargo.toml");
    let mut targets: Vec<_> = manifest
        .split("[[bin]]")
        .skip(1)
        .map(|bin| bin.lines().find_map(|line| line.strip_prefix("name = ")).unwrap().trim_matches('"'))
        .collect();
    targets.sort_unstable();
    let mut entries: Vec<_> = ENTRIES.iter().map(|(name, _)| *name).collect();
    entries.sort_unstable();
    assert_eq!(targets, entries);
}
