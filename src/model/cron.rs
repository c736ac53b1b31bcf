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
        let fields = text.split_whitespace().count();
        if fields != 5 && !text.starts_with('@') {
            return Err(wrong(&format!("it has {fields} fields")));
        }
        let parsed = text.parse::<croner::Cron>().map_err(|error| wrong(&error.to_string()))?;
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
    fn nonsense_is_refused() {
        for text in ["", "0 2 * *", "0 2 * * * *", "61 2 * * *", "a b c d e", "0 0 30 2 *", "0 25 * * *"] {
            let message = text.parse::<Cron>().expect_err(text);
            assert!(message.contains("five fields"), "{message}");
        }
    }
}
