"""What ministack's CloudWatch leaves out: the metrics of SQS, the dimensions of an alarm, a look at what is put."""

from __future__ import annotations

import json
import logging
import operator
import threading
import time
from collections.abc import Callable
from typing import Any

from dagstorm_local.aws.hooks import replace
from dagstorm_local.aws.private import cloudwatch, responses, sqs

logger = logging.getLogger("dagstorm.cloudwatch")

PUBLISH_EVERY_S = 5.0  # AWS: a minute
STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
COMPARISONS = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def install() -> None:
    """Publish AWS/SQS metrics every few seconds, and judge the alarms by them; refuse what is not well formed."""
    replace(cloudwatch, "_put_dashboard", _put_dashboard)
    replace(cloudwatch, "_set_alarm_state", _set_alarm_state)
    replace(cloudwatch, "_evaluate_alarm", lambda _original: _evaluate)
    threading.Thread(target=_publish_for_ever, daemon=True, name="sqs-metrics").start()


def _put_dashboard(original: Callable[..., Any]) -> Callable[..., Any]:
    def put(params: Any, cbor_data: Any, is_cbor: bool, is_json: bool = False) -> Any:
        body = cbor_data.get("DashboardBody") if is_cbor or is_json else cloudwatch._p(params, "DashboardBody")
        try:
            valid = isinstance(json.loads(body or ""), dict)
        except ValueError:
            valid = False
        if not valid:
            message = "The field DashboardBody must be a valid JSON object"
            return cloudwatch._error("InvalidParameterInput", message, 400, use_json=is_json, use_cbor=is_cbor)
        return original(params, cbor_data, is_cbor, is_json)

    return put


def _set_alarm_state(original: Callable[..., Any]) -> Callable[..., Any]:
    def change(params: Any, cbor_data: Any, is_cbor: bool, is_json: bool = False) -> Any:
        names = ("StateValue", "StateReasonData")
        if is_cbor or is_json:
            state, data = (cbor_data.get(name) for name in names)
        else:
            state, data = (cloudwatch._p(params, name) for name in names)
        refused = None
        if state not in STATES:
            refused = "ValidationError", f"Value '{state}' at 'stateValue' failed to satisfy constraint: {list(STATES)}"
        elif data and not _is_json(data):
            refused = "InvalidFormat", "StateReasonData was not syntactically valid JSON"
        if refused:
            return cloudwatch._error(*refused, 400, use_json=is_json, use_cbor=is_cbor)
        return original(params, cbor_data, is_cbor, is_json)

    return change


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _evaluate(alarm: dict[str, Any]) -> None:
    """Judge an alarm by the points of its own dimensions in its last periods. Without points it keeps its state."""
    key = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm.get("Dimensions") or []))
    points = cloudwatch._metrics.get((alarm.get("Namespace"), alarm.get("MetricName"), key)) or []
    since = time.time() - alarm.get("Period", 60) * alarm.get("EvaluationPeriods", 1)
    recent = [point for point in list(points) if point["Timestamp"] >= since]
    breaches = COMPARISONS.get(alarm.get("ComparisonOperator", ""))
    if not recent or breaches is None:
        return
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic", "Average")
    value = cloudwatch._stat_value(cloudwatch._calc_stats(recent), statistic, recent)
    before, after = alarm["StateValue"], "ALARM" if breaches(value, alarm["Threshold"]) else "OK"
    if before == after:
        return
    reason = f"Threshold Crossed: {statistic} {value} {alarm['ComparisonOperator']} {alarm['Threshold']}"
    alarm.update(StateValue=after, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
    cloudwatch._record_history(alarm["AlarmName"], before, after, reason)
    cloudwatch._dispatch_alarm_actions(alarm, before, after, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def _publish_for_ever() -> None:
    while True:
        time.sleep(PUBLISH_EVERY_S)
        scopes = set()
        for (account, region, _url), queue in sqs._queues.all_items():
            scopes.add((account, region))
            try:
                with responses.request_scope(account, region):
                    publish(queue, time.time())
            except Exception:
                logger.exception("publishing the metrics of a queue failed")
        for account, region in scopes:
            with responses.request_scope(account, region):
                cloudwatch._evaluate_all_alarms()


def publish(queue: dict[str, Any], now: float) -> None:
    """Depth, messages in flight and the age of the oldest message of one queue, in the current account's scope."""
    messages = list(queue.get("messages", []))
    hidden = [message for message in messages if message.get("visible_at", 0) > now]
    oldest = min((message.get("sent_at", now) for message in messages), default=now)
    dimensions = {"QueueName": queue["name"]}
    for name, value, unit in (
        ("ApproximateNumberOfMessagesVisible", len(messages) - len(hidden), "Count"),
        ("ApproximateNumberOfMessagesNotVisible", len(hidden), "Count"),
        ("ApproximateAgeOfOldestMessage", max(0.0, now - oldest), "Seconds"),
    ):
        cloudwatch.record_metric("AWS/SQS", name, value, unit, dimensions)
