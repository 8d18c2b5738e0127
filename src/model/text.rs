//! Spans of time and lists of names, as people say them.

use std::time::Duration;

/// A span of time: `42s`, `5m`, `3h7m`, `4d2h`.
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let two = |big: u64, unit: &str, small: u64, sub: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{sub}"),
    };
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// The first `most` of these names, and how many more there are: `hv1, hv2 and 3 more`.
pub fn some<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let shown = names.iter().take(most).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let said = [5, 119, 120, 7199, 7200, 7320, 172_800, 180_000].map(|s| span(Duration::from_secs(s)));
        assert_eq!(said, ["5s", "119s", "2m", "119m", "2h", "2h2m", "2d", "2d2h"]);
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!((some(&["a", "b"], 2), some(&["a", "b", "c"], 1)), ("a, b".into(), "a and 2 more".into()));
    }
}
