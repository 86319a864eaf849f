"""Unit tests: functions are called as a worker calls them, without a server."""

from pathlib import Path

import rfx.testing

pool = rfx.testing.Pool(Path(__file__).parents[1])


def test_every_module_can_be_imported() -> None:
    assert not pool.broken


def test_somebody_is_greeted_by_name() -> None:
    outcome = pool.call("greetings.greet", name="Ada")
    assert outcome.kind == "passed", outcome.error
    assert outcome.output == {"text": "Hello, Ada!", "letters": 11}


def test_nobody_is_not_greeted() -> None:
    outcome = pool.call("greetings.greet", name="")
    assert outcome.kind == "failed"
