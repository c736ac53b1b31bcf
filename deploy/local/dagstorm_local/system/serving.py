"""Listening on a queue until told to stop: what the workers and the run-executor have in common."""

from __future__ import annotations

import asyncio
import signal

from taskiq import AcknowledgeType
from taskiq.receiver import Receiver

from dagstorm_local.system import runtime
from dagstorm_local.system.broker import StackBroker
from dagstorm_local.system.logs import Log


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def listen(broker: StackBroker, at_once: int, stop: asyncio.Event, who: runtime.Identity, log: Log) -> None:
    """Execute the queue's messages, `at_once` at a time, until `stop`; returns when the last one has finished.

    Acknowledging is left to the tasks: what they do not acknowledge is delivered again.
    """
    broker.is_worker_process = True
    await broker.startup()
    receiver = Receiver(
        broker, validate_params=False, max_async_tasks=at_once, run_startup=False, ack_type=AcknowledgeType.MANUAL
    )
    runtime.mark_ready(who)
    log.info("listening", queue=broker._sqs_queue_name)
    await receiver.listen(stop)
    await broker.shutdown()
