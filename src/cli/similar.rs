//! What is suggested for a command that does not exist.

use strsim::damerau_levenshtein;

/// What stops, heals or removes something: never suggested for what may be a slip in a harmless command.
const DRASTIC: [&str; 4] = ["forget", "halt", "heal", "suspend"];

/// The commands that were probably meant, the nearest first.
///
/// A drastic one is among them only where no harmless one is near: who follows a suggestion in a hurry must not stop the
/// load by it.
pub fn similar<'a>(word: &str, commands: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let word = word.to_lowercase();
    let within = |command: &str| (command.len().max(word.len()) / 3).max(1);
    let mut near: Vec<(usize, &str)> = commands
        .map(|command| (damerau_levenshtein(&word, command), command))
        .filter(|(distance, command)| *distance <= within(command))
        .collect();
    near.sort();
    let is_harmless = |(_, command): &(usize, &str)| !DRASTIC.contains(command);
    if near.iter().any(is_harmless) {
        near.retain(is_harmless);
    }
    near.into_iter().map(|(_, command)| command).collect()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn commands() -> Vec<String> {
        let mut known: Vec<String> = Cli::command().get_subcommands().map(|one| one.get_name().to_owned()).collect();
        known.push("help".to_owned());
        known
    }

    #[test]
    fn no_slip_in_a_harmless_command_leads_to_a_drastic_one() {
        let known = commands();
        let all = || known.iter().map(String::as_str);
        for command in all().filter(|command| !DRASTIC.contains(command)) {
            let letters: Vec<char> = command.chars().collect();
            let mut slips = vec![];
            for at in 0..=letters.len() {
                for letter in 'a'..='z' {
                    let mut more = letters.clone();
                    more.insert(at, letter);
                    slips.push(more);
                    if at < letters.len() {
                        let mut other = letters.clone();
                        other[at] = letter;
                        slips.push(other);
                    }
                }
                if at < letters.len() {
                    let mut less = letters.clone();
                    less.remove(at);
                    slips.push(less);
                }
                if at + 1 < letters.len() {
                    let mut turned = letters.clone();
                    turned.swap(at, at + 1);
                    slips.push(turned);
                }
            }
            for slip in slips.into_iter().map(String::from_iter).filter(|slip: &String| !known.contains(slip)) {
                let found = similar(&slip, all());
                assert!(found.contains(&command), "{slip}: {found:?} lacks {command}");
                assert!(found.iter().all(|found| !DRASTIC.contains(found)), "{slip}: {found:?}");
            }
        }
    }

    #[test]
    fn the_nearest_comes_first_and_a_drastic_one_where_it_alone_is_meant() {
        let known = commands();
        for (word, expected) in [
            ("valdate", &["validate"][..]),
            ("hatl", &["halt"]),
            ("sispend", &["suspend"]),
            ("forgot", &["forget"]),
            ("HELP", &["help"]),
            ("repot", &["report"]),
            ("xyzzy", &[]),
            ("a-word-that-is-much-longer-than-any-command", &[]),
        ] {
            let found = similar(word, known.iter().map(String::as_str));
            assert_eq!(found, expected, "{word}");
        }
    }
}
