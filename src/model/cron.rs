//! Cron expressions: five fields, in UTC.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use super::{Timestamp, schema::text_schema, time::as_string};

/// Minute, hour, day of the month, month and day of the week, in UTC: `0 2 * * *` is every night at two.
#[derive(Debug, Clone)]
pub struct Cron {
    text: String,
    parsed: Box<croner::Cron>,
}

impl Cron {
    /// The first instant of the schedule after `instant`; `None` if there is none any more.
    pub fn next(&self, instant: Timestamp) -> Option<Timestamp> {
        // Its instants are whole seconds; asked from within the second before one, croner would leave that one out.
        let second = instant.as_micros().div_euclid(1_000_000);
        let from = chrono::DateTime::<chrono::Utc>::from_timestamp(second, 0)?;
        let next = self.parsed.find_next_occurrence(&from, false).ok()?;
        Some(Timestamp::from_micros(next.timestamp_micros()))
    }
}

const NICKNAMES: [&str; 6] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually"];

/// A field of an expression and its bounds.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Words that stand for its numbers, from `least` on.
    words: &'static [&'static str],
    /// It may be `?`, and have `L`, `W` or `#` in it.
    is_day: bool,
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, words: &[], is_day: false },
    Field { name: "hour", least: 0, most: 23, words: &[], is_day: false },
    Field { name: "day of the month", least: 1, most: 31, words: &[], is_day: true },
    Field {
        name: "month",
        least: 1,
        most: 12,
        words: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
        is_day: false,
    },
    Field {
        name: "day of the week",
        least: 0,
        most: 7,
        words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
        is_day: true,
    },
];

impl Field {
    /// What is wrong with the text of the field, if something is.
    fn fault(&self, text: &str) -> Option<String> {
        text.split(',').find_map(|part| self.fault_of_part(part))
    }

    /// `*`, `5`, `1-5`, `*/10`, `8-18/2`.
    fn fault_of_part(&self, part: &str) -> Option<String> {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        if let Some(step) = step {
            let is_step = step.parse::<u32>().is_ok_and(|step| (1..=self.most).contains(&step));
            if !is_step {
                return Some(format!("the step of the {} is from 1 to {}, and `{step}` is not", self.name, self.most));
            }
        }
        let is_any = range == "*" || (range == "?" && self.is_day);
        if is_any || (self.is_day && range.contains(['L', 'l', 'W', 'w', '#'])) {
            return None;
        }
        let bounds: Vec<&str> = range.split('-').collect();
        if bounds.len() > 2 {
            return Some(format!("the {} has `{range}`, which is no range such as `1-5`", self.name));
        }
        let numbers: Result<Vec<u32>, String> = bounds.iter().map(|bound| self.number(bound)).collect();
        match numbers.as_deref() {
            Err(why) => Some(why.clone()),
            Ok([from, to]) if from > to => {
                Some(format!("the {} has the range `{range}`, which runs backwards", self.name))
            }
            Ok(_) => None,
        }
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_ascii_lowercase();
        if let Some(at) = self.words.iter().position(|word| *word == lower) {
            return Ok(self.least + at as u32);
        }
        match text.parse() {
            Ok(number) if (self.least..=self.most).contains(&number) => Ok(number),
            Ok(_) | Err(_) => {
                Err(format!("the {} is from {} to {}, and `{text}` is not", self.name, self.least, self.most))
            }
        }
    }
}

/// Equal texts are equal schedules; two texts of one schedule are not compared deeper than that.
impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = |why: &str| {
            format!(
                "`{text}` is not a cron expression: {why}; write five fields (minute, hour, day of month, month, day of week), as in `0 2 * * *`"
            )
        };
        if text.starts_with('@') {
            if !NICKNAMES.iter().any(|known| known.eq_ignore_ascii_case(text)) {
                let known = NICKNAMES.map(|known| format!("`{known}`")).join(", ");
                return Err(wrong(&format!("of words with an `@` only {known} are known")));
            }
        } else {
            let fields: Vec<&str> = text.split_whitespace().collect();
            if fields.len() != FIELDS.len() {
                let plural = if fields.len() == 1 { "" } else { "s" };
                return Err(wrong(&format!("it has {} field{plural}", fields.len())));
            }
            if let Some(why) = FIELDS.iter().zip(fields).find_map(|(field, text)| field.fault(text)) {
                return Err(wrong(&why));
            }
        }
        // The library's own words are for those who program with it.
        let parsed = text.parse::<croner::Cron>().map_err(|_| wrong("a field of it cannot be read"))?;
        let cron = Self { text: text.to_owned(), parsed: Box::new(parsed) };
        // A date that never comes, such as the 30th of February.
        if cron.next(Timestamp::from_micros(0)).is_none() {
            return Err(wrong("it names no instant at all"));
        }
        Ok(cron)
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

text_schema!(
    Cron,
    "Cron",
    "A schedule of five fields in UTC: minute, hour, day of the month, month, day of the week.",
    "^(@[a-z]+|\\S+\\s+\\S+\\s+\\S+\\s+\\S+\\s+\\S+)$",
    ["0 2 * * *", "*/10 * * * *"]
);
as_string!(Cron, "a cron expression such as `0 2 * * *`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_go_on() {
        for (text, after, next) in [
            ("0 2 * * *", "2026-11-24T01:59:59Z", "2026-11-24T02:00:00Z"),
            ("0 2 * * *", "2026-11-24T02:00:00Z", "2026-11-25T02:00:00Z"),
            ("0 2 * * *", "2026-11-24T01:59:59.9Z", "2026-11-24T02:00:00Z"),
            ("0 2 * * *", "2026-11-24T02:00:00.1Z", "2026-11-25T02:00:00Z"),
            ("47 13 * * *", "1970-01-12T13:46:59.9Z", "1970-01-12T13:47:00Z"),
            ("*/10 * * * *", "2026-11-24T02:03:00Z", "2026-11-24T02:10:00Z"),
            ("0 9 * * 1-5", "2026-11-27T10:00:00Z", "2026-11-30T09:00:00Z"),
        ] {
            let cron: Cron = text.parse().expect(text);
            assert_eq!(cron.next(after.parse().expect(after)), Some(next.parse().expect(next)), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        for (text, why) in [
            ("61 * * * *", "the minute is from 0 to 59, and `61` is not"),
            ("0 25 * * *", "the hour is from 0 to 23, and `25` is not"),
            ("0 2 0 * *", "the day of the month is from 1 to 31, and `0` is not"),
            ("0 2 * 13 *", "the month is from 1 to 12, and `13` is not"),
            ("0 2 * * 8", "the day of the week is from 0 to 7, and `8` is not"),
            ("0 2 * * mondays", "the day of the week is from 0 to 7, and `mondays` is not"),
            ("*/0 * * * *", "the step of the minute is from 1 to 59, and `0` is not"),
            ("*/x * * * *", "the step of the minute is from 1 to 59, and `x` is not"),
            ("5-1 * * * *", "the minute has the range `5-1`, which runs backwards"),
            ("1-2-3 * * * *", "the minute has `1-2-3`, which is no range such as `1-5`"),
            ("1,,2 * * * *", "the minute is from 0 to 59, and `` is not"),
            ("@often", "of words with an `@` only `@hourly`"),
            ("@daily 5", "of words with an `@` only `@hourly`"),
            ("30 2 * *", "it has 4 fields"),
            ("x", "it has 1 field;"),
            ("0 0 30 2 *", "it names no instant at all"),
        ] {
            let message = text.parse::<Cron>().expect_err(text);
            assert!(message.contains(why), "{text}: {message}");
        }
        for text in [
            "*/5 8-18/2 1,15 jan-MAR mon-fri",
            "0 0 L * *",
            "0 0 * * 7",
            "@daily",
            "@Hourly",
            "0 0 15W * ?",
            "0 9 * * 1#1",
        ] {
            text.parse::<Cron>().expect(text);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "0 2 * *", "0 2 * * * *", "61 2 * * *", "a b c d e", "0 0 30 2 *", "0 25 * * *"] {
            let message = text.parse::<Cron>().expect_err(text);
            assert!(message.contains("five fields"), "{message}");
        }
    }
}
