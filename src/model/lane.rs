//! The names of a scenario's lanes, in which its turns run beside each other: `name`, `name--2`, `name--3` …

use super::ScenarioName;

const MARK: &str = "--";

/// The longest name of a scenario that has lanes: there is room behind it for the mark and one digit.
pub const LONGEST_NAME: usize = 60;

/// The name of the lane of this number, below ten; the first is the scenario's own.
pub fn of(scenario: &ScenarioName, number: u32) -> ScenarioName {
    if number <= 1 {
        return scenario.clone();
    }
    format!("{scenario}{MARK}{number}").parse().expect("who has lanes has a name with room for their numbers")
}

/// The scenario that a lane belongs to.
pub fn scenario(lane: &ScenarioName) -> ScenarioName {
    match number_at(lane.as_str()) {
        Some(at) => lane.as_str()[..at].parse().unwrap_or_else(|_| lane.clone()),
        None => lane.clone(),
    }
}

/// Whether a name looks like that of a lane: no manifest may have one.
pub fn is_reserved(name: &str) -> bool {
    number_at(name).is_some()
}

/// Whether this is a further lane of a scenario.
pub fn is_further(lane: &ScenarioName) -> bool {
    is_reserved(lane.as_str())
}

fn number_at(name: &str) -> Option<usize> {
    let at = name.rfind(MARK)?;
    let number = &name[at + MARK.len()..];
    (!number.is_empty() && number.chars().all(|c| c.is_ascii_digit())).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_have_names_and_scenarios() {
        let name: ScenarioName = "nightly-load".parse().expect("a name");
        assert_eq!(of(&name, 1), name);
        assert_eq!(of(&name, 3).as_str(), "nightly-load--3");
        assert_eq!(scenario(&of(&name, 3)), name);
        assert_eq!(scenario(&name), name);
        assert!(is_further(&of(&name, 2)) && !is_further(&name));
        for (text, reserved) in [("a--2", true), ("a--b", false), ("a-2", false), ("a--", false)] {
            assert_eq!(is_reserved(text), reserved, "{text}");
        }
    }
}
