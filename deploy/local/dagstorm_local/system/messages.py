"""What travels on the queues: TaskIQ's wire format, one message a run, one message a step.

A message's labels carry what a log line needs, so that a message which is not executed can still be told of.
The sender is plain boto3, for Dagster's launcher and step handler are called from threads without an event loop.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskiq.formatters.json_formatter import JSONFormatter
from taskiq.message import TaskiqMessage

from dagstorm_local.system import runtime

RUN_TASK = "dagstorm.run"
STEP_TASK = "dagstorm.step"


def step_key_of(run_id: str, step: str) -> str:
    """The idempotency key of a step."""
    return f"{run_id}:{step}"


def run_message(run_id: str, labels: Mapping[str, str]) -> TaskiqMessage:
    """The message that asks for a run to be executed. Its task id is the run's, so a second copy is known as such."""
    return TaskiqMessage(
        task_id=run_id, task_name=RUN_TASK, labels={**labels, "run_id": run_id}, args=[run_id], kwargs={}
    )


def step_message(run_id: str, step: str, attempt: int, arguments: str, labels: Mapping[str, str]) -> TaskiqMessage:
    """The message that asks for one attempt of a step; `arguments` is Dagster's serialized ExecuteStepArgs."""
    return TaskiqMessage(
        task_id=f"{step_key_of(run_id, step)}:{attempt}",
        task_name=STEP_TASK,
        labels={**labels, "run_id": run_id, "step": step, "attempt": attempt},
        args=[arguments],
        kwargs={},
    )


def encode(message: TaskiqMessage) -> str:
    """The message as the body of an SQS message, as TaskIQ's own broker writes it."""
    return JSONFormatter().dumps(message).message.decode()


@dataclass
class Sender:
    """Sends messages to one queue. Thread-safe; connects at the first send. An error of AWS is the caller's."""

    queue: str

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._client: Any = None
        self._url = ""

    def send(self, message: TaskiqMessage) -> None:
        """Put the message on the queue. When this raises, the message may or may not have arrived."""
        client, url = self._connected()
        client.send_message(QueueUrl=url, MessageBody=encode(message))

    def _connected(self) -> tuple[Any, str]:
        with self._lock:
            if not self._url:
                self._client = self._client or runtime.aws_client("sqs")
                self._url = str(self._client.get_queue_url(QueueName=self.queue)["QueueUrl"])
            return self._client, self._url
