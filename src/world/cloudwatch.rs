//! The CloudWatch client: PutMetricData and DescribeAlarms.

use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{AlarmType, Dimension, MetricDatum, StandardUnit, StateValue},
};

use super::aws;
use crate::model::{AlarmView, Datum, DatumUnit, Outcome, Receipt, Why, WhyKind, target::MetricsTarget};

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

/// Looks at one alarm, of metrics or of other alarms. One without enough data does not ring.
pub async fn alarm(client: &Client, name: &str) -> Result<AlarmView, Why> {
    let what = format!("CloudWatch alarm {name}");
    let kinds = [AlarmType::MetricAlarm, AlarmType::CompositeAlarm];
    let call = client.describe_alarms().alarm_names(name).set_alarm_types(Some(kinds.to_vec()));
    let answer = call.send().await.map_err(|error| aws::why(&what, &error))?;
    let metric = answer.metric_alarms().iter().map(|alarm| (alarm.state_value(), alarm.state_reason()));
    let composite = answer.composite_alarms().iter().map(|alarm| (alarm.state_value(), alarm.state_reason()));
    let missing = || Why { kind: WhyKind::NotFound, message: format!("{what}: there is none of this name") };
    let (state, reason) = metric.chain(composite).next().ok_or_else(missing)?;
    Ok(AlarmView { is_ringing: state == Some(&StateValue::Alarm), reason: reason.unwrap_or_default().to_owned() })
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
