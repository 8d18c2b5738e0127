//! What pvc-installer's shell makes of an answer file: `NAME=value` lines, quoted as bash quotes.

use std::collections::BTreeMap;

/// The variables that sourcing this text in bash would set, for files that do nothing but assign. Anything that bash
/// would run or expand (`$(…)`, backticks, `;`, a second word) is an error: an answer file never needs it, so it can
/// only be a value that was not quoted.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut vars = BTreeMap::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(&first) = rest.peek() else { return Ok(vars) };
        if first == '#' {
            while rest.next_if(|c| *c != '\n').is_some() {}
            continue;
        }
        let mut name = String::new();
        while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        if name.is_empty() || rest.next() != Some('=') {
            return Err(format!("`{name}…` is not an assignment"));
        }
        let value = if rest.peek() == Some(&'(') { array(&mut rest)? } else { word(&mut rest, &name)? };
        vars.insert(name, value);
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// `( … )`, kept as text; no array matters to the simulation.
fn array(rest: &mut Chars<'_>) -> Result<String, String> {
    let mut text = String::new();
    for c in rest.by_ref() {
        text.push(c);
        if c == ')' {
            return Ok(text);
        }
    }
    Err("`(` without `)`".into())
}

/// One bash word: bare, `'…'`, `"…"` and `\x` parts in a row.
fn word(rest: &mut Chars<'_>, name: &str) -> Result<String, String> {
    let mut value = String::new();
    while let Some(c) = rest.next() {
        match c {
            '\n' => return Ok(value),
            ' ' | '\t' | '\r' => return end_of_line(rest, name).map(|()| value),
            '\'' => single(rest, &mut value)?,
            '"' => double(rest, &mut value)?,
            '\\' => value.extend(rest.next().filter(|c| *c != '\n')),
            '$' | '`' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => {
                return Err(format!("the value of {name} is not quoted: bash would act on `{c}`"));
            }
            c => value.push(c),
        }
    }
    Ok(value)
}

/// Nothing but blanks or a comment may follow a word.
fn end_of_line(rest: &mut Chars<'_>, name: &str) -> Result<(), String> {
    while rest.next_if(|c| matches!(c, ' ' | '\t' | '\r')).is_some() {}
    match rest.peek() {
        None | Some('\n' | '#') => Ok(()),
        Some(_) => Err(format!("the value of {name} is not quoted: bash would run what follows the blank")),
    }
}

fn single(rest: &mut Chars<'_>, value: &mut String) -> Result<(), String> {
    for c in rest.by_ref() {
        if c == '\'' {
            return Ok(());
        }
        value.push(c);
    }
    Err("`'` is not closed".into())
}

fn double(rest: &mut Chars<'_>, value: &mut String) -> Result<(), String> {
    while let Some(c) = rest.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match rest.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => value.push(c),
                Some('\n') | None => {}
                Some(c) => value.extend(['\\', c]),
            },
            '$' | '`' => return Err(format!("bash would expand `{c}` inside double quotes")),
            c => value.push(c),
        }
    }
    Err("`\"` is not closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_installer_reads() {
        let text = "# by hand\ndebrelease=\"bookworm\"\ntarget_disk='detect:INTEL:480GB:0' # first\n\
                    a=it\\'s\\ 'o k'\"!\"\ntarget_consoles=( \"tty0\" )\nempty=\nuri=http://10.0.0.1:9999/checkin/host\n";
        let vars = parse(text).unwrap();
        assert_eq!(vars["target_disk"], "detect:INTEL:480GB:0");
        assert_eq!(vars["a"], "it's o k!");
        assert_eq!(vars["empty"], "");
        assert_eq!(vars["uri"], "http://10.0.0.1:9999/checkin/host");
    }

    #[test]
    fn refuses_what_bash_would_run() {
        for text in ["a=$(reboot)", "a=\"`reboot`\"", "a=b; reboot", "a=b reboot", "reboot", "a='open"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_single_quoted_value_comes_back(value in "[^']{0,60}") {
            let vars = parse(&format!("a='{value}'\nb=1\n")).unwrap();
            prop_assert_eq!(&vars["a"], &value);
        }
    }
}
