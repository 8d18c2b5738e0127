//! Texts that BMCs give: without control characters, and of bounded length.

/// Characters of one text that are kept.
const TEXT: usize = 200;

/// At most [`TEXT`] printable characters.
pub(super) fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT).collect()
}

/// The same of a text that says something, without blanks around it.
pub(super) fn meaningful(text: &str) -> Option<String> {
    Some(clip(text.trim())).filter(|text| !text.is_empty())
}
