//! "Did you mean": the known word that a misspelt one is nearest to.

/// How many candidates one word is compared with: with ten thousand wrong names, comparing all would take minutes.
const MAX_CANDIDATES: usize = 200;

/// The candidate that `word` probably means. Case, and hyphen or underscore, make no difference.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > 64 {
        return None;
    }
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let word = plain(word);
    let ranked = candidates.into_iter().take(MAX_CANDIDATES);
    let ranked = ranked.map(|known| (strsim::osa_distance(&word, &plain(known)), known));
    ranked.min_by_key(|(distance, _)| *distance).filter(|(distance, _)| *distance <= allowed).map(|(_, known)| known)
}

/// A hint that names the nearest candidate; `otherwise` when none is near.
pub fn did_you_mean<'c, S: Into<String>>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
    otherwise: impl FnOnce() -> S,
) -> String {
    match nearest(word, candidates) {
        Some(near) => format!("did you mean `{near}`?"),
        None => otherwise().into(),
    }
}

/// The hint for an unknown key that is like none.
pub fn known_keys<'c>(known: impl Iterator<Item = &'c str>) -> String {
    format!("known keys: {}", known.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_recognized() {
        let known = ["hostname", "generation", "state", "poll_interval", "branch"];
        assert_eq!(nearest("hostnmae", known), Some("hostname"));
        assert_eq!(nearest("host_name", known), Some("hostname"));
        assert_eq!(nearest("poll_intervall", known), Some("poll_interval"));
        assert_eq!(nearest("brnach", known), Some("branch"));
        assert_eq!(nearest("frobnicate", known), None);
        assert_eq!(nearest("", known), None);
    }
}
