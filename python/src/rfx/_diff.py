"""The difference of two values, for people to read."""

from __future__ import annotations

import json
from typing import Final

from rfx._output import Json

_LONGEST: Final = 64 << 10
_MOST_LINES: Final = 400
"""Lines of each side that are compared: the time for that grows with their product."""
_AROUND: Final = 3


def difference(expected: Json, seen: Json) -> str:
    """Compare two JSON values line by line, as a unified diff; two texts by their own lines."""
    import difflib  # only needed for a failure, and slow to import

    as_text = isinstance(expected, str) and isinstance(seen, str) and "\n" in expected + seen
    before, after = _differing(*(_lines(side, as_text) for side in (expected, seen)))
    lines = difflib.unified_diff(before, after, "expected", "seen", lineterm="")
    return shorten("\n".join(lines))


def shorten(text: str) -> str:
    """Keep the start and the end of a long text."""
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def _lines(value: Json, as_text: bool) -> list[str]:
    text = value if as_text else json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return text.splitlines()


def _differing(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """Cut two long lists of lines to where they begin to differ."""
    if max(len(before), len(after)) <= _MOST_LINES:
        return before, after
    pairs = enumerate(zip(before, after, strict=False))
    first = next((place for place, (one, other) in pairs if one != other), min(len(before), len(after)))
    start = max(0, first - _AROUND)
    return before[start : start + _MOST_LINES], after[start : start + _MOST_LINES]
