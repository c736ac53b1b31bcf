"""The operator's GraphQL documents against the schema of the Dagster that is installed here."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster_graphql.schema import create_schema
from graphql import build_schema, parse, validate

FOLDER = Path(__file__).parents[3] / "src" / "world" / "graphql"
FRAGMENT = "event_page"


def documents() -> dict[str, str]:
    """Each document as the operator sends it: with the fragment where it names it."""
    texts = {path.stem: path.read_text() for path in FOLDER.glob("*.graphql")}
    fragment = texts.pop(FRAGMENT)
    return {name: text + fragment if "...EventPage" in text else text for name, text in texts.items()}


def errors(document: str) -> list[str]:
    schema = build_schema(str(create_schema()))
    return [error.message for error in validate(schema, parse(document))]


def test_there_are_documents() -> None:
    assert set(documents()) == {"runs", "events", "launch", "terminate", "locations", "config"}


@pytest.mark.parametrize("name", sorted(documents()))
def test_each_document_fits_the_schema(name: str) -> None:
    assert errors(documents()[name]) == []


def test_a_field_that_dagster_does_not_have_is_noticed() -> None:
    assert errors(documents()["runs"].replace("jobName", "jobsName")) != []
