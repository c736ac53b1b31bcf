"""TaskIQ's SQS broker, hardened for a network that fails and for messages that must come back.

What it changes of taskiq-aio-sqs 2.1.1, each guarded by a contract test: a message is received only when a slot is
free for it (the stock listener buffers 100), one long poll instead of a request a second, short time-outs, a failed
poll is retried with backoff and logged once, no S3 client. Acknowledging is the task's own business.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from typing import Any

from aiobotocore.config import AioConfig
from taskiq.acks import AckableMessage
from taskiq_aio_sqs import SQSBroker, SQSQueue
from taskiq_aio_sqs.exceptions import SQSBrokerError

from dagstorm_local.contract import REGION
from dagstorm_local.system import runtime
from dagstorm_local.system.logs import Log

# How long a poll waits. The emulator hands a message to a poll whose worker was killed meanwhile, and so hides it for a
# visibility time-out; the shorter the poll, the rarer that is.
POLL_S = int(os.environ.get("STACK_POLL", "3"))
SQS_ERRORS: tuple[type[Exception], ...] = (*runtime.AWS_ERRORS, SQSBrokerError, OSError, TimeoutError)


class Reachability:
    """Logs that SQS is out of reach, and that it is back, once each."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.lost = False

    def failed(self, error: BaseException) -> None:
        if not self.lost:
            self._log.warning("SQS is out of reach, retrying", error=f"{type(error).__name__}: {error}")
        self.lost = True

    def succeeded(self) -> None:
        if self.lost:
            self._log.info("SQS is within reach again")
        self.lost = False


class StackBroker(SQSBroker):
    """Listens to one queue.

    Guarantees: no message is received before a slot asks for it, and listening never ends by an error.
    """

    def __init__(self, queue: str, *, visibility_timeout: int, log: Log) -> None:
        super().__init__(
            queue,
            region_name=REGION,
            wait_time_seconds=POLL_S,
            visibility_timeout=visibility_timeout,
            expose_message_metadata=True,
        )
        self.reachability = Reachability(log)

    async def _get_sqs_client(self) -> Any:
        config = AioConfig(connect_timeout=2, read_timeout=POLL_S + 3, retries={"total_max_attempts": 1})
        self._client_context_creator = self._session.create_client("sqs", region_name=REGION, config=config)
        return await self._client_context_creator.__aenter__()

    async def _get_s3_client(self) -> Any:
        return None

    async def _get_queue_url(self, queue_name: str | None = None) -> str:
        """Keeps trying until SQS answers, so that a worker may start in the middle of a partition."""
        for wait in runtime.backoff():
            try:
                url: str = await super()._get_queue_url(queue_name)
            except SQS_ERRORS as error:
                self.reachability.failed(error)
                await asyncio.sleep(wait)
            else:
                self.reachability.succeeded()
                return url
        raise AssertionError("the backoff never ends")

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Yield messages one by one, each received only after the one before was taken."""
        url = await self._get_queue_url()
        while True:
            for message in await self._receive_messages(self._default_queue, url):
                ackable = await self._to_ackable_message(message, self._default_queue, url)
                if ackable is not None:
                    yield ackable

    async def _receive_messages(self, queue: SQSQueue, queue_url: str) -> list[dict[str, object]]:
        for wait in runtime.backoff():
            try:
                answer = await self._sqs_client.receive_message(
                    QueueUrl=queue_url,
                    MaxNumberOfMessages=1,
                    MessageSystemAttributeNames=["ApproximateReceiveCount"],
                    WaitTimeSeconds=queue.wait_time_seconds,
                    VisibilityTimeout=queue.visibility_timeout,
                )
            except SQS_ERRORS as error:
                self.reachability.failed(error)
                await asyncio.sleep(wait)
            else:
                self.reachability.succeeded()
                return list(answer.get("Messages", []))
        raise AssertionError("the backoff never ends")

    async def change_visibility(self, queue_url: str, receipt_handle: str, seconds: int) -> None:
        """Hide a received message for so long from now; 0 gives it back at once. Errors of SQS are the caller's."""
        await self._sqs_client.change_message_visibility(
            QueueUrl=queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
        )

    async def delete(self, queue_url: str, receipt_handle: str) -> None:
        """Acknowledge a received message. Errors of SQS are the caller's."""
        await self._sqs_client.delete_message(QueueUrl=queue_url, ReceiptHandle=receipt_handle)

    async def change_visibilities(self, queue_url: str, receipt_handles: list[str], seconds: int) -> None:
        """The same for any number of messages, ten a request. A handle that is no longer valid is passed over."""
        for start in range(0, len(receipt_handles), 10):
            entries = [
                {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                for number, handle in enumerate(receipt_handles[start : start + 10])
            ]
            await self._sqs_client.change_message_visibility_batch(QueueUrl=queue_url, Entries=entries)
