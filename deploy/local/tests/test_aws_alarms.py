"""CloudWatch: alarms as they are set and measured, the age of a queue, and both in the encoding of the Rust client."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
import pytest
from aws_rig import Emulator, error_code, eventually

ALARM = {
    "Period": 60,
    "EvaluationPeriods": 1,
    "Statistic": "Maximum",
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanThreshold",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path_factory.mktemp("cloud"))
    yield emulator
    emulator.close()


@pytest.fixture(scope="module")
def cloudwatch(cloud: Emulator) -> Any:
    return cloud.client("cloudwatch")


def alarms(cloudwatch: Any, *names: str) -> list[dict[str, Any]]:
    return list(cloudwatch.describe_alarms(AlarmNames=list(names))["MetricAlarms"])


def test_an_alarm_tells_its_state_and_why(cloud: Emulator, cloudwatch: Any) -> None:
    assert alarms(cloudwatch, "set", "absent") == []
    cloudwatch.put_metric_alarm(AlarmName="set", Namespace="demo", MetricName="none", **ALARM)
    (made,) = alarms(cloudwatch, "set", "absent")
    assert (made["AlarmName"], made["StateValue"]) == ("set", "INSUFFICIENT_DATA")
    for state, reason in (("ALARM", "too deep"), ("OK", "shallow again")):
        cloudwatch.set_alarm_state(AlarmName="set", StateValue=state, StateReason=reason)
        (told,) = alarms(cloudwatch, "set")
        assert (told["StateValue"], told["StateReason"]) == (state, reason)
        assert in_cbor(cloud, "set") == [{"AlarmName": "set", "StateValue": state, "StateReason": reason}]
    assert in_cbor(cloud, "absent") == []
    change = {"AlarmName": "absent", "StateValue": "OK", "StateReason": "x"}
    assert error_code(lambda: cloudwatch.set_alarm_state(**change)) == "ResourceNotFound"
    wrong = {**change, "AlarmName": "set", "StateValue": "BAD"}
    assert error_code(lambda: cloudwatch.set_alarm_state(**wrong)) == "ValidationError"
    no_json = {**change, "AlarmName": "set", "StateReasonData": "{"}
    assert error_code(lambda: cloudwatch.set_alarm_state(**no_json)) == "InvalidFormat"
    assert alarms(cloudwatch, "set")[0]["StateReason"] == "shallow again"


def in_cbor(cloud: Emulator, name: str) -> list[dict[str, Any]]:
    found = call_in_cbor(cloud, "DescribeAlarms", {"AlarmNames": [name]})["MetricAlarms"]
    return [{field: one[field] for field in ("AlarmName", "StateValue", "StateReason")} for one in found]


def call_in_cbor(cloud: Emulator, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{cloud.url}/service/GraniteServiceVersion20100801/operation/{operation}",
        cbor2.dumps(parameters),
        {
            "content-type": "application/cbor",
            "smithy-protocol": "rpc-v2-cbor",
            "authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/monitoring/aws4_request",
        },
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.headers["smithy-protocol"] == "rpc-v2-cbor"
        told: dict[str, Any] = cbor2.loads(answer.read())
    return told


def test_an_alarm_is_judged_by_its_own_queue(cloud: Emulator, cloudwatch: Any) -> None:
    sqs = cloud.client("sqs")
    for name, count in (("deep", 3), ("shallow", 1)):
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        for _ in range(count):
            sqs.send_message(QueueUrl=url, MessageBody="x")
        of = {"Namespace": "AWS/SQS", "MetricName": "ApproximateNumberOfMessagesVisible"}
        dimensions = [{"Name": "QueueName", "Value": name}]
        cloudwatch.put_metric_alarm(AlarmName=name, Dimensions=dimensions, **of, **ALARM)

    def states() -> dict[str, str]:
        return {one["AlarmName"]: one["StateValue"] for one in alarms(cloudwatch, "deep", "shallow")}

    eventually(lambda: states() == {"deep": "ALARM", "shallow": "OK"}, 15)
    assert "Threshold Crossed" in alarms(cloudwatch, "deep")[0]["StateReason"]


def test_the_age_of_the_oldest_message_is_there_minute_by_minute(cloud: Emulator, cloudwatch: Any) -> None:
    url = cloud.client("sqs").create_queue(QueueName="aged")["QueueUrl"]
    cloud.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    now = datetime.now(UTC)

    # As `src/world/cloudwatch.rs` asks. botocore holds it against its model, and refuses what does not fit.
    def request(queue: str) -> dict[str, Any]:
        metric = {
            "Namespace": "AWS/SQS",
            "MetricName": "ApproximateAgeOfOldestMessage",
            "Dimensions": [{"Name": "QueueName", "Value": queue}],
        }
        query = {"Id": "age", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}}
        within = {"StartTime": now - timedelta(minutes=10), "EndTime": now + timedelta(minutes=2)}
        return {"MetricDataQueries": [query], **within, "ScanBy": "TimestampAscending"}

    def ages(queue: str) -> list[float]:
        (result,) = cloudwatch.get_metric_data(**request(queue))["MetricDataResults"]
        (same,) = call_in_cbor(cloud, "GetMetricData", request(queue))["MetricDataResults"]
        assert (result["Timestamps"], result["Values"]) == (same["Timestamps"], same["Values"])
        assert all(at.timestamp() % 60 == 0 for at in result["Timestamps"])
        found: list[float] = result["Values"]
        return found

    eventually(lambda: any(age >= 2 for age in ages("aged")), 20)
    assert ages("nobody") == []
