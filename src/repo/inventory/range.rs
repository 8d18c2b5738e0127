//! Ranges in host names.

use super::MAX_HOSTS;

/// Host names of a pattern: `hv[1:3]`, `hv[01:10:2]`, `rack[a:c]-hv[1:2]`.
pub fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let Some((head, rest)) = pattern.split_once('[') else {
        return if pattern.is_empty() { Err("a host has no name".into()) } else { Ok(vec![pattern.to_string()]) };
    };
    let bad = || format!("`{pattern}` has a range that is not [1:3], [01:10], [a:c] or [1:9:2]");
    let (range, tail) = rest.split_once(']').ok_or_else(bad)?;
    let parts: Vec<_> = range.split(':').collect();
    let (first, last, step) = match parts.as_slice() {
        [first, last] => (*first, *last, 1),
        [first, last, step] => (*first, *last, step.parse::<usize>().map_err(|_| bad())?),
        _ => return Err(bad()),
    };
    if step == 0 {
        return Err(bad());
    }
    let middles = range_values(first, last, step).ok_or_else(bad)?;
    let tails = if tail.is_empty() { vec![String::new()] } else { expand(tail)? };
    if middles.len().saturating_mul(tails.len()) > MAX_HOSTS {
        return Err(format!("`{pattern}` stands for too many hosts"));
    }
    let names = middles.iter().flat_map(|middle| tails.iter().map(move |tail| format!("{head}{middle}{tail}")));
    Ok(names.collect())
}

fn range_values(first: &str, last: &str, step: usize) -> Option<Vec<String>> {
    let first = if first.is_empty() { "0" } else { first };
    if let (Ok(from), Ok(to)) = (first.parse::<u32>(), last.parse::<u32>()) {
        let padded = first.len() > 1 && first.starts_with('0');
        let width = if padded { first.len() } else { 0 };
        if (padded && first.len() != last.len()) || from > to || (to - from) as usize / step >= MAX_HOSTS {
            return None;
        }
        return Some((from..=to).step_by(step).map(|n| format!("{n:0width$}")).collect());
    }
    let letter = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii_alphabetic() => Some(*byte),
        _ => None,
    };
    let (from, to) = (letter(first)?, letter(last)?);
    if from > to || from.is_ascii_lowercase() != to.is_ascii_lowercase() {
        return None;
    }
    Some((from..=to).step_by(step).map(|byte| char::from(byte).to_string()).collect())
}
