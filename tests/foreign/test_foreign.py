"""What dagstorm says of runs on a Dagster that we did not set up, against a verdict from Dagster's own records."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import pytest
from foreign_instance import PROGRAM, VERSION, ForeignDagster
from foreign_oracle import differences
from foreign_records import WRITER
from foreign_scenarios import CASES
from foreign_stage import ENVIRONMENT, EXIT, Case, Outcome, carry_out, described

# So many scenarios at once: they wait more than they compute.
AT_ONCE = int(os.environ.get("FOREIGN_AT_ONCE", "10"))


@pytest.fixture(scope="session")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignDagster]:
    assert PROGRAM.is_file(), f"{PROGRAM} is missing: run `cargo build` first"
    dagster = ForeignDagster(tmp_path_factory.mktemp("dagster"))
    try:
        dagster.start()
        yield dagster
    finally:
        dagster.end()


@pytest.fixture(scope="session")
def outcomes(
    dagster: ForeignDagster, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[list[Outcome]]]]:
    """All cases that are asked for, carried out beside each other."""
    folder = tmp_path_factory.mktemp("cases")
    asked = [item.callspec.params.get("case") for item in request.session.items if hasattr(item, "callspec")]
    wanted = {case.name for case in asked if isinstance(case, Case)}
    locks = {case.alone: Lock() for case in CASES}

    def carry(case: Case) -> list[Outcome]:
        if case.alone is None:
            return carry_out(dagster, case, folder / case.name)
        with locks[case.alone]:
            return carry_out(dagster, case, folder / case.name)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        cases = [case for case in CASES if case.name in wanted and case.since <= VERSION]
        yield {case.name: pool.submit(carry, case) for case in cases}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_verdict_is_that_of_dagsters_own_records(case: Case, outcomes: dict[str, Future[list[Outcome]]]) -> None:
    if case.since > VERSION:
        pytest.skip(f"Dagster {'.'.join(map(str, VERSION))}: {case.why_since}")
    results = outcomes[case.name].result()
    verdicts = (case.verdict,) if isinstance(case.verdict, str) else case.verdict
    for verdict, outcome in zip(verdicts, results, strict=True):
        compare(case, verdict, outcome)


def compare(case: Case, verdict: str, outcome: Outcome) -> None:
    judged = outcome.judged
    if verdict == "Unusable":
        launched = [run for run in outcome.runs if run.tags.get(WRITER) == outcome.writer]
        assert (outcome.exit_code, outcome.report, launched) == (ENVIRONMENT, None, []), described(outcome)
        return
    seen = {name: judged.counts[name] for name in case.sees or {}}
    assert seen == (case.sees or {}), f"the case did not happen\n{described(outcome)}"
    if case.sees is not None and verdict != "Any":
        assert judged.verdict == verdict, f"the case did not happen: {judged}\n{described(outcome)}"
    assert outcome.report is not None, described(outcome)
    wrong = differences(judged, outcome.report)
    assert not wrong, "\n".join([*wrong, described(outcome)])
    assert outcome.exit_code == EXIT[judged.verdict], described(outcome)
