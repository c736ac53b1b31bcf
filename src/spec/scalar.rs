//! Plain scalars as Dagster's launchpad reads them: YAML 1.1 by the rules of PyYAML's safe loader, in which Dagster leaves
//! dates as texts. `tests/contract/scalars.jsonl` holds this file and the installed Dagster to the same table.

use serde_json::Value;

/// What Dagster's launchpad reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    Null,
    Bool(bool),
    Integer(i128),
    /// A number of any size; it need not be finite.
    Float(f64),
    Text,
    /// A whole number of more than 127 bits.
    Huge,
    /// The launchpad fails at it.
    Fails,
}

/// What Dagster's launchpad makes of a plain scalar.
pub fn read(text: &str) -> Reading {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Reading::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Reading::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Reading::Bool(false),
        // The merge key and the default key of YAML 1.1, which are no values.
        "<<" | "=" => Reading::Fails,
        ".nan" | ".NaN" | ".NAN" => Reading::Float(f64::NAN),
        _ => number(text).unwrap_or(Reading::Text),
    }
}

impl Reading {
    /// In the words of an error message.
    pub fn words(&self) -> String {
        match self {
            Self::Null => "nothing (null)".to_owned(),
            Self::Bool(value) => format!("the truth value `{value}`"),
            Self::Integer(number) => format!("the number `{number}`"),
            Self::Float(number) if number.is_nan() => "no number (NaN)".to_owned(),
            Self::Float(number) if number.is_infinite() => "infinity".to_owned(),
            Self::Float(number) => format!("the number `{number}`"),
            Self::Text => "a text".to_owned(),
            Self::Huge => "a number of more than 64 bits".to_owned(),
            Self::Fails => "an error".to_owned(),
        }
    }

    /// The value in JSON, in which a launch is sent; `None`: JSON has no such value, or not exactly.
    pub fn json(&self, text: &str) -> Option<Value> {
        match self {
            Self::Null => Some(Value::Null),
            Self::Bool(value) => Some(Value::Bool(*value)),
            Self::Integer(number) => {
                let unsigned = u64::try_from(*number).ok().map(Value::from);
                unsigned.or_else(|| i64::try_from(*number).ok().map(Value::from))
            }
            Self::Float(number) => serde_json::Number::from_f64(*number).map(Value::Number),
            Self::Text => Some(Value::String(text.to_owned())),
            Self::Huge | Self::Fails => None,
        }
    }
}

fn number(text: &str) -> Option<Reading> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if matches!(rest, ".inf" | ".Inf" | ".INF") {
        return Some(Reading::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY }));
    }
    // A sign before a bare point makes it a text.
    if rest.starts_with('.') && rest.len() != text.len() {
        return None;
    }
    if rest.contains('.') { float(rest, negative) } else { integer(rest, negative) }
}

/// Digits and underscores, a digit first.
fn is_digits(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
}

fn bare(text: &str) -> String {
    text.replace('_', "")
}

fn integer(text: &str, negative: bool) -> Option<Reading> {
    let of_base = |digits: &str, base: u32| {
        let is_of_base = |c: char| c == '_' || c.is_digit(base);
        let digits = Some(digits).filter(|digits| !digits.is_empty() && digits.chars().all(is_of_base))?;
        let digits = bare(digits);
        // Nothing but underscores: the pattern takes it, Python's `int` does not.
        if digits.is_empty() {
            return Some(Reading::Fails);
        }
        Some(i128::from_str_radix(&digits, base).map_or(Reading::Huge, |number| signed(number, negative)))
    };
    if let Some(digits) = text.strip_prefix("0b") {
        return of_base(digits, 2);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return of_base(digits, 16);
    }
    if let Some(digits) = text.strip_prefix('0').filter(|digits| !digits.is_empty()) {
        // Zero, then nothing but underscores, is zero.
        return of_base(digits, 8).map(|reading| if reading == Reading::Fails { Reading::Integer(0) } else { reading });
    }
    let (first, rest) = sexagesimal(text)?;
    if !is_digits(first) || (first.starts_with('0') && !rest.is_empty()) {
        return None;
    }
    let add = |sum: Option<i128>, part: &str| sum?.checked_mul(60)?.checked_add(part.parse().ok()?);
    let sum = rest.iter().fold(bare(first).parse().ok(), |sum, part| add(sum, part));
    Some(sum.map_or(Reading::Huge, |number| signed(number, negative)))
}

fn signed(number: i128, negative: bool) -> Reading {
    Reading::Integer(if negative { -number } else { number })
}

/// `190:20:30`: what stands before the first colon, and the parts of up to 59 behind it.
fn sexagesimal(text: &str) -> Option<(&str, Vec<&str>)> {
    let mut parts = text.split(':');
    let first = parts.next()?;
    let rest: Vec<&str> = parts.collect();
    let is_part = |part: &&str| match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [tens, digit] => (b'0'..=b'5').contains(tens) && digit.is_ascii_digit(),
        _ => false,
    };
    rest.iter().all(is_part).then_some((first, rest))
}

fn float(text: &str, negative: bool) -> Option<Reading> {
    let (whole, fraction) = text.split_once('.')?;
    let sign = if negative { -1.0 } else { 1.0 };
    if whole.contains(':') {
        let (first, rest) = sexagesimal(whole)?;
        let is_fraction = fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
        let (last, middle) = rest.split_last().filter(|_| is_digits(first) && is_fraction)?;
        let last: f64 = format!("{last}.{}", bare(fraction)).parse().ok()?;
        let head = middle
            .iter()
            .try_fold(bare(first).parse::<f64>().ok()?, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))?;
        return Some(Reading::Float(sign * (head * 60.0 + last)));
    }
    let (fraction, exponent) = match fraction.find(['e', 'E']) {
        Some(at) => (&fraction[..at], Some(&fraction[at + 1..])),
        None => (fraction, None),
    };
    let is_exponent = |exponent: &str| {
        exponent.starts_with(['+', '-'])
            && exponent.len() > 1
            && exponent.bytes().skip(1).all(|byte| byte.is_ascii_digit())
    };
    let is_fraction = fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let is_whole = if whole.is_empty() { is_digits(fraction) } else { is_digits(whole) };
    if !is_whole || !is_fraction || !exponent.is_none_or(is_exponent) {
        return None;
    }
    let number = format!("{}.{}e{}", bare(whole), bare(fraction), exponent.unwrap_or("0"));
    number.parse().ok().map(|number: f64| Reading::Float(sign * number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_read_as_the_launchpad_reads_them() {
        let table = include_str!("../../tests/contract/scalars.jsonl");
        let mut rows = 0;
        for line in table.lines() {
            let row: Value = serde_json::from_str(line).expect(line);
            let text = row["scalar"].as_str().expect(line);
            let reading = read(text);
            match row["kind"].as_str().expect(line) {
                "value" => assert_eq!(reading.json(text), Some(row["json"].clone()), "{line}"),
                "inf" => assert_eq!(reading, Reading::Float(f64::INFINITY), "{line}"),
                "-inf" => assert_eq!(reading, Reading::Float(f64::NEG_INFINITY), "{line}"),
                "nan" => assert!(matches!(reading, Reading::Float(number) if number.is_nan()), "{line}"),
                "beyond 64 bits" => {
                    assert!(matches!(reading, Reading::Huge | Reading::Integer(_)), "{line}: {reading:?}");
                    assert_eq!(reading.json(text), None, "{line}");
                }
                "fails" => assert_eq!(reading, Reading::Fails, "{line}"),
                other => panic!("unknown kind {other}: {line}"),
            }
            rows += 1;
        }
        assert!(rows > 300, "{rows} rows");
    }
}
