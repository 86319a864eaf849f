"""What a function may return, how it is written, and what is refused with its place."""

from __future__ import annotations

import datetime
import decimal
import uuid
from dataclasses import dataclass
from enum import Enum

import pytest

from rfx import OutputError
from rfx._output import encode


class Level(Enum):
    LOW = 1


@dataclass
class Point:
    x: int
    level: Level = Level.LOW


class Scalar:
    """What a scalar or array of numpy looks like from here."""

    __module__ = "numpy"

    def tolist(self) -> list[float]:
        return [1, 2.5]


LOOP: list[object] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ("é", '"é"'),
        ({"a": (1, 2.5, True)}, '{"a":[1,2.5,true]}'),
        (Point(1), '{"x":1,"level":1}'),
        ({3, 1, 2}, "[1,2,3]"),
        (datetime.date(2026, 1, 31), '"2026-01-31"'),
        (uuid.UUID(int=0), '"00000000-0000-0000-0000-000000000000"'),
        (2**64 - 1, "18446744073709551615"),
        ({"array": Scalar()}, '{"array":[1,2.5]}'),
        (decimal.Decimal("1.10"), '"1.10"'),
        (datetime.time(10, 11), '"10:11:00"'),
    ],
)
def test_written_as_json(value: object, text: str) -> None:
    assert encode(value).decode() == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("inf"), "output: JSON has no inf; return None or a text"),
        (
            {"a": [Point(1), b"x"]},
            "output.a[1]: JSON has no bytes; decode it, or leave it as an artifact: ctx.artifact(…)",
        ),
        ({"a": {1: 2}}, "output.a: the key 1 is int, and JSON keys are texts"),
        ([2**64], "output[0]: the integer needs more than 64 bits; return it as text"),
        (["\ud800"], "output[0]: the text holds half a surrogate pair, which is not Unicode"),
        (LOOP, "output: nested deeper than 100 levels (does it contain itself?)"),
    ],
)
def test_refused_with_the_place(value: object, message: str) -> None:
    with pytest.raises(OutputError) as refusal:
        encode(value)
    assert str(refusal.value) == message
