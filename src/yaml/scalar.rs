//! What one scalar is where a kind of value is wanted: the same answers for settings and repository.

use std::time::Duration;

use super::word::did_you_mean;
use super::{Node, Plain, Value, meaning};

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The finding's code.
    pub code: &'static str,
    /// What follows the key's name in a sentence: `must be text, not a list`.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

impl Refusal {
    /// Another kind of value than wanted.
    pub fn wrong_type(node: &Node, wanted: &str, hint: &str) -> Refusal {
        let message = format!("must be {wanted}, not {}", node.kind());
        Refusal { code: "wrong-type", message, hint: hint.into() }
    }

    fn out_of_range(message: String) -> Refusal {
        Refusal { code: "out-of-range", message, hint: "choose a number in that range".into() }
    }
}

/// Text, or an integer as it is written. What YAML 1.1 reads as something else, and prints differently, is refused.
pub fn text(node: &Node) -> Result<&str, Refusal> {
    let Value::Scalar { text, .. } = &node.value else {
        return Err(Refusal::wrong_type(node, "text", "write one word or a quoted text"));
    };
    match node.meaning() {
        Some(Plain::Text | Plain::Int(_)) | None => Ok(text),
        _ => {
            let hint = "without quotes YAML 1.1 (Ansible) reads it as something else";
            Err(Refusal {
                message: format!("must be text, not {}; put it in quotes", node.kind()),
                ..Refusal::wrong_type(node, "text", hint)
            })
        }
    }
}

/// A boolean, in any spelling of YAML 1.1.
pub fn boolean(node: &Node) -> Result<bool, Refusal> {
    if let Some(Plain::Bool(value)) = node.meaning() {
        return Ok(value);
    }
    let quoted = node.scalar().is_some_and(|(text, plain)| !plain && matches!(meaning(text), Plain::Bool(_)));
    let hint = match quoted {
        true => "remove the quotes: quoted, it is text, and text counts as true",
        false => "write yes or no",
    };
    Err(Refusal::wrong_type(node, "yes or no", hint))
}

/// A whole number between `min` and `max`, in decimal without leading zeros, quoted or not.
pub fn number(node: &Node, min: u64, max: u64) -> Result<u64, Refusal> {
    let text = node.scalar().map(|(text, _)| text).unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text != "0" && text.starts_with('0')) {
        return Err(Refusal::wrong_type(node, "a whole number", "write it in decimal, without leading zeros"));
    }
    let value = text.parse().ok().filter(|value| (min..=max).contains(value));
    value.ok_or_else(|| Refusal::out_of_range(format!("is {text}, but must be between {min} and {max}")))
}

/// A number that may have a fraction.
pub fn float(node: &Node, min: f64, max: f64) -> Result<f64, Refusal> {
    let value = match node.meaning() {
        Some(Plain::Int(value)) => Some(value as f64),
        Some(Plain::Float(value)) => Some(value),
        _ => node.scalar().and_then(|(text, plain)| if plain { None } else { text.parse().ok() }),
    };
    match value {
        Some(value) if value >= min && value <= max => Ok(value),
        Some(_) => Err(Refusal::out_of_range(format!("must be between {min} and {max}"))),
        None => Err(Refusal::wrong_type(node, "a number", "write it as 1 or 0.05")),
    }
}

/// One of some words. They are compared as written: `off` is a word here, quoted or not.
pub fn choice<T: Copy>(node: &Node, words: &[(&str, T)]) -> Result<T, Refusal> {
    let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
    let Some((text, _)) = node.scalar() else {
        return Err(Refusal::wrong_type(node, &format!("one of {}", names.join(", ")), "write one of these words"));
    };
    let known = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    known.ok_or_else(|| Refusal {
        code: "unknown-value",
        message: format!("is `{text}`, which is none of {}", names.join(", ")),
        hint: did_you_mean(text, names, || "write one of these words"),
    })
}

/// Longest duration that is accepted: ten years.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 86_400);

/// `30s`, `5m`, `1h30m`, `2d`, `500ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let read = || {
        let (mut rest, mut total) = (text, Duration::ZERO);
        while !rest.is_empty() {
            let (digits, unit) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
            let (unit, after) = unit.split_at(unit.bytes().take_while(u8::is_ascii_alphabetic).count());
            let millis = match unit {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            let part = digits.parse::<u64>().ok()?.checked_mul(millis)?;
            total = total.checked_add(Duration::from_millis(part)).filter(|total| *total <= MAX_DURATION)?;
            rest = after.trim_start();
        }
        (!text.is_empty()).then_some(total)
    };
    read().ok_or_else(|| format!("`{text}` is not a duration; write for example 30s, 5m, 1h or 1h30m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h", 3600), ("1h30m", 5400), ("2d", 172_800), ("0s", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "30", "s", "1y", "-1s", "99999999999999999999s", "1.5h", "9999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
