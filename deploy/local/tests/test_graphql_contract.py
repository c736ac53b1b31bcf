"""The operator's GraphQL documents against the schema of the Dagster that is installed here."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster_graphql.schema import create_schema
from graphql import build_schema, parse, validate

DOCUMENTS = sorted((Path(__file__).parents[3] / "src" / "world" / "graphql").glob("*.graphql"))


def errors(document: str) -> list[str]:
    schema = build_schema(str(create_schema()))
    return [error.message for error in validate(schema, parse(document))]


def test_there_are_documents() -> None:
    assert {path.stem for path in DOCUMENTS} == {"runs", "events", "launch"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_each_document_fits_the_schema(path: Path) -> None:
    assert errors(path.read_text()) == []


def test_a_field_that_dagster_does_not_have_is_noticed() -> None:
    document = next(path for path in DOCUMENTS if path.stem == "runs").read_text()
    assert errors(document.replace("jobName", "jobsName")) != []
