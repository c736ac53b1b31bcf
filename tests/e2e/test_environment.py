"""What can be wrong around the operator: a clear condition within seconds, no crash, no busy loop; then it goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rig import Document, Operator, Stack, burst, scenario

FAST = {"fast_job": 1}
CPU_SHARE = 0.6  # of one processor: who waits busily takes a whole one


@contextmanager
def turning_away() -> Iterator[str]:
    """A server that answers as a Dagster behind a login does when the token is bad."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = b'{"error": "Invalid or missing token"}'
            self.send_response(401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/graphql"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_everything_that_cannot_be_used(operator: Operator, stack: Stack) -> None:
    right = stack.target()["spec"]["dagster"]["url"]
    kill = {"name": "kill", "after": "0s", "stopTasks": {"service": "workers", "pick": "one"}}
    with turning_away() as locked:

        def url(address: str) -> Document:
            target = stack.target()
            target["spec"]["dagster"]["url"] = address
            return target

        def cluster() -> Document:
            target = stack.target()
            target["spec"]["ecs"]["cluster"] = "elsewhere"
            return target

        def token() -> Document:
            target = stack.target()
            target["spec"]["dagster"]["headersFromEnv"] = {"Dagster-Cloud-Api-Token": "NO_SUCH_VARIABLE"}
            return target

        def location() -> Document:
            target = stack.target()
            target["spec"]["dagster"]["location"] = "elsewhere"
            return target

        wrong: list[tuple[str, Document, Document, str, str]] = [
            ("nobody-listens", url("http://127.0.0.1:9/graphql"), {}, "DagsterUnreachable", "127.0.0.1:9"),
            ("another-path", url(right.replace("/graphql", "/elsewhere")), {}, "NotDagster", "405"),
            ("bad-token", url(locked), {}, "DagsterUnauthorized", "Invalid or missing token"),
            ("no-token", token(), {}, "DagsterUnauthorized", "NO_SUCH_VARIABLE"),
            ("no-location", location(), {}, "LocationNotFound", "elsewhere"),
            ("no-cluster", cluster(), {"faults": [kill]}, "ServiceNotFound", "elsewhere"),
            ("no-job", stack.target(), {"jobs": {"no_such_job": 1}}, "JobsNotFound", "no_such_job"),
        ]
        for name, target, changes, _, _ in wrong:
            spec = {key: value for key, value in changes.items() if key != "jobs"}
            target["metadata"]["name"] = f"{name}-target"
            operator.drop(target)
            operator.drop(burst(name, 1, changes.get("jobs", FAST), target=f"{name}-target", **spec))
        operator.start()
        for name, _, _, reason, words in wrong:
            ready = operator.wait_condition(name, "Ready", reason)
            assert ready["status"] == "False"
            assert words in ready["message"], ready
            assert operator.status(name)["phase"] == "Waiting"

        began, used = time.monotonic(), operator.cpu_s()
        operator.drop(scenario("beside", {"constant": {"rate": "1/s"}}, "5s", FAST))
        assert operator.wait_verdict("beside")["phase"] == "Passed", "the others do not disturb it"
        assert operator.cpu_s() - used < CPU_SHARE * (time.monotonic() - began), "it is busy with waiting"

        # It goes on when the cause is gone.
        for name in ("nobody-listens", "bad-token", "no-token", "no-cluster"):
            target = stack.target(f"{name}-target")
            operator.drop(target)
        operator.drop(burst("no-job", 1, FAST, target="no-job-target"))
        for name in ("nobody-listens", "bad-token", "no-token", "no-job"):
            ended = operator.wait_phase(name, "Passed", "Failed", "Unknown")
            assert ended["phase"] == "Passed", ended
        operator.wait("no-cluster", "a start", lambda status: status["phase"] != "Waiting", 20)
    assert operator.is_alive()


def test_dagster_dies_in_the_middle_and_comes_back(operator: Operator, stack: Stack) -> None:
    operator.drop(scenario("outage", {"constant": {"rate": "1/s"}}, "14s", FAST))
    operator.start()
    operator.wait("outage", "some launches", lambda status: status["load"]["acknowledged"] >= 2, 10)
    stack.command("part", "stop", "webserver")
    try:
        operator.wait_condition("outage", "Ready", "DagsterUnreachable")
        began, used = time.monotonic(), operator.cpu_s()
        waiting = operator.wait("outage", "launches that wait", lambda status: status["load"]["due"] >= 9, 15)
        assert waiting["load"]["attempted"] < waiting["load"]["due"], "a Dagster that is down is not called for each"
        assert operator.cpu_s() - used < CPU_SHARE * (time.monotonic() - began), "it is busy with waiting"
    finally:
        stack.command("part", "start", "webserver")
    ended = operator.wait_verdict("outage", within_s=90)
    assert ended["phase"] == "Passed", ended
    assert set(stack.runs_by_key("outage").values()) == {1}
    assert len(stack.runs_by_key("outage")) == ended["load"]["planned"]
