"""Dagster inside a long-lived process of ours: opened once, quiet, thread-safe, with connections that are kept.

Three things are changed of Dagster 1.13.27, each guarded by a contract test. Its console logger is silenced and its
YAML-defined log handlers are not configured anew for each run: that takes the logging lock and dead-locks threads.
Its storages open a connection a statement; the webserver's own switch keeps one instead.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from dagster import DagsterInstance, DagsterRun
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.execution import context_creation_job
from dagster._core.origin import JobPythonOrigin
from dagster._utils.hosted_user_process import recon_job_from_origin

from dagstorm_local.system import runtime

STATEMENT_TIMEOUT_MS = 15_000
POOL_RECYCLE_S = 600


def _no_loggers(_instance: object) -> Sequence[Any]:
    return []


def open_instance(connections: int) -> DagsterInstance:
    """The instance of DAGSTER_HOME; up to `connections` threads may use its storages at once."""
    runtime.postgres_url()
    setattr(context_creation_job, "default_system_loggers", _no_loggers)  # noqa: B010 - it is not exported
    instance = DagsterInstance.get()
    instance.get_yaml_python_handlers = list  # type: ignore[method-assign]
    instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, POOL_RECYCLE_S, connections)
    return instance


class Jobs:
    """Definitions of jobs, loaded once each and under a lock: two threads must not load them at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[str, ReconstructableJob] = {}

    def of(self, run: DagsterRun) -> ReconstructableJob:
        """The job that the run was launched from. Raises ValueError where the run does not say which."""
        origin = run.job_code_origin
        if not isinstance(origin, JobPythonOrigin):
            raise ValueError(f"run {run.run_id} does not say where its code is")
        with self._lock:
            job = self._loaded.get(origin.get_id())
            if job is None:
                job = recon_job_from_origin(origin)
                job.get_definition()
                self._loaded[origin.get_id()] = job
            return job
