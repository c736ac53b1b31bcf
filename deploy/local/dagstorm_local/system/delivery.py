"""One delivery of a message: who it is about, and the three ways to settle it (delete, give back, keep hidden)."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from botocore.exceptions import ClientError
from taskiq import Context
from taskiq_aio_sqs import (
    SQS_APPROXIMATE_RECEIVE_COUNT_LABEL,
    SQS_QUEUE_URL_LABEL,
    SQS_RECEIPT_HANDLE_LABEL,
)

from dagstorm_local.system import runtime
from dagstorm_local.system.broker import SQS_ERRORS, StackBroker
from dagstorm_local.system.logs import Log


@dataclass
class Delivery:
    """A received message. Until it is settled it is ours for as long as its visibility time-out lasts."""

    broker: StackBroker
    labels: Mapping[str, str]
    queue_url: str
    receipt_handle: str
    receive_count: int
    log: Log

    @classmethod
    def of(cls, context: Context, broker: StackBroker, log: Log) -> Delivery:
        """What TaskIQ handed to the task; the broker exposes SQS's part of it as labels."""
        labels = {name: str(value) for name, value in context.message.labels.items()}
        count = int(labels.get(SQS_APPROXIMATE_RECEIVE_COUNT_LABEL, "1"))
        fields = {name: labels.get(name) for name in ("scenario", "key", "run_id", "step")}
        attempt = int(labels["attempt"]) if "attempt" in labels else None
        bound = log.bind(**fields, attempt=attempt, receive_count=count)
        return cls(broker, labels, labels[SQS_QUEUE_URL_LABEL], labels[SQS_RECEIPT_HANDLE_LABEL], count, bound)

    async def delete(self, patience_s: float) -> bool:
        """Acknowledge, trying for `patience_s`. False: SQS did not take it, so the message will be delivered again."""
        deadline = time.monotonic() + patience_s
        for wait in runtime.backoff():
            try:
                await self.broker.delete(self.queue_url, self.receipt_handle)
                return True
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if "ReceiptHandleIsInvalid" in code:
                    self.log.warning("The acknowledgement came too late: the message was delivered again meanwhile")
                    return False
                last: Exception = error
            except SQS_ERRORS as error:
                self.broker.reachability.failed(error)
                last = error
            if time.monotonic() + wait > deadline:
                self.log.warning("The acknowledgement was lost", error=f"{type(last).__name__}: {last}")
                return False
            await asyncio.sleep(wait)
        raise AssertionError("the backoff never ends")

    async def give_back(self, seconds: float) -> None:
        """Let the message be delivered again in `seconds`, rounded up; where SQS is out of reach, when it times out."""
        try:
            await self.broker.change_visibility(self.queue_url, self.receipt_handle, math.ceil(seconds))
        except SQS_ERRORS as error:
            self.log.warning("Could not give the message back", error=f"{type(error).__name__}: {error}")

    def pause_s(self, lease_left_s: float) -> float:
        """How long to leave a message alone that another holds: its lease, and longer the more often it came.

        A message that is received too often ends among the dead letters.
        """
        return lease_left_s + 0.5 + min(20, max(0, self.receive_count - 3))

    async def keep_hidden(self, visibility_timeout_s: int) -> None:
        """Extend the visibility time-out for ever; to be cancelled. A beat that SQS missed is made good by the next."""
        while True:
            await asyncio.sleep(visibility_timeout_s / 3)
            try:
                await self.broker.change_visibility(self.queue_url, self.receipt_handle, visibility_timeout_s)
            except ClientError as error:
                self.log.warning("Could not extend the visibility time-out", error=str(error))
                if "ReceiptHandleIsInvalid" in str(error):
                    return
            except SQS_ERRORS as error:
                self.broker.reachability.failed(error)
