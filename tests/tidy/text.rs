//! Rust texts without what is not code, for the house's laws.

/// A text with comments blanked and literals emptied; line breaks stay. Enough of Rust's lexing for what is asked here.
pub fn code(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let starts = |at: usize, what: &str| what.chars().enumerate().all(|(n, c)| bytes.get(at + n) == Some(&c));
    while at < bytes.len() {
        let begin = at;
        let word_before = at > 0 && (bytes[at - 1].is_alphanumeric() || bytes[at - 1] == '_');
        if starts(at, "//") {
            at += bytes[at..].iter().take_while(|c| **c != '\n').count();
        } else if starts(at, "/*") {
            at += 2;
            while at < bytes.len() && !starts(at, "*/") {
                at += 1;
            }
            at = (at + 2).min(bytes.len());
        } else if !word_before && (starts(at, "r\"") || starts(at, "r#\"") || starts(at, "br\"") || starts(at, "br#\""))
        {
            let hashes = bytes[at..].iter().filter(|c| **c != 'b' && **c != 'r').take_while(|c| **c == '#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            at += bytes[at..].iter().take_while(|c| **c != '"').count() + 1;
            while at < bytes.len() && !starts(at, &end) {
                at += 1;
            }
            at = (at + end.len()).min(bytes.len());
        } else if bytes[at] == '"' {
            at += 1;
            while at < bytes.len() && bytes[at] != '"' {
                at += if bytes[at] == '\\' { 2 } else { 1 };
            }
            at = (at + 1).min(bytes.len());
        } else if starts(at, "'\\") {
            at += 3;
            at += bytes[at.min(bytes.len())..].iter().take_while(|c| **c != '\'').count() + 1;
        } else if bytes[at] == '\'' && bytes.get(at + 2) == Some(&'\'') {
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        at = at.min(bytes.len());
        out.extend(bytes[begin..at].iter().filter(|c| **c == '\n'));
        out.push(' ');
    }
    out
}

/// The code without its unit tests, which stand at the end of a file.
pub fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod ").next().unwrap_or(code)
}

pub fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

#[test]
fn blanking_keeps_code_only() {
    let text = "a /* x */ b \"c \\\" d\" 'e' '\\'' r#\"f \" g\"# <'h> // i\nj";
    assert_eq!(words(&code(text)).collect::<Vec<_>>(), ["a", "b", "h", "j"]);
}
