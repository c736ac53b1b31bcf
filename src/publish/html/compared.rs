//! What the page of a comparison shows, as data.

use serde::Serialize;

use crate::publish::compare::{Comparison, Judgement, Row, SECTIONS, rows, sentence};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared<'a> {
    /// As in a report: instants count from here.
    origin: i64,
    #[serde(flatten)]
    comparison: &'a Comparison,
    /// What broke and what is mended, in sentences.
    broken: Vec<String>,
    better: Vec<String>,
    sections: Vec<Section>,
}

#[derive(Debug, Serialize)]
struct Section {
    title: &'static str,
    judgement: Judgement,
    rows: Vec<Row>,
}

pub fn compared(comparison: &Comparison) -> Compared<'_> {
    let section =
        |(judgement, title): (Judgement, &'static str)| Section { title, judgement, rows: rows(comparison, judgement) };
    Compared {
        origin: 0,
        comparison,
        broken: comparison.broke.iter().map(sentence).collect(),
        better: comparison.mended.iter().map(sentence).collect(),
        sections: SECTIONS.into_iter().map(section).filter(|section| !section.rows.is_empty()).collect(),
    }
}
