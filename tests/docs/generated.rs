//! Parts of pages that are made from the code, between `<!-- generated: NAME -->` and `<!-- end -->`.

use std::fmt::Write as _;

use super::{page, root};

/// Holds the generated parts of a page against what the code says, or, with UPDATE_DOCS set, writes them.
pub fn hold(path: &str, parts: &[(&str, String)]) {
    let there = page(path);
    let mut wanted = there.clone();
    for (name, text) in parts {
        let (begin, end) = (format!("<!-- generated: {name} -->\n"), "<!-- end -->");
        let from = wanted.find(&begin).unwrap_or_else(|| panic!("{path} has no line {begin}")) + begin.len();
        let length = wanted[from..].find(end).unwrap_or_else(|| panic!("{path}: {name} has no {end}"));
        wanted.replace_range(from..from + length, &format!("\n{}\n\n", text.trim()));
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root().join(path), &wanted).expect("the page can be written");
        return;
    }
    let differs = there.lines().zip(wanted.lines()).find(|(there, wanted)| there != wanted);
    assert!(
        there == wanted,
        "{path} does not say what the code says: run `UPDATE_DOCS=1 tests/run docs`, and read the difference.\n{differs:#?}"
    );
}

/// A Markdown table.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = String::new();
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let _ = writeln!(text, "{}\n|{}", line(&head), "---|".repeat(head.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| one_line(cell)).collect();
        let _ = writeln!(text, "{}", line(&cells));
    }
    text
}

/// Text that a cell can hold.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// `word` in Markdown.
pub fn code(word: &str) -> String {
    format!("`{word}`")
}
