"""One JSON line schema for the executor, the workers and the autoscaler.

Every line has `timestamp` (RFC 3339, UTC), `level`, `component`, `message`; where they are known also `scenario`,
`key`, `run_id`, `step`, `attempt`, `task_arn`, `receive_count`, and what else the call names. Lines of other
libraries pass through the same formatter, at WARNING and above only.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

KEY_TAG = "dagstorm/key"
SCENARIO_TAG = "dagstorm/scenario"

_LOGGER_NAME = "dagstorm"
_FIELDS = "dagstorm_fields"


class JsonFormatter(logging.Formatter):
    """Renders a record as one JSON line. Values that JSON does not know are written as their text."""

    def __init__(self, component: str, common: Mapping[str, object]) -> None:
        super().__init__()
        self._component = component
        self._common = {name: value for name, value in common.items() if value is not None}

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "component": self._component,
            "message": record.getMessage(),
            **self._common,
        }
        if record.name != _LOGGER_NAME:
            line["logger"] = record.name
        line.update(getattr(record, _FIELDS, {}))
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Log:
    """Writes lines with fields: `log.info("Finished", step="fast", attempt=1)`. None means not known: left out."""

    def __init__(self, **bound: object) -> None:
        self._logger = logging.getLogger(_LOGGER_NAME)
        self._bound = {name: value for name, value in bound.items() if value is not None}

    def bind(self, **fields: object) -> Log:
        """A log whose every line carries these fields too."""
        return Log(**{**self._bound, **fields})

    def info(self, message: str, **fields: object) -> None:
        self._write(logging.INFO, message, fields)

    def warning(self, message: str, **fields: object) -> None:
        self._write(logging.WARNING, message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._write(logging.ERROR, message, fields)

    def _write(self, level: int, message: str, fields: Mapping[str, object]) -> None:
        known = {name: value for name, value in fields.items() if value is not None}
        self._logger.log(level, message, extra={_FIELDS: {**self._bound, **known}})


def configure(component: str, task_arn: str | None) -> Log:
    """Route every logger of this process to standard output in the one schema; call once, first thing."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(component, {"task_arn": task_arn}))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_LOGGER_NAME).setLevel(logging.INFO)
    logging.captureWarnings(True)
    for noisy in ("py.warnings", "taskiq.receiver.receiver", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    return Log()


def tag_fields(tags: Mapping[str, str]) -> dict[str, str]:
    """The fields of a run's `dagstorm/…` tags that belong into every line about it."""
    named = {"key": tags.get(KEY_TAG), "scenario": tags.get(SCENARIO_TAG)}
    return {name: value for name, value in named.items() if value is not None}
