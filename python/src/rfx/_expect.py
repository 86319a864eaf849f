"""Assertions that are written down: soft ones that do not end the function, and exceptions that are expected."""

from __future__ import annotations

import json
import os.path
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Generic, NamedTuple, TypeVar

from rfx._errors import MISSING, Failed
from rfx._output import Json, shown

_LONGEST: Final = 64 << 10
"""Characters that are written down of one side of a comparison."""

E = TypeVar("E", bound=BaseException)


class Assertion(NamedTuple):
    """One recorded comparison: what was expected, what was seen, and whether they agreed."""

    label: str
    passed: bool
    expected: Any
    seen: Any
    message: str


def label(file: str, line: int) -> str:
    """Name the place of an assertion."""
    return f"{os.path.basename(file)}:{line}"  # noqa: PTH119 - pathlib is slow to import


def written(value: object) -> Json:
    """Make a plain value that fits into a report: a large one is cut to the start and the end of its text."""
    made = shown(value)
    if isinstance(made, (str, list, dict)):
        text = made if isinstance(made, str) else json.dumps(made, ensure_ascii=False)
        if len(text) > _LONGEST:
            return f"{text[: _LONGEST // 2]}\n… of {len(text):,} characters …\n{text[-_LONGEST // 2 :]}"
    return made


def compared(seen: object, expected: object, message: str, caller: FrameType) -> Assertion:
    """Write a comparison down now: what was compared may change before the function ends."""
    place = label(caller.f_code.co_filename, caller.f_lineno)
    return Assertion(place, bool(seen == expected), written(expected), written(seen), message)


def of_failure(problem: AssertionError) -> Assertion | None:
    """Write down what an exception says of a comparison, where it says anything."""
    expected, seen = getattr(problem, "expected", MISSING), getattr(problem, "seen", MISSING)
    if seen is MISSING:
        return None
    place = _place(problem)
    return Assertion(place, False, None if expected is MISSING else written(expected), written(seen), str(problem))


@contextmanager
def soft(assertions: list[Assertion], message: str) -> Iterator[None]:
    """Write an `assert` that does not hold down and go on behind the block."""
    try:
        yield
    except AssertionError as problem:
        found = of_failure(problem)
        if found is None:
            found = Assertion(_place(problem), False, None, None, str(problem))
        assertions.append(found._replace(message=f"{message}: {found.message}" if message else found.message))


class raises(Generic[E]):
    """A block that must raise: `with rfx.raises(KeyError, match="host") as caught: …`, then `caught.value`."""

    value: E

    def __init__(self, kind: type[E] | tuple[type[E], ...], *, match: str | None = None) -> None:
        self._kind = kind
        self._match = match

    def __enter__(self) -> raises[E]:
        return self

    def __exit__(self, _: object, problem: BaseException | None, trace: TracebackType | None) -> bool:
        if problem is None:
            raise Failed(f"nothing was raised, expected {self._names()}", expected=self._names(), seen=None)
        if not isinstance(problem, self._kind):
            return False
        if self._match is not None and not re.search(self._match, str(problem)):
            message = f"{type(problem).__name__} was raised, but its message does not match"
            raise Failed(message, expected=self._match, seen=str(problem)) from problem
        self.value = problem
        return True

    def _names(self) -> str:
        kinds = self._kind if isinstance(self._kind, tuple) else (self._kind,)
        return " or ".join(kind.__name__ for kind in kinds)


def _place(problem: BaseException) -> str:
    """Find the last line of the author's that an exception came through."""
    place, trace = "", problem.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] != "rfx":
            place = label(trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return place
