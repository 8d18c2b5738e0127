//! Comparing settings as they are written with those that a service has, without ever showing a value.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::model::Secret;
use crate::yaml::word::nearest;
use crate::yaml::{Plain, meaning};

/// What is to be changed, and what cannot be.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Attributes that differ, with what they should be, in the type that they have.
    pub set: Map<String, Value>,
    /// Attributes whose value does not fit their type: names, and what is wanted of a value.
    pub unfit: Vec<String>,
    pub notes: Vec<String>,
    /// Attributes that differ only in upper and lower case from what is set: probably misspelt.
    spelling: Vec<String>,
}

impl Difference {
    /// The part about attributes that are among these.
    pub(super) fn among(&self, attributes: &Map<String, Value>) -> Difference {
        let set = self.set.iter().filter(|(name, _)| attributes.contains_key(*name));
        let set = set.map(|(name, value)| (name.clone(), value.clone())).collect();
        let spelling = self.spelling.iter().filter(|name| attributes.contains_key(*name)).cloned().collect();
        Difference { set, spelling, ..Difference::default() }
    }

    /// What may be wrong with values that were refused.
    pub(super) fn hint(&self) -> String {
        match self.spelling.as_slice() {
            [] => String::new(),
            spelling => format!("; {}: as it is set already, but for upper and lower case", names(spelling.iter())),
        }
    }
}

/// Compares what is wanted with what there is.
pub(super) fn compare(wanted: &BTreeMap<String, Secret>, current: &Map<String, Value>) -> Difference {
    let mut difference = Difference::default();
    for (name, text) in wanted {
        let text = text.reveal();
        match current.get(name) {
            None => difference.notes.push(unknown(name, current)),
            Some(Value::Null) => {
                difference.notes.push(format!("`{name}` cannot be read (a password, or not in use), and is not set"));
            }
            Some(there) => match typed(text, there) {
                None => difference.unfit.push(format!("`{name}` takes {}", kind(there))),
                Some(value) if value == *there => {}
                Some(value) => {
                    if there.as_str().is_some_and(|there| there.eq_ignore_ascii_case(text)) {
                        difference.spelling.push(name.clone());
                    }
                    difference.set.insert(name.clone(), value);
                }
            },
        }
    }
    difference
}

/// A value as written, in the JSON type that the attribute has.
fn typed(text: &str, there: &Value) -> Option<Value> {
    match there {
        Value::Bool(_) => match meaning(text.trim()) {
            Plain::Bool(value) => Some(Value::Bool(value)),
            _ => None,
        },
        Value::Number(there) => {
            let number = text.trim().parse::<i64>().map(Number::from).ok();
            let number = number.or_else(|| Number::from_f64(text.trim().parse().ok()?))?;
            // 1800 and 1800.0 are the same setting.
            let same = number.as_f64() == there.as_f64();
            Some(Value::Number(if same { there.clone() } else { number }))
        }
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn kind(there: &Value) -> &'static str {
    match there {
        Value::Bool(_) => "yes or no",
        Value::Number(_) => "a number",
        _ => "no value that can be written here",
    }
}

fn unknown(name: &str, current: &Map<String, Value>) -> String {
    let close = |known: &&String| known.len().abs_diff(name.len()) <= 3;
    match nearest(name, current.keys().filter(close).map(String::as_str)) {
        Some(near) => format!("there is no `{name}`, which is not set; did you mean `{near}`?"),
        None => format!("there is no `{name}`, which is not set"),
    }
}

/// Names for people: the first few, and how many more.
pub(super) fn names<'n>(names: impl Iterator<Item = &'n String>) -> String {
    const SHOWN: usize = 8;
    let all: Vec<_> = names.map(String::as_str).collect();
    match all.len() {
        0..=SHOWN => all.join(", "),
        count => format!("{} and {} more", all[..SHOWN].join(", "), count - SHOWN),
    }
}

/// A text without these values, whole, as JSON writes them, or cut off at its end.
pub(super) fn scrub<'s>(text: &str, values: impl Iterator<Item = &'s Secret>) -> String {
    let mut forms: Vec<String> = Vec::new();
    for value in values {
        let value = value.reveal();
        let json = Value::from(value).to_string();
        forms.push(value.to_owned());
        forms.push(json[1..json.len() - 1].to_owned());
    }
    // The longest first: a value may be a part of another.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    let mut text = text.to_owned();
    for form in forms.iter().filter(|form| !form.is_empty()) {
        text = if form.len() > 3 { text.replace(form.as_str(), "***") } else { without_word(&text, form) };
    }
    for form in &forms {
        let cut = (3..form.len()).rev().filter(|at| form.is_char_boundary(*at)).find(|at| text.ends_with(&form[..*at]));
        if let Some(at) = cut {
            text.truncate(text.len() - at);
            text.push_str("***");
        }
    }
    text
}

/// Short values are removed as words only: they are in too many others.
fn without_word(text: &str, word: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let end = at + word.len();
        let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let before = rest[..at].chars().next_back().or_else(|| out.chars().next_back());
        let alone = !inside(before) && !inside(rest[end..].chars().next());
        out.push_str(&rest[..at]);
        out.push_str(if alone { "***" } else { word });
        rest = &rest[end..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect()
    }

    fn current() -> Map<String, Value> {
        let current = json!({ "NumLock": true, "Delay": 120, "Mode": "Uefi", "Password": null, "Ratio": 1.5 });
        current.as_object().unwrap().clone()
    }

    #[test]
    fn values_are_compared_in_the_type_that_is_there() {
        let right = wanted(&[("NumLock", "on"), ("Delay", "120"), ("Mode", "Uefi"), ("Ratio", "1.5")]);
        assert!(compare(&right, &current()).set.is_empty());
        let other = wanted(&[("NumLock", "Off"), ("Delay", "60"), ("Mode", "Bios"), ("Ratio", "2")]);
        let set = compare(&other, &current()).set;
        assert_eq!(Value::Object(set), json!({ "NumLock": false, "Delay": 60, "Mode": "Bios", "Ratio": 2 }));
        let words = wanted(&[("Mode", "on")]);
        assert_eq!(compare(&words, &current()).set["Mode"], "on", "as written, where text is wanted");
    }

    #[test]
    fn what_cannot_be_set_is_said_without_values() {
        let odd = wanted(&[("NumLock", "s3cret"), ("Delay", "s3cret"), ("Mdoe", "s3cret"), ("Password", "s3cret")]);
        let difference = compare(&odd, &current());
        assert!(difference.set.is_empty());
        assert_eq!(difference.unfit, ["`Delay` takes a number", "`NumLock` takes yes or no"]);
        assert_eq!(difference.notes.len(), 2);
        assert!(difference.notes[0].contains("did you mean `Mode`?"), "{:?}", difference.notes);
        assert!(!format!("{difference:?}").contains("s3cret"));
        let spelling = compare(&wanted(&[("Mode", "UEFI")]), &current());
        assert!(spelling.hint().contains("Mode") && !spelling.hint().contains("UEFI"));
    }

    #[test]
    fn values_are_taken_out_of_what_a_service_says() {
        let secrets = [Secret::new("hunter2"), Secret::new("on"), Secret::new("a\"b\\c"), Secret::new("")];
        let scrubbed = |text: &str| scrub(text, secrets.iter());
        assert_eq!(scrubbed("the value 'hunter2' is bad"), "the value '***' is bad");
        assert_eq!(scrubbed("the option on is not on the list"), "the option *** is not *** the list");
        assert_eq!(scrubbed(r#"the value a\"b\\c"#), "the value ***");
        assert_eq!(scrubbed("cut off: hunt"), "cut off: ***");
        assert_eq!(scrubbed("nothing in it"), "nothing in it");
    }
}
