"""Keeps the GraphQL schema of the Dagster that is installed here, for the tests of the operator's documents.

`python -m dagstorm_local.sdl FILE` writes it, gzipped, with the version in its first line. It needs dagster-graphql
alone: the file of the oldest supported version was written by the same lines.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

from dagster_graphql.schema import create_schema
from dagster_graphql.version import __version__


def text() -> str:
    """The schema as it is kept."""
    return f"# Dagster {__version__}\n{create_schema()}\n"


def main(path: Path) -> None:
    # Without the time, so that the same schema is the same file.
    path.write_bytes(gzip.compress(text().encode(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
