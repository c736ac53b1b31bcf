//! The CloudWatch client: PutMetricData.

use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{Dimension, MetricDatum, StandardUnit},
};

use super::aws;
use crate::model::{Datum, DatumUnit, Outcome, Receipt, target::MetricsTarget};

/// What PutMetricData takes at most: data a call, values a datum.
const DATA_LIMIT: usize = 1_000;
const VALUES_LIMIT: usize = 150;

/// Publishes the data under the target's namespace, with the target's dimensions on each.
pub async fn put(client: &Client, metrics: &MetricsTarget, data: &[Datum]) -> Outcome {
    let rows: Vec<MetricDatum> = data.iter().flat_map(|datum| rows(metrics, datum)).collect();
    for chunk in rows.chunks(DATA_LIMIT) {
        let call = client.put_metric_data().namespace(&metrics.namespace).set_metric_data(Some(chunk.to_vec()));
        if let Err(error) = call.send().await {
            return Outcome::Unknown { reason: aws::why("CloudWatch PutMetricData", &error).message };
        }
    }
    Outcome::Done(Receipt::Published)
}

fn rows(metrics: &MetricsTarget, datum: &Datum) -> Vec<MetricDatum> {
    let dimensions: Vec<Dimension> = metrics
        .dimensions
        .iter()
        .chain(&datum.dimensions)
        .map(|(name, value)| Dimension::builder().name(name).value(value).build())
        .collect();
    let unit = match datum.unit {
        DatumUnit::Count => StandardUnit::Count,
        DatumUnit::Seconds => StandardUnit::Seconds,
    };
    let at = DateTime::from_nanos(i128::from(datum.at.as_micros()) * 1_000).ok();
    datum
        .values
        .chunks(VALUES_LIMIT)
        .map(|values| {
            MetricDatum::builder()
                .metric_name(datum.name)
                .set_dimensions(Some(dimensions.clone()))
                .unit(unit.clone())
                .set_timestamp(at)
                .set_values(Some(values.to_vec()))
                .build()
        })
        .collect()
}
