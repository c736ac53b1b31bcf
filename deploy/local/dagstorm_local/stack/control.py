"""How the command line talks to a running supervisor: one JSON line asks, JSON lines answer, the last one is the end.

`{"verb": …, arguments}` → any number of `{"say": text}`, then `{"end": exit code, …}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

Say = Callable[[str], None]
Answer = Callable[[dict[str, Any], Say], Awaitable[dict[str, Any]]]


class NotRunning(Exception):
    """No supervisor answers in this folder."""


async def serve(path: Path, answer: Answer) -> asyncio.Server:
    """Answer requests on the socket; a request that fails is answered with exit code 1 and the reason."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(line: dict[str, Any]) -> None:
            writer.write(json.dumps(line).encode() + b"\n")

        try:
            request = json.loads(await reader.readline())
            send(await answer(request, lambda text: send({"say": text})))
        except Exception as error:  # whatever it was: the asker must hear of it
            send({"end": 1, "error": str(error) or type(error).__name__})
        finally:
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.close()

    return await asyncio.start_unix_server(connection, str(path))


def ask(path: Path, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The lines of the answer. Raises NotRunning if nobody listens or the supervisor went away in the middle."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            raise NotRunning(f"no supervisor answers at {path}") from None
        connection.sendall(json.dumps(request).encode() + b"\n")
        last: dict[str, Any] = {}
        for line in connection.makefile():
            last = json.loads(line)
            yield last
        if "end" not in last:
            raise NotRunning("the supervisor went away")
