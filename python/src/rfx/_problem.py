"""Paths into JSON values, and what is wrong there: shared by the binding of input and the writing of output."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Union

# A path is a linked list from the leaf to the root, so that walking a value builds no text.
Path = Union[tuple["Path", Union[str, int]], None]  # noqa: UP007 - a runtime alias that refers to itself

SHOWN = 10
"""How many problems one message lists."""


class Problem(NamedTuple):
    """One value that does not fit, and why."""

    at: Path
    message: str

    def __str__(self) -> str:
        place = render(self.at)
        return f"{place}: {self.message}" if place else self.message


def depth(path: Path) -> int:
    """Count the segments of a path."""
    count = 0
    while path is not None:
        path = path[0]
        count += 1
    return count


def root(path: Path) -> str:
    """Name what a path begins at."""
    while path is not None and path[0] is not None:
        path = path[0]
    return render(path)


def render(path: Path) -> str:
    """Write a path as people do: `hosts[0].name`."""
    segments: list[str] = []
    while path is not None:
        path, key = path
        if isinstance(key, int):
            segments.append(f"[{key}]")
        elif key.isidentifier():
            segments.append(f".{key}")
        else:
            segments.append(f"[{_quoted(key)}]")
    return "".join(reversed(segments)).removeprefix(".")


def describe(value: object) -> str:
    """Name a JSON value by type and content, shortened: `int 1`, `str "abc"`, `list of 3`."""
    if value is None:
        return "None"
    kind = type(value).__name__
    if isinstance(value, (list, dict)):
        return f"{kind} of {len(value)}"
    text = _quoted(value) if isinstance(value, str) else repr(value)
    return f"{kind} {text}"


def unexpected(name: str, known: list[str], given: Collection[str] = ()) -> str:
    """Say that a name is not known here, and which one was probably meant: one that was not given."""
    import difflib  # only needed for a message, and slow to import

    close = difflib.get_close_matches(name, [one for one in known if one not in given] or known, n=1)
    if close:
        return f"unexpected, did you mean `{close[0]}`?"
    return f"unexpected, known here: {', '.join(known)}" if known else "unexpected, nothing is taken here"


def summary(problems: list[Problem]) -> str:
    """Put the problems into one message, one a line."""
    lines = [str(problem) for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"… and {len(problems) - SHOWN} more")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """Quote a text as JSON does, cut after 60 characters."""
    short = text if len(text) <= 60 else f"{text[:59]}…"
    return '"' + short.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
