//! Secrets in what programs say: replaced by stars, over the borders of pieces and for secrets of several lines.

use std::collections::BTreeSet;
use std::sync::Arc;

use aho_corasick::AhoCorasick;

use crate::model::Secret;

/// Shorter secrets, and shorter lines of secrets, are not looked for: replacing every `yes` helps nobody.
const SHORTEST: usize = 4;
/// What stands for a secret.
const STARS: &str = "***";

/// Finds secrets in text. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Mask {
    finder: Option<Arc<AhoCorasick>>,
    /// Length of the longest text that is looked for.
    longest: usize,
}

impl Mask {
    /// For these secrets: line by line, as they are, and as they look inside a JSON text, a Python text and a quoted
    /// word of a shell, which is how programs show them.
    pub fn new(secrets: &[Secret]) -> Mask {
        let mut words = BTreeSet::new();
        for line in secrets.iter().flat_map(|secret| secret.reveal().lines()) {
            let line = clean(line.trim().as_bytes());
            if line.chars().count() >= SHORTEST {
                let mut forms = BTreeSet::from([
                    line.replace('\\', "\\\\").replace('\'', "\\'"),
                    line.replace('\'', "'\\''"),
                    line.replace('\'', "'\"'\"'"),
                    json(&line),
                    line,
                ]);
                // A command that quotes it is itself shown as JSON.
                forms.extend(forms.clone().iter().map(|form| json(form)));
                words.extend(forms);
            }
        }
        let longest = words.iter().map(String::len).max().unwrap_or(0);
        // Fails only for more patterns than fit into memory.
        let finder = if words.is_empty() { None } else { AhoCorasick::new(&words).ok().map(Arc::new) };
        Mask { finder, longest }
    }

    /// The text with stars for every secret. Secrets that overlap are covered as one.
    pub fn apply(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut done = 0;
        for (start, end) in self.found(text) {
            masked.push_str(&text[done..start]);
            masked.push_str(STARS);
            done = end;
        }
        masked.push_str(&text[done..]);
        masked
    }

    /// How much of `text` can be masked for good while more of it is to come: what is left could be the beginning of a
    /// secret.
    pub fn settled(&self, text: &str) -> usize {
        if self.longest == 0 {
            return text.len();
        }
        let mut at = text.len().saturating_sub(self.longest - 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let across = self.found(text).into_iter().find(|(start, end)| *start < at && at < *end);
        across.map_or(at, |(start, _)| start)
    }

    /// Places of secrets, joined where they touch.
    fn found(&self, text: &str) -> Vec<(usize, usize)> {
        let Some(finder) = &self.finder else { return Vec::new() };
        let mut spots: Vec<(usize, usize)> =
            finder.find_overlapping_iter(text).map(|spot| (spot.start(), spot.end())).collect();
        spots.sort_unstable();
        let mut joined: Vec<(usize, usize)> = Vec::new();
        for (start, end) in spots {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => joined.push((start, end)),
            }
        }
        joined
    }
}

/// A text as it stands between the quotes of a JSON text.
fn json(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap_or_default();
    json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// Text of any bytes that is safe to show: what is not UTF-8 is replaced, control characters other than tabs and line
/// ends are left out, so that a program's output can neither command a terminal nor hide something from a reader.
pub fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(secrets: &[&str]) -> Mask {
        Mask::new(&secrets.iter().copied().map(Secret::new).collect::<Vec<_>>())
    }

    #[test]
    fn secrets_are_starred_wherever_and_however_they_stand() {
        let mask = mask(&["geheim", "heimlich", "no", "two\nli\"n'es", ""]);
        assert_eq!(mask.apply("a geheim, ungeheimer; no"), "a ***, un***er; no");
        assert_eq!(mask.apply("geheimlich!"), "***!", "neither of two that overlap shows");
        assert_eq!(mask.apply(r#"{"x": "li\"n'es"}"#), r#"{"x": "***"}"#);
        assert_eq!(mask.apply(r#"'li"n\'es' 'li"n'\''es'"#), "'***' '***'");
        assert_eq!(mask.apply("two"), "two", "too short to look for");
        assert_eq!(Mask::default().apply("anything"), "anything");
    }

    #[test]
    fn the_beginning_of_a_secret_is_kept_back() {
        let mask = mask(&["geheim"]);
        assert_eq!(mask.settled("0123456789"), 5);
        assert_eq!(mask.settled("0123geheim"), 4, "never in the middle of one");
        assert_eq!(mask.settled("äöüäöü"), 6, "nor of a letter");
        assert_eq!(Mask::default().settled("0123456789"), 10);
    }

    #[test]
    fn what_could_command_a_terminal_is_left_out() {
        assert_eq!(clean(b"a\x1b[2Jb\r\n\tc\x00\xff\xc2\x9b"), "a[2Jb\n\tc\u{fffd}");
    }
}
