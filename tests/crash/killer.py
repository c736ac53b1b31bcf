"""A proxy in front of the emulated AWS that disturbs calls, or kills the operator after one: its answer never comes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

READS = ("Describe", "Get", "List")
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length")


@dataclass(frozen=True, order=True)
class Point:
    """After the first call of this action since so many changes. Looks are repeated every second: each counts once."""

    changes: int
    action: str

    def __str__(self) -> str:
        return f"{self.action} after {self.changes} changes"

    @property
    def is_change(self) -> bool:
        return not self.action.startswith(READS)


@dataclass
class Calls:
    """What went through the proxy, as points in the order of their first calls."""

    points: list[Point] = field(default_factory=list)
    changes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, action: str) -> Point:
        with self.lock:
            if not action.startswith(READS):
                self.changes += 1
            point = Point(self.changes, action)
            if point not in self.points:
                self.points.append(point)
            return point


class Server(ThreadingHTTPServer):
    """One whose clients may die at any time."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Mischief(Enum):
    """What becomes of a call beside being passed on."""

    REQUEST_LOST = "the connection is closed, AWS hears nothing"
    ANSWER_LOST = "AWS does it, then the connection is closed"
    ANSWER_HALF = "AWS does it, and half of its answer comes"
    SERVER_ERROR = "500 without a body, AWS hears nothing"
    ERROR_AFTERWARDS = "AWS does it, and 500 is answered"
    THROTTLED = "refused: too many requests"


class Killer:
    """Listens as AWS. At the point `at`, `victim` is killed before it hears the answer; `disturb` draws mischief."""

    def __init__(
        self, upstream_port: int, at: Point | None = None, disturb: Callable[[str], Mischief | None] | None = None
    ) -> None:
        self.calls = Calls()
        self.at = at
        self.disturb = disturb or (lambda _: None)
        self.done: Counter[Mischief] = Counter()
        self.victim: Callable[[], int] = lambda: 0
        self.has_struck = threading.Event()
        killer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                killer.pass_on(self, upstream_port)

            def do_GET(self) -> None:
                killer.pass_on(self, upstream_port)

            def log_message(self, format: str, *arguments: object) -> None:
                del format, arguments

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def pass_on(self, request: BaseHTTPRequestHandler, upstream_port: int) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        named = action(request, body)
        mischief = self.disturb(named)
        if mischief:
            self.done[mischief] += 1
        if mischief in (Mischief.REQUEST_LOST, Mischief.SERVER_ERROR, Mischief.THROTTLED):
            refuse(request, mischief)
            return
        headers = {key: value for key, value in request.headers.items() if key.lower() not in HOP_BY_HOP}
        upstream = http.client.HTTPConnection("127.0.0.1", upstream_port, timeout=30)
        try:
            upstream.request(request.command, request.path, body, headers)
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        if self._strikes(self.calls.note(named)):
            os.kill(self.victim(), signal.SIGKILL)
            self.has_struck.set()
            request.close_connection = True
            return
        if mischief in (Mischief.ANSWER_LOST, Mischief.ERROR_AFTERWARDS):
            refuse(request, mischief)
            return
        request.send_response_only(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in HOP_BY_HOP:
                request.send_header(key, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if mischief == Mischief.ANSWER_HALF:
            request.wfile.write(content[: len(content) // 2])
            request.close_connection = True
            return
        request.wfile.write(content)

    def _strikes(self, point: Point) -> bool:
        """A look that others of the operator's tasks take may come a little later than it once did."""
        with self.calls.lock:
            at = self.at
            if at is None or point.action != at.action:
                return False
            if point.changes < at.changes or (at.is_change and point.changes != at.changes):
                return False
            self.at = None
            return True


def refuse(request: BaseHTTPRequestHandler, mischief: Mischief) -> None:
    """Answers as AWS does when it is not well, or not at all."""
    request.close_connection = True
    if mischief in (Mischief.REQUEST_LOST, Mischief.ANSWER_LOST):
        return
    status, body, kind = 500, b"", "text/plain"
    if mischief == Mischief.THROTTLED and request.headers.get("X-Amz-Target"):
        status, kind = 400, request.headers.get("Content-Type", "application/x-amz-json-1.1")
        body = b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
    elif mischief == Mischief.THROTTLED:
        status, kind = 503, "text/xml"
        error = b"<Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message></Error>"
        body = b"<Response><Errors>" + error + b"</Errors><RequestID>1</RequestID></Response>"
    request.send_response_only(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def action(request: BaseHTTPRequestHandler, body: bytes) -> str:
    """What is called, as AWS names it."""
    target = request.headers.get("X-Amz-Target")
    if target:
        return target.rsplit(".", 1)[-1]
    form = parse_qs(body.decode(errors="replace"))
    if "Action" in form:
        return form["Action"][0]
    # CloudWatch over CBOR: /service/GraniteServiceVersion20100801/operation/DescribeAlarms
    return request.path.rsplit("/", 1)[-1] or json.dumps(request.path)
