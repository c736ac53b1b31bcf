"""The kept GraphQL schema, which tests/wire judges the operator's documents by, is that of the installed Dagster."""

from __future__ import annotations

import difflib
import gzip
from pathlib import Path

from dagstorm_local.sdl import text

KEPT = Path(__file__).parents[3] / "tests" / "contract" / "installed.graphql.gz"


def test_the_kept_schema_is_that_of_the_installed_dagster() -> None:
    kept = gzip.decompress(KEPT.read_bytes()).decode().splitlines()
    changes = list(difflib.unified_diff(kept, text().splitlines(), "kept", "installed", lineterm="", n=0))
    assert not changes, "`make sdl` keeps the new one; then run `cargo test --test wire`:\n" + "\n".join(changes[:50])
