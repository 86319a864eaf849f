"""What a rewritten `assert` calls when it does not hold. Only `_rewrite` and what it writes refer to this."""

from __future__ import annotations

import types
from typing import Final

from rfx._errors import MISSING

UNSEEN: Final = object()
"""Stands for a part that was not reached."""

_SHOWN: Final = 8
"""How many values one message shows."""
_LONGEST: Final = 200
_SAY_NOTHING: Final = (
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    type,
)


def broken(
    text: str,
    seen: tuple[tuple[str, object], ...],
    comparison: tuple[str, object, object] | None,
    message: object,
) -> AssertionError:
    """Make the exception of an assertion that does not hold."""
    values: dict[str, str] = {}
    for part, value in seen:
        if value is UNSEEN or isinstance(value, _SAY_NOTHING) or len(values) == _SHOWN:
            continue
        shown = shortened(value)
        if shown != part:  # a literal says itself
            values[part] = f"{part} is {shown}"
    said = f"assert {text}" + (f": {', '.join(values.values())}" if values else "")
    problem = AssertionError(said if message is None else f"{message}\n{said}")
    _compare(problem, seen, comparison)
    return problem


def shortened(value: object) -> str:
    """Show a value, in its middle shortened. One that cannot be shown is named by its type."""
    try:
        text = repr(value)
    except Exception:  # the fault of its author, and not what the assertion is about
        return f"<{type(value).__name__} that cannot be shown>"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"


def _compare(
    problem: AssertionError, seen: tuple[tuple[str, object], ...], comparison: tuple[str, object, object] | None
) -> None:
    """Leave both sides with the exception, where they are written down: what was seen, and what was expected."""
    expected: object = MISSING
    value = seen[0][1] if seen else MISSING
    if comparison is not None:
        operator, value, expected = comparison
        if operator != "==":
            expected = f"{operator} {shortened(expected)}"
    vars(problem).update(expected=expected, seen=value, comparable=comparison is not None and comparison[0] == "==")
