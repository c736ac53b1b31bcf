//! Lists that fit a screen: what is alike stands once, with the names of all that it is of. `report.json` has each by itself.

use std::collections::BTreeSet;

use indexmap::IndexMap;

use crate::{audit::Audit, model::Verdict};

/// So many alike stand each by itself; more become one line.
const FEW: usize = 2;
/// So many names or ranges of numbers a line has.
const MOST_NAMES: usize = 4;
/// The verdict's sentence has about so many characters at most.
const SENTENCE: usize = 300;
/// One of several parts of it.
const PART: usize = 140;

/// Some things that are alike, or one by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// Which of those that were given, by their places.
    pub places: Vec<usize>,
    /// In a sentence.
    pub message: String,
}

/// Folds messages; those with different labels are never alike. The order is that of the first of each.
pub fn fold<'a>(messages: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Folded> {
    let mut groups: IndexMap<(&str, String), Vec<(usize, Said<'_>)>> = IndexMap::new();
    for (place, (label, message)) in messages.enumerate() {
        let said = Said::of(message);
        groups.entry((label, said.alike.clone())).or_default().push((place, said));
    }
    let mut folded: Vec<Folded> = vec![];
    for group in groups.into_values() {
        if group.len() > FEW && group[0].1.subject != Subject::None {
            let places = group.iter().map(|(place, _)| *place).collect();
            folded.push(Folded { places, message: together(&group) });
        } else {
            let alone =
                |(place, said): (usize, Said<'_>)| Folded { places: vec![place], message: said.message.to_owned() };
            folded.extend(group.into_iter().map(alone));
        }
    }
    folded
}

/// The same as plain lines.
pub fn lines<'a>(messages: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    fold(messages).into_iter().map(|folded| folded.message).collect()
}

/// What an audit lacks for a pass, line by line.
pub fn gaps(audit: &Audit) -> Vec<String> {
    lines(audit.gaps.iter().map(|gap| (gap.reason, gap.message.as_str())))
}

/// What an audit found, line by line.
pub fn findings(found: &[crate::audit::Finding]) -> Vec<String> {
    lines(found.iter().map(|finding| ("", finding.message.as_str())))
}

/// The verdict in one sentence that can be read on a screen: of long lists it has the begin.
pub fn sentence(audit: &Audit) -> String {
    match audit.verdict {
        Verdict::Passed => audit.summary(),
        Verdict::Failed => {
            let (count, folded) = (audit.findings.len(), findings(&audit.findings));
            match &folded[..] {
                [] => audit.summary(),
                [only] => shortened(only, SENTENCE),
                [first, ..] => shortened(&format!("{count} findings; the first: {first}"), SENTENCE),
            }
        }
        Verdict::Unknown | Verdict::Stopped => not_proved(&gaps(audit)),
    }
}

fn not_proved(gaps: &[String]) -> String {
    let mut text = "not proved: ".to_owned();
    for (place, gap) in gaps.iter().enumerate() {
        let left = gaps.len() - place;
        let part = shortened(gap, if gaps.len() == 1 { SENTENCE } else { PART });
        if place > 0 && text.chars().count() + part.chars().count() > SENTENCE {
            text.push_str(&format!("; and {left} more"));
            break;
        }
        text.push_str(if place > 0 { "; " } else { "" });
        text.push_str(&part);
    }
    text
}

/// Cut at a word, where it is longer than `most` characters.
pub fn shortened(text: &str, most: usize) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else { return text.to_owned() };
    let cut = text[..end].rfind(' ').filter(|at| *at > end / 2).unwrap_or(end);
    format!("{} …", text[..cut].trim_end_matches([' ', ',', ';', ':']))
}

/// Some names, and how many more there are.
pub fn some(names: &[String], most: usize) -> String {
    match names.len().saturating_sub(most) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names[..most].join(", ")),
    }
}

/// What a message is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// A key, by the number of its arrival.
    Arrival(u32),
    Run,
    Fault,
    None,
}

/// A message with its parts: `run R of K is still QUEUED: …`.
#[derive(Debug)]
struct Said<'a> {
    message: &'a str,
    subject: Subject,
    name: &'a str,
    noun: &'static str,
    /// What is said of it, without what is of this one alone: the same in all that are alike.
    alike: String,
}

impl<'a> Said<'a> {
    fn of(message: &'a str) -> Self {
        let words: Vec<&str> = message.split(' ').collect();
        let bare = |place: usize| words.get(place).map_or("", |word| word.trim_end_matches(':'));
        let of = words.get(2) == Some(&"of") && words.len() > 3;
        let (subject, name, noun, rest) = match (words[0], bare(1), index(bare(3)).filter(|_| of), index(bare(0))) {
            ("run", _, Some(number), _) => (Subject::Arrival(number), bare(3), "run", 3),
            ("run", id, None, _) if !id.is_empty() => (Subject::Run, id, "run", if of { 3 } else { 1 }),
            ("fault", id, _, _) if !id.is_empty() => (Subject::Fault, id, "fault", 1),
            (_, _, _, Some(number)) => (Subject::Arrival(number), bare(0), "arrival", 0),
            (_, _, _, None) => (Subject::None, "", "", 0),
        };
        let alike = if subject == Subject::None {
            message.to_owned()
        } else {
            let colon = if words[rest].ends_with(':') { ": " } else { " " };
            let more: Vec<&str> = words[rest + 1..].to_vec();
            format!("{noun}{colon}{}", gist(&more, subject == Subject::Fault))
        };
        Self { message, subject, name, noun, alike }
    }
}

/// What is said, up to the details behind a colon; of a fault these are the reason. What differs from one to another is left open.
fn gist(words: &[&str], is_reason: bool) -> String {
    let mut said: Vec<String> = vec![];
    for (place, word) in words.iter().enumerate() {
        let bare = word.trim_end_matches([',', ':', ';']);
        let is_own =
            index(bare).is_some() || is_instant(bare) || is_id(bare) || (place > 0 && words[place - 1] == "run");
        said.push(if is_own { format!("…{}", &word[bare.len()..]) } else { (*word).to_owned() });
        // What follows the name of a step is what happened to it.
        let is_step = place > 0 && words[place - 1].trim_start_matches('(') == "step";
        if word.ends_with([':', ';']) && !is_reason && !is_own && !is_step {
            break;
        }
    }
    said.join(" ").trim_end_matches([':', ';', ' ', '…']).to_owned()
}

/// Several that are alike, in one sentence with their names.
fn together(group: &[(usize, Said<'_>)]) -> String {
    let Said { noun, alike, .. } = &group[0].1;
    let rest = alike[noun.len()..].to_owned();
    let rest = match rest.strip_prefix(' ') {
        Some(said) => format!(" {}", of_many(said)),
        None => rest,
    };
    let numbers = group.iter().filter_map(|(_, said)| match said.subject {
        Subject::Arrival(number) => Some(number),
        Subject::Run | Subject::Fault | Subject::None => None,
    });
    let numbers: BTreeSet<u32> = numbers.collect();
    let names = if numbers.is_empty() {
        let names: Vec<String> = group.iter().map(|(_, said)| short(said.name).to_owned()).collect();
        some(&names, MOST_NAMES)
    } else {
        format!("{}{}", if *noun == "arrival" { "numbers " } else { "arrivals " }, ranges(&numbers))
    };
    format!("{} {noun}s{rest} ({names})", group.len())
}

/// What is said of one, said of many.
fn of_many(said: &str) -> String {
    let (verb, rest) = said.split_once(' ').unwrap_or((said, ""));
    let verb = match verb {
        "is" => "are",
        "was" => "were",
        "has" => "have",
        other => other,
    };
    format!("{verb} {rest}").replace(" its ", " their ").trim_end().to_owned()
}

/// `3, 5 to 9 and 12 more`.
fn ranges(numbers: &BTreeSet<u32>) -> String {
    let mut found: Vec<(u32, u32)> = vec![];
    for number in numbers {
        match found.last_mut() {
            Some((_, to)) if *to + 1 == *number => *to = *number,
            Some(_) | None => found.push((*number, *number)),
        }
    }
    let text = |(from, to): &(u32, u32)| match to - from {
        0 => from.to_string(),
        1 => format!("{from}, {to}"),
        _ => format!("{from} to {to}"),
    };
    let shown: Vec<String> = found.iter().take(MOST_NAMES).map(text).collect();
    let left: u32 = found.iter().skip(MOST_NAMES).map(|(from, to)| to - from + 1).sum();
    if left == 0 { shown.join(", ") } else { format!("{} and {left} more", shown.join(", ")) }
}

/// As Dagster's pages show the id of a run.
fn short(name: &str) -> &str {
    if is_id(name) { &name[..8] } else { name }
}

/// The number of the arrival in a key: `scenario/generation/3`.
fn index(word: &str) -> Option<u32> {
    let mut parts = word.rsplitn(3, '/');
    let number = parts.next()?.parse().ok()?;
    let (generation, scenario) = (parts.next()?, parts.next()?);
    (generation.contains('-') && !scenario.is_empty()).then_some(number)
}

fn is_instant(word: &str) -> bool {
    word.len() >= 20 && word.ends_with('Z') && word.starts_with(|letter: char| letter.is_ascii_digit())
}

/// A UUID, as Dagster names its runs.
fn is_id(word: &str) -> bool {
    word.len() == 36 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(messages: &[(&str, String)]) -> Vec<String> {
        lines(messages.iter().map(|(label, message)| (*label, message.as_str())))
    }

    fn id(number: u32) -> String {
        format!("{number:08x}-0000-4000-8000-000000000000")
    }

    #[test]
    fn what_is_alike_stands_once_with_its_names() {
        let queued = |number: u32| {
            ("Unfinished", format!("run {} of a/ab-1/{number} is still QUEUED: no step of it has begun", id(number)))
        };
        let started = |number: u32| {
            let since = format!(
                "its step work, started at 2026-11-24T12:00:{number:02}.000000Z by w{number}, had not ended 3s later"
            );
            ("Unfinished", format!("run {} of a/ab-1/{number} is still STARTED: {since}", id(number)))
        };
        let one = |label, text: &str| (label, text.to_owned());
        for (messages, wanted) in [
            (vec![], vec![]),
            (vec![queued(1), queued(2)], vec![queued(1).1, queued(2).1]),
            (
                [1, 2, 3, 5, 8, 9].map(queued).to_vec(),
                vec!["6 runs are still QUEUED (arrivals 1 to 3, 5, 8, 9)".to_owned()],
            ),
            (
                (0..40).map(|number| queued(number * 2)).collect(),
                vec!["40 runs are still QUEUED (arrivals 0, 2, 4, 6 and 36 more)".to_owned()],
            ),
            (
                vec![
                    started(1),
                    queued(2),
                    started(3),
                    one("NotSent", "1 of 9 planned arrivals were never sent"),
                    started(4),
                ],
                vec![
                    "3 runs are still STARTED (arrivals 1, 3, 4)".to_owned(),
                    queued(2).1,
                    "1 of 9 planned arrivals were never sent".to_owned(),
                ],
            ),
            (
                (0..5)
                    .map(|number| ("NoEvents", format!("run {} succeeded without a single step event", id(number))))
                    .collect(),
                vec![
                    "5 runs succeeded without a single step event (00000000, 00000001, 00000002, 00000003 and 1 more)"
                        .to_owned(),
                ],
            ),
            (
                (0..3)
                    .map(|number| {
                        (
                            "lost",
                            format!(
                                "a/ab-1/{number} was acknowledged as run {}, and Dagster has no such run",
                                id(number)
                            ),
                        )
                    })
                    .collect(),
                vec!["3 arrivals were acknowledged as run …, and Dagster has no such run (numbers 0 to 2)".to_owned()],
            ),
            (
                (0..3)
                    .map(|number| ("duplicated", format!("a/ab-1/{number}: step work was completed 2 times")))
                    .collect(),
                vec!["3 arrivals: step work was completed 2 times (numbers 0 to 2)".to_owned()],
            ),
            (
                (0..3)
                    .map(|number| ("lost", format!("a/ab-1/{number} was launched 2 times: {}, {}", id(number), id(9))))
                    .collect(),
                vec!["3 arrivals were launched 2 times (numbers 0 to 2)".to_owned()],
            ),
            (
                (0..4).map(|number| ("failed", format!("a/ab-1/{number} failed by its own code in run {}: step load: KeyError: {number}", id(number)))).collect(),
                vec!["4 arrivals failed by their own code in run …: step load: KeyError (numbers 0 to 3)".to_owned()],
            ),
            (
                (0..3).map(|number| ("retried", format!("a/ab-1/{number}: run {} failed (step load: it crashed), and Dagster ran it again: run {} is SUCCESS", id(number), id(9)))).collect(),
                vec!["3 arrivals: run … failed (step load: it crashed), and Dagster ran it again (numbers 0 to 2)".to_owned()],
            ),
            (
                (0..3).map(|number| ("writer", format!("a/ab-1/{number} was launched by the dagstorm of data folder x, as run {}: two dagstorms were at work", id(number)))).collect(),
                vec!["3 arrivals were launched by the dagstorm of data folder x, as run …: two dagstorms were at work (numbers 0 to 2)".to_owned()],
            ),
            (
                (0..3).map(|number| ("copied", format!("a/ab-1/{number}: run {} carries its tags and is no launch of it, but a re-execution of run {}", id(number), id(9)))).collect(),
                vec!["3 arrivals: run … carries its tags and is no launch of it, but a re-execution of run (numbers 0 to 2)".to_owned()],
            ),
            (
                (1..4).map(|number| ("FaultSkipped", format!("fault kill#{number} was not injected: no task runs"))).collect(),
                vec!["3 faults were not injected: no task runs (kill#1, kill#2, kill#3)".to_owned()],
            ),
            (
                (1..4).map(|number| ("FaultNotRecovered", format!("fault kill#{number}: reason {number}"))).collect(),
                vec![
                    "fault kill#1: reason 1".to_owned(),
                    "fault kill#2: reason 2".to_owned(),
                    "fault kill#3: reason 3".to_owned(),
                ],
            ),
            (vec![one("x", ""), one("x", "")], vec![String::new(), String::new()]),
        ] {
            assert_eq!(folded(&messages), wanted, "{messages:?}");
        }
    }

    #[test]
    fn a_sentence_is_cut_at_a_word() {
        assert_eq!(shortened("short", 10), "short");
        assert_eq!(shortened("one, two, three", 10), "one, two …");
        assert_eq!(shortened("ääääääääääää", 4), "ääää …");
        let long: Vec<String> = (0..30).map(|number| format!("gap {number} {}", "word ".repeat(20))).collect();
        let text = not_proved(&long);
        assert!(text.chars().count() <= SENTENCE + 20, "{text}");
        assert!(text.ends_with("; and 28 more"), "{text}");
        assert_eq!(not_proved(&["one".to_owned(), "two".to_owned()]), "not proved: one; two");
        assert!(not_proved(&["word ".repeat(100)]).chars().count() <= SENTENCE + 20);
    }
}
