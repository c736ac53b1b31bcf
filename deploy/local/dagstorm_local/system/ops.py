"""The ops of the specification: fast (20 ± 10 s) and slow (5 ± 2 min), asynchronous, scaled and seeded.

Ops hand nothing on but their being done, so a step that is executed twice leaves nothing behind that differs.
"""

# No postponed annotations in this file: Dagster compares the type of `context` itself.
import asyncio
from typing import Any

from dagster import In, Nothing, OpDefinition, OpExecutionContext, RetryPolicy, op

from dagstorm_local.contract import Settings
from dagstorm_local.system import runtime
from dagstorm_local.system.durations import FAST, SLOW, Span, draw
from dagstorm_local.system.logs import KEY_TAG

FAIL_TAG = "dagstorm/fail-attempts"  # on a run: every op raises in its first N attempts
RETRIES = 2


class RequestedFailure(Exception):
    """The run's tag asked for it."""


def fast(name: str) -> OpDefinition:
    """An op of 20 ± 10 s, to be placed after any number of others."""
    return _timed(name, FAST)


def slow(name: str) -> OpDefinition:
    """An op of 5 ± 2 min, to be placed after any number of others."""
    return _timed(name, SLOW)


def _timed(name: str, span: Span) -> OpDefinition:
    @op(name=name, ins={"after": In(Nothing)}, retry_policy=RetryPolicy(max_retries=RETRIES, delay=0.2))
    async def timed(context: OpExecutionContext) -> None:
        settings: Settings = runtime.settings()
        tags: dict[str, Any] = dict(context.run.tags)
        run = str(tags.get(KEY_TAG, context.run_id))
        await asyncio.sleep(draw(span, scale=settings.scale, seed=settings.seed, run=run, step=name))
        if context.retry_number < int(tags.get(FAIL_TAG, 0)):
            raise RequestedFailure(f"attempt {context.retry_number + 1} of {name} fails, as the run's tag asks")

    return timed
