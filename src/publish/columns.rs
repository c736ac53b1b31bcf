//! Lines whose parts stand below each other.

/// On which side of its column a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// Renders rows, each a line that begins with `indent`; columns are two spaces apart. The last part of a row may be as long
/// as it is.
pub fn columns(indent: &str, sides: &[Side], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let parts = rows.iter().filter(|row| column + 1 < row.len()).map(|row| row[column].chars().count());
        parts.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..sides.len()).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        for (column, part) in row.iter().enumerate() {
            let width = widths.get(column).copied().unwrap_or(0);
            let part = match sides.get(column) {
                Some(Side::Right) => format!("{part:>width$}"),
                Some(Side::Left) | None => format!("{part:width$}"),
            };
            line.push_str(&part);
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_below_each_other() {
        let row = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<String>>();
        let rows = [row(&["a", "1", "x"]), row(&["ääh", "100", "a long end"]), row(&["only this, which is long"])];
        let text = columns("  ", &[Side::Left, Side::Right, Side::Left], &rows);
        assert_eq!(text, "  a      1  x\n  ääh  100  a long end\n  only this, which is long\n");
        assert_eq!(columns("", &[Side::Left], &[]), "");
    }
}
