"""What several test modules share, since starting it costs seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from system_rig import NewDatabase, open_to_all, postgres


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewDatabase]:
    """One PostgreSQL server; each module makes a database of its own."""
    with postgres(open_to_all(tmp_path_factory.mktemp("postgres"))) as make:
        yield make
