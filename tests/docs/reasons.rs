//! `docs/reference/reasons.md`: the enum of reasons.

use rackwright::model::{Reason, ReasonClass};

use super::generated::{code, hold, table};

#[test]
fn the_reasons_are_documented() {
    let (quiet, asking): (Vec<Reason>, Vec<Reason>) =
        Reason::ALL.iter().partition(|reason| matches!(reason.class(), ReasonClass::Ready | ReasonClass::Progress));
    let rows = |list: Vec<Reason>| {
        let row = |reason: Reason| {
            vec![
                code(reason.as_str()),
                reason.class().as_str().into(),
                reason.meaning().into(),
                sentence(reason.advice()),
            ]
        };
        table(&["reason", "class", "what happened", "what you can do"], list.into_iter().map(row))
    };
    hold("docs/reference/reasons.md", &[("asking", rows(asking)), ("quiet", rows(quiet))]);
}

/// With a capital letter: `explain` shows it after a colon.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}
