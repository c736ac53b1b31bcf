"""A TCP proxy for one task and one destination, whose traffic can be cut as AWS cuts it, without root.

A security group that stops allowing a connection drops the packets of *new* ones. Here the listening socket's accept
queue is made one long and kept full, so that the kernel drops each SYN: a client hangs in connect() until its own
time-out, and a client that still waits when the rule comes back gets through at the next retransmission. (Linux; other
kernels may let a connection or two in, which then get no answer.) A network ACL drops the packets of established
connections too: they stall, nothing is closed, and they resume if the ACL lets them through again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field

BACKLOG = 128
CHUNK = 256 * 1024
DUMMIES_AT_MOST = 8
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Upstream:
    """Where the proxy really connects to: a TCP address of this machine, or a Unix socket."""

    host: str = LOOPBACK
    port: int = 0
    path: str | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.path is not None:
            return await asyncio.open_unix_connection(self.path, limit=CHUNK)
        return await asyncio.open_connection(self.host, self.port, limit=CHUNK)


@dataclass
class Proxy:
    """Listens on a free port of the loopback interface from construction on; `serve` must run for it to work.

    All methods but the constructor must be called in the event loop that runs `serve`.
    """

    upstream: Upstream
    connections: int = 0  # open now
    accepted: int = 0  # ever
    _listener: socket.socket = field(init=False)
    _accepting: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _flowing: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _dummies: list[socket.socket] = field(init=False, default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _accept: asyncio.Task[tuple[socket.socket, object]] | None = field(init=False, default=None)
    _server: asyncio.Task[None] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setblocking(False)
        self._listener.bind((LOOPBACK, 0))
        self._listener.listen(BACKLOG)
        self._accepting.set()
        self._flowing.set()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def open_to_new(self) -> bool:
        return self._accepting.is_set()

    @property
    def flowing(self) -> bool:
        return self._flowing.is_set()

    def start(self) -> None:
        self._server = asyncio.get_running_loop().create_task(self._serve())

    def allow(self, new: bool, established: bool) -> None:
        """Let new connections in or not, let established ones flow or not. Idempotent."""
        if established:
            self._flowing.set()
        else:
            self._flowing.clear()
        if new and not self._accepting.is_set():
            self._drain_dummies()
            self._listener.listen(BACKLOG)
            self._accepting.set()
        elif not new and self._accepting.is_set():
            self._accepting.clear()
            if self._accept is not None:
                self._accept.cancel()
            self._fill_queue()

    def close(self) -> None:
        """Close the listener and every connection at once."""
        for task in (self._server, self._accept, *self._tasks):
            if task is not None:
                task.cancel()
        for dummy in self._dummies:
            dummy.close()
        self._listener.close()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._accepting.wait()
            self._accept = loop.create_task(loop.sock_accept(self._listener))
            try:
                client, _ = await self._accept
            except asyncio.CancelledError:
                if self._accepting.is_set() or self._listener.fileno() < 0:
                    raise
                continue
            except OSError:
                if self._listener.fileno() < 0:
                    return
                await asyncio.sleep(0.05)  # out of file descriptors: try again
                continue
            task = loop.create_task(self._connection(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connection(self, client: socket.socket) -> None:
        self.connections += 1
        self.accepted += 1
        writers: list[asyncio.StreamWriter] = []
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            near_reader, near_writer = await asyncio.open_connection(sock=client, limit=CHUNK)
            writers.append(near_writer)
            far_reader, far_writer = await self.upstream.connect()
            writers.append(far_writer)
            await asyncio.gather(self._pump(near_reader, far_writer), self._pump(far_reader, near_writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # either end is gone: the other one is closed below
        finally:
            self.connections -= 1
            for writer in writers:
                writer.transport.abort()
            if not writers:
                client.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if not self._flowing.is_set():
                await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        await self._flowing.wait()
        with contextlib.suppress(OSError):
            writer.write_eof()

    def _fill_queue(self) -> None:
        """Occupy the accept queue, so that the kernel drops every further SYN."""
        self._listener.listen(0)
        for _ in range(DUMMIES_AT_MOST):
            dummy = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            dummy.settimeout(0.005)
            try:
                dummy.connect(self._listener.getsockname())
            except OSError:
                dummy.close()
                return
            self._dummies.append(dummy)

    def _drain_dummies(self) -> None:
        """Close our own connections; they are accepted like others later and end at once."""
        for dummy in self._dummies:
            dummy.close()
        self._dummies.clear()
