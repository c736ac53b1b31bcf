//! The CloudWatch client: PutMetricData, DescribeAlarms and GetMetricData.

use std::time::Duration;

use aws_sdk_cloudwatch::{
    Client,
    primitives::DateTime,
    types::{AlarmType, Dimension, Metric, MetricDataQuery, MetricDatum, MetricStat, ScanBy, StandardUnit, StateValue},
};

use super::aws;
use crate::model::{
    AgeView, AlarmView, Datum, DatumUnit, Outcome, Receipt, Timestamp, Why, WhyKind, target::MetricsTarget,
};

/// AWS publishes a queue's metrics once a minute.
const MINUTE: Duration = Duration::from_secs(60);
/// A datum is there a few minutes later at most.
const LOOK_BACK: Duration = Duration::from_secs(10 * 60);
/// The id of the only query in a request.
const AGE: &str = "age";

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

/// Looks up how old the oldest message of a queue was in each of the last minutes.
pub async fn age(client: &Client, queue: &str, now: Timestamp) -> Result<AgeView, Why> {
    let what = format!("CloudWatch ApproximateAgeOfOldestMessage of queue {queue}");
    let dimension = Dimension::builder().name("QueueName").value(queue).build();
    let metric = Metric::builder().namespace("AWS/SQS").metric_name("ApproximateAgeOfOldestMessage");
    let period = i32::try_from(MINUTE.as_secs()).expect("a minute has few seconds");
    let stat = MetricStat::builder().metric(metric.dimensions(dimension).build()).period(period).stat("Maximum");
    let call = client
        .get_metric_data()
        .metric_data_queries(MetricDataQuery::builder().id(AGE).metric_stat(stat.build()).build())
        .start_time(date_time(now.minus(LOOK_BACK)))
        .end_time(date_time(now))
        .scan_by(ScanBy::TimestampAscending);
    let answer = call.send().await.map_err(|error| aws::why(&what, &error))?;
    let results = answer.metric_data_results();
    if let Some(message) = results.iter().flat_map(|result| result.messages()).next() {
        let text = message.value().or(message.code()).unwrap_or("an error without a message");
        return Err(Why { kind: WhyKind::ServerError, message: format!("{what}: {text}") });
    }
    let data = results.iter().flat_map(|result| result.timestamps().iter().zip(result.values()));
    let data = data
        .map(|(at, value)| (Timestamp::from_micros(i64::try_from(at.as_nanos() / 1_000).unwrap_or(i64::MAX)), *value));
    Ok(AgeView { minutes: whole(data.collect(), now) })
}

/// The data of minutes that are over, the oldest first: before that, the highest value may still come.
fn whole(mut data: Vec<(Timestamp, f64)>, now: Timestamp) -> Vec<(Timestamp, f64)> {
    data.retain(|(at, _)| at.plus(MINUTE) <= now);
    data.sort_by_key(|(at, _)| *at);
    data
}

fn date_time(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_micros() / 1_000)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_counts_when_it_is_over() {
        let minute = |number: u32| Timestamp::from_micros(0).plus(MINUTE * number);
        let data = || vec![(minute(3), 9.0), (minute(1), 0.0), (minute(2), 61.5)];
        let times = |now: Timestamp| whole(data(), now).iter().map(|(_, value)| *value).collect::<Vec<_>>();
        assert_eq!(times(minute(4)), [0.0, 61.5, 9.0]);
        assert_eq!(times(minute(4).minus(Duration::from_millis(1))), [0.0, 61.5]);
        assert_eq!(times(minute(1)), [0.0; 0], "no datum is no sample");
    }
}
