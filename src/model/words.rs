//! Names that were misspelt: what was probably meant, and what there is.

/// So many names are listed at most.
const LISTED: usize = 12;

/// The known word that was probably meant.
pub fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count().max(3) / 3).min(4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// What to say of a name that is not there: ``did you mean `demo`? the server has: demo, etl``. `have`: who has the known
/// names.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, have: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return format!("{have} none");
    }
    let mut list = known.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    if known.len() > LISTED {
        list.push_str(&format!(" and {} more", known.len() - LISTED));
    }
    // A word of a thousand characters is no near miss of anything.
    match meant(word, known).filter(|_| !word.is_empty() && word.len() < 100) {
        Some(meant) => format!("did you mean `{meant}`? {}: {list}", capitalized(have)),
        None => format!("{have}: {list}"),
    }
}

fn capitalized(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_there_is_answered_with_what_there_is() {
        let many: Vec<String> = (0..15).map(|number| format!("job_number_{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (word, known, said) in [
            ("demp", &["etl", "demo"][..], "did you mean `demo`? The server has: etl, demo"),
            ("other", &["etl", "demo"], "the server has: etl, demo"),
            ("other", &[], "the server has none"),
            ("", &["a"], "the server has: a"),
        ] {
            assert_eq!(suggest(word, known.iter().copied(), "the server has"), said);
        }
        assert!(suggest("other", many, "it has").ends_with("job_number_11 and 3 more"));
    }
}
