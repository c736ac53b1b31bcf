"""What ministack's CloudWatch leaves out: the metrics of SQS, and a dashboard's body being looked at."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from dagstorm_local.aws.hooks import replace
from dagstorm_local.aws.private import cloudwatch, responses, sqs

logger = logging.getLogger("dagstorm.cloudwatch")

PUBLISH_EVERY_S = 5.0  # AWS: a minute


def install() -> None:
    """Publish AWS/SQS metrics every few seconds; refuse a dashboard whose body is no JSON object."""
    replace(cloudwatch, "_put_dashboard", _put_dashboard)
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


def _publish_for_ever() -> None:
    while True:
        time.sleep(PUBLISH_EVERY_S)
        for (account, region, _url), queue in sqs._queues.all_items():
            try:
                with responses.request_scope(account, region):
                    publish(queue, time.time())
            except Exception:
                logger.exception("publishing the metrics of a queue failed")


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
