"""What functions use comes to the same here as on a worker: `tests/it/context.rs` reads the same table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rfx.testing import Pool

DIRECTORY = Path(__file__).parents[2] / "tests" / "context"
CASES = json.loads((DIRECTORY / "table.json").read_text(encoding="utf-8"))
TABLE = [case for case in CASES if "here" not in case.get("not", [])]


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(DIRECTORY, secrets={"TOKEN": "hunter222"}) as pool:
        assert pool.broken == []
        yield pool


@pytest.mark.parametrize("case", TABLE, ids=[case["uses"] + str(case.get("with", "")) for case in TABLE])
def test_it_ends_as_the_table_says(case: dict[str, Any], pool: Pool) -> None:
    outcome = pool.call(case["uses"], **case.get("with", {}))
    assert outcome.kind == case["kind"], outcome
    if "output" in case:
        assert outcome.output == case["output"]
    error = outcome.error._asdict() if outcome.error else {}
    for name in ("type", "message"):
        if name in case:
            assert error[name] == case[name]
    kept = {name: artifact.content.decode() for name, artifact in outcome.artifacts.items() if name != "raw.bin"}
    assert case.get("artifacts", {}).items() <= kept.items()
    assert len(outcome.artifacts) == case.get("count", 0)
