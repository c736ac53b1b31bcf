"""Guards for what we use of other projects beyond their promises: an upgrade that changes it fails here, by name."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from typing import Any

import dagster_postgres.event_log.event_log as postgres_events
import pytest
import taskiq_aio_sqs
from dagster import DagsterEvent, DagsterEventType, DagsterInstance
from dagster._cli import api as dagster_cli
from dagster._core.execution import context_creation_job
from dagster._core.executor.step_delegating import StepDelegatingExecutor, StepHandler
from dagster._core.instance.methods.event_methods import EventMethods
from taskiq.formatters.json_formatter import JSONFormatter
from taskiq_aio_sqs import sqs_broker

from dagstorm_local.contract import TASKS_QUEUE
from dagstorm_local.system import feed, messages
from dagstorm_local.system.broker import StackBroker
from dagstorm_local.system.executor import TaskiqExecutor
from dagstorm_local.system.logs import Log


def _parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


class FakeSqs:
    """Holds messages, and counts how many were asked for."""

    def __init__(self, bodies: list[str]) -> None:
        self.bodies = bodies
        self.received = 0
        self.sent: list[dict[str, Any]] = []

    async def get_queue_url(self, **_: Any) -> dict[str, str]:
        return {"QueueUrl": "http://sqs/queue"}

    async def send_message(self, **arguments: Any) -> None:
        self.sent.append(arguments)

    async def receive_message(self, **arguments: Any) -> dict[str, Any]:
        assert arguments["MaxNumberOfMessages"] == 1
        if not self.bodies:
            await asyncio.sleep(3600)
        self.received += 1
        attributes = {"ApproximateReceiveCount": "3"}
        body = self.bodies.pop(0)
        return {"Messages": [{"Body": body, "ReceiptHandle": f"r{self.received}", "Attributes": attributes}]}


def _broker(client: FakeSqs) -> StackBroker:
    broker = StackBroker(TASKS_QUEUE, visibility_timeout=5, log=Log())
    broker._sqs_client = client
    return broker


def _step() -> Any:
    return messages.step_message("run", "fast", 2, '{"args": "ü"}', {"key": "s/1/1"})


def test_the_stock_listener_hoards_and_ours_does_not() -> None:
    assert sqs_broker._LISTEN_STREAM_BUFFER == 100
    overridden = ("_get_sqs_client", "_get_s3_client", "_get_queue_url", "_receive_messages", "listen")
    assert all(getattr(StackBroker, name) is not getattr(taskiq_aio_sqs.SQSBroker, name) for name in overridden)
    for name in overridden:
        assert _parameters(getattr(StackBroker, name)) == _parameters(getattr(taskiq_aio_sqs.SQSBroker, name))

    async def take_one() -> int:
        client = FakeSqs([messages.encode(_step())] * 5)
        stream = _broker(client).listen()
        await anext(stream)
        await asyncio.sleep(0)
        await stream.aclose()
        return client.received

    assert asyncio.run(take_one()) == 1


def test_what_we_send_is_what_taskiq_s_broker_sends() -> None:
    async def kicked() -> str:
        client = FakeSqs([])
        broker = _broker(client)
        broker._queue_urls[TASKS_QUEUE] = "http://sqs/queue"
        await broker.kick(JSONFormatter().dumps(_step()))
        return str(client.sent[0]["MessageBody"])

    assert asyncio.run(kicked()) == messages.encode(_step())
    assert json.loads(messages.encode(_step()))["task_id"] == "run:fast:2"


def test_a_delivery_carries_its_receipt_and_receive_count() -> None:
    async def first() -> Any:
        broker = _broker(FakeSqs([messages.encode(_step())]))
        return broker.formatter.loads((await anext(broker.listen())).data)

    message = asyncio.run(first())
    assert message.task_name == messages.STEP_TASK and message.args == ['{"args": "ü"}']
    assert message.labels["sqs_receipt_handle"] == "r1" and message.labels["sqs_approximate_receive_count"] == "3"
    assert message.labels["run_id"] == "run" and message.labels["attempt"] == 2


def test_dagster_s_step_delegating_executor_has_the_hooks_we_override() -> None:
    for name in ("_pop_events", "_get_pop_events_offset"):
        assert _parameters(getattr(TaskiqExecutor, name)) == _parameters(getattr(StepDelegatingExecutor, name))
    source = inspect.getsource(StepDelegatingExecutor.execute)
    assert source.count("self._pop_events(") == 2 and "time.sleep(self._sleep_seconds)" in source
    assert StepHandler.__abstractmethods__ == {"name", "launch_step", "check_step_health", "terminate_step"}


def test_dagster_executes_a_step_as_our_worker_does() -> None:
    """Dagster's own command is the model of `steps.Steps.execute`."""
    source = inspect.getsource(dagster_cli._execute_step_command_body)
    for said in (
        "DagsterEvent.step_worker_started(",
        "known_state=args.known_state",
        "retry_mode=args.retry_mode",
        "execute_plan_iterator(",
    ):
        assert said in source


def test_dagster_s_loggers_can_be_silenced() -> None:
    assert callable(context_creation_job.__dict__["default_system_loggers"])
    assert "default_system_loggers(" in inspect.getsource(context_creation_job.create_log_manager)
    assert "dictConfig" in inspect.getsource(EventMethods.get_yaml_python_handlers)
    assert "self.get_yaml_python_handlers()" in inspect.getsource(EventMethods.get_handlers)
    assert callable(DagsterInstance.optimize_for_webserver)


def test_dagster_notifies_of_each_event() -> None:
    assert postgres_events.CHANNEL_NAME == feed.CHANNEL
    source = inspect.getsource(postgres_events.PostgresEventLogStorage.store_event)
    assert "NOTIFY {CHANNEL_NAME}" in source and 'res[0] + "_" + str(res[1])' in source


def test_a_subscription_wakes_for_events_and_asks_for_a_first_reading() -> None:
    subscription = feed.Subscription()
    assert subscription.take(0).rescan
    event = DagsterEvent(DagsterEventType.STEP_START.value, "job", step_key="a")
    threading.Timer(0.05, subscription.put, [[(1, event)]]).start()
    assert subscription.take(10).events == [(1, event)]
    subscription.ask_rescan()
    assert subscription.take(0) == feed.Batch(rescan=True)


@pytest.mark.parametrize("failures", [1, 3])
def test_listening_outlives_an_unreachable_queue(failures: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagstorm_local.system.runtime.backoff", lambda: iter([0.0] * 10))

    async def listened() -> bool:
        client = FakeSqs([messages.encode(_step())])
        broker = _broker(client)
        good, left = client.receive_message, [None] * failures

        async def flaky(**arguments: Any) -> dict[str, Any]:
            if left:
                left.pop()
                raise ConnectionRefusedError
            return await good(**arguments)

        client.receive_message = flaky  # type: ignore[method-assign]
        await anext(broker.listen())
        return broker.reachability.lost

    assert asyncio.run(listened()) is False
