"""What every process of the system needs of its surroundings: who it is, where PostgreSQL and SQS are, being ready."""

from __future__ import annotations

import json
import os
import random
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from dagstorm_local.contract import REGION, Settings
from dagstorm_local.system.settings import from_environment

PROTECTED_MIN = 60  # far longer than any step takes
AWS_ERRORS: tuple[type[Exception], ...] = (BotoCoreError, ClientError)


@dataclass(frozen=True)
class Identity:
    """Which ECS task this process is; outside ECS only the process id is known."""

    task_arn: str | None
    task_id: str

    @property
    def owner(self) -> str:
        """Names this very process: a task that is started again is another owner."""
        return f"{self.task_id}/{os.getpid()}"


def settings() -> Settings:
    """The settings this process was deployed with."""
    return from_environment(os.environ)


def identity() -> Identity:
    """Ask the task metadata endpoint who we are. Answers within about two seconds, never raises."""
    base = os.environ.get("ECS_CONTAINER_METADATA_URI_V4")
    if base:
        try:
            with urllib.request.urlopen(f"{base}/task", timeout=2) as answer:
                arn = str(json.load(answer)["TaskARN"])
            return Identity(arn, arn.rsplit("/", 1)[-1])
        except (OSError, ValueError, KeyError):
            pass
    return Identity(None, f"local-{os.getpid()}")


def protect(on: bool) -> None:
    """Ask the ECS agent to keep scale-in away from this task, or not any more. Never raises: without it, steps that
    are stopped half done are executed again."""
    base = os.environ.get("ECS_AGENT_URI")
    if base:
        wanted = {"ProtectionEnabled": True, "ExpiresInMinutes": PROTECTED_MIN} if on else {"ProtectionEnabled": False}
        headers = {"Content-Type": "application/json"}
        address = f"{base}/task-protection/v1/state"
        with suppress(OSError, ValueError):
            request = urllib.request.Request(address, json.dumps(wanted).encode(), headers, method="PUT")
            urllib.request.urlopen(request, timeout=2).close()


def postgres_url() -> str:
    """The stack's PostgreSQL as SQLAlchemy reads it; psycopg2 is named, for SQLAlchemy would take psycopg 3.

    Sets DAGSTORM_POSTGRES_URL, which dagster.yaml reads, where only STACK_POSTGRES was given.
    """
    if "DAGSTORM_POSTGRES_URL" not in os.environ:
        address, database = os.environ["STACK_POSTGRES"], os.environ.get("STACK_POSTGRES_DB", "postgres")
        os.environ["DAGSTORM_POSTGRES_URL"] = f"postgresql+psycopg2://postgres:@{address}/{database}"
    return os.environ["DAGSTORM_POSTGRES_URL"]


def postgres_dsn() -> str:
    """The same database as libpq reads it, for plain psycopg2."""
    return postgres_url().replace("postgresql+psycopg2://", "postgresql://", 1)


def aws_config(read_timeout: float = 5) -> Config:
    """Short time-outs, so that a partition is noticed; our own loops retry, so the client hardly does."""
    retries = {"mode": "standard", "total_max_attempts": 2}
    return Config(connect_timeout=2, read_timeout=read_timeout, retries=retries)  # type: ignore[no-untyped-call]


def aws_client(service: str) -> Any:
    """A boto3 client; thread-safe. Endpoint and credentials come from the environment."""
    region = os.environ.get("AWS_REGION", REGION)
    return boto3.client(service, region_name=region, config=aws_config())  # type: ignore[no-untyped-call]


def backoff(first: float = 0.2, most: float = 5.0, draw: Callable[[], float] = random.random) -> Iterator[float]:
    """Waits that double from `first` to `most`, each with jitter down to a half."""
    wait = first
    while True:
        yield wait * (0.5 + draw() / 2)
        wait = min(most, wait * 2)


def mark_ready(who: Identity) -> None:
    """Tell the supervisor that this task listens: `{STACK_READY_DIR}/{task id}`."""
    folder = os.environ.get("STACK_READY_DIR")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / who.task_id).write_text(f"{os.getpid()}\n")
