"""Dagster's run launcher: puts a run on the runs queue, from where the run-executor service takes it.

It lives in the webserver and the daemon, so it is plain synchronous code and connects at its first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from dagster import DagsterRunStatus
from dagster._core.launcher import RunLauncher
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, ResumeRunContext, WorkerStatus
from dagster._core.storage.dagster_run import DagsterRun
from dagster._serdes import ConfigurableClass, ConfigurableClassData

from dagstorm_local.contract import RUNS_QUEUE
from dagstorm_local.system.logs import tag_fields
from dagstorm_local.system.messages import Sender, run_message


class TaskiqRunLauncher(RunLauncher[Any], ConfigurableClass):
    """Launches by one message a run. A message that arrives twice does no harm: the executor claims the run."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        self._inst_data = inst_data
        self._sender = Sender(RUNS_QUEUE)
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls(inst_data=inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Raises where SQS does not take the message; Dagster then marks the run as failed."""
        self._send(context.dagster_run)

    def terminate(self, run_id: str) -> bool:
        """Ask for the run to be canceled: whoever executes it sees that, hands out no further step and marks it."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return True

    @property
    def supports_resume_run(self) -> bool:
        return True

    def resume_run(self, context: ResumeRunContext) -> None:
        """A second message: the executor resumes a run that has started, or leaves it to the one that holds it."""
        self._send(context.dagster_run)

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """A run not finished is either being executed or its message is on the queue: SQS redelivers it by itself."""
        if run.status in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED):
            return CheckRunHealthResult(WorkerStatus.SUCCESS)
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def _send(self, run: DagsterRun) -> None:
        self._sender.send(run_message(run.run_id, tag_fields(run.tags)))
