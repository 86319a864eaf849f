"""Calls of other functions as jobs of their own, and what is to be undone when the run ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import count
from typing import Any, Final, NamedTuple

from rfx._drive import in_thread
from rfx._errors import CallFailed
from rfx._link import Link
from rfx._output import Json, encode

_PASSED: Final = ("passed", "flaky")
"""The second is a function that passed after an attempt that did not."""


class Place(NamedTuple):
    """Where and for how long a called function is executed; None leaves it to the run."""

    version: str | None
    group: str | None
    queue: str | None
    timeout: float | None


class Calls:
    """The calls of one attempt. Numbered in their order, so that a repeat of the attempt finds their outcomes."""

    __slots__ = ("_calls", "_link", "_undos")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._calls = count(1)
        self._undos = count(1)

    def call(self, function: str, place: Place, values: Mapping[str, object]) -> Json:
        """Call a function as a job of its own, and wait for its output."""
        return self._call(function, _fields(next(self._calls), function, place), _input(values))

    async def call_async(self, function: str, place: Place, values: Mapping[str, object]) -> Json:
        """Call a function and wait for it without holding the loop. The number is taken before the wait."""
        fields, body = _fields(next(self._calls), function, place), _input(values)
        return await in_thread(lambda: self._call(function, fields, body))

    def undo(self, function: str, place: Place, values: Mapping[str, object]) -> None:
        """Have a function called when the run is torn down."""
        self._link.ask("undo", _fields(next(self._undos), function, place), _input(values))

    def _call(self, function: str, fields: Mapping[str, Any], body: bytes) -> Json:
        header, answer = self._link.ask("call", fields, body)
        output = json.loads(answer) if answer else None
        if header["verdict"] not in _PASSED:
            raise CallFailed(function, header["verdict"], header.get("error"), output)
        return output


def _fields(number: int, function: str, place: Place) -> dict[str, Any]:
    if not isinstance(function, str):
        raise TypeError(f"{function!r} is not a name, such as hosts.register; a function of Python is called by itself")
    name, at, version = function.partition("@")
    return {**place._asdict(), **({"version": version} if at else {}), "n": number, "function": name}


def _input(values: Mapping[str, object]) -> bytes:
    return encode(dict(values), (None, "input"))
