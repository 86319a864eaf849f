"""Unit tests of __NAME__, without a server."""

from pathlib import Path

import rfx.testing

pool = rfx.testing.Pool(Path(__file__).parents[1])


def test___TEST___passes() -> None:
    outcome = pool.call("__NAME__", name="web-1")
    assert outcome.kind == "passed", outcome.error
    assert outcome.output == {"name": "web-1"}


def test___TEST___fails_without_a_name() -> None:
    outcome = pool.call("__NAME__", name="")
    assert outcome.kind == "failed"
