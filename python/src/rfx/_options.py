"""What an author may say about a function, checked where it is said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeGuard

from rfx._errors import OutputError
from rfx._output import Json, plain

ISOLATIONS: Final = ("warm", "fresh", "shared")

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_VERSION: Final = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
_QUEUE: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", re.ASCII)
_SECRET: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LONGEST: Final = 128
_RETRIED: Final = ("failed", "error")


class Retry(NamedTuple):
    """When a job is tried again, unless the step says otherwise. `Retry(3)` and `retry=3` say the same.

    `max_attempts` counts the first one. `backoff` is the wait before the second, in seconds; it doubles up to
    `max_backoff`. `on` are the outcomes that are tried again.
    """

    max_attempts: int
    backoff: float = 1.0
    max_backoff: float = 600.0
    on: Iterable[str] = _RETRIED

    def described(self) -> dict[str, Json]:
        """Write it as the worker reads it."""
        return {**self._asdict(), "on": list(self.on)}


def name(text: object) -> str:
    """Check the dotted name of a function."""
    return _match(_NAME, "name", text, "identifiers joined by dots, such as tenants.create")


def version(text: object) -> str:
    """Check a version."""
    return _match(_VERSION, "version", text, 'whole numbers joined by dots, as text, such as "1" or "2.0.1"')


def queue(text: object) -> str | None:
    """Check the name of a queue."""
    return None if text is None else _match(_QUEUE, "queue", text, "lower-case letters, digits and inner hyphens")


def owner(text: object) -> str | None:
    """Check who answers for a function."""
    if text is None or (isinstance(text, str) and text):
        return text
    raise ValueError(f'the owner is {text!r}; write a text, such as owner="platform"')


def secrets(names: Iterable[str]) -> tuple[str, ...]:
    """Check the names of secrets."""
    form = "letters, digits and underscores, such as API_TOKEN"
    return tuple(_match(_SECRET, "name of a secret", one, form) for one in texts("secrets", names))


def timeout(seconds: object) -> float | None:
    """Check a timeout."""
    if seconds is None or (_is_number(seconds) and 0 < seconds < float("inf")):
        return seconds
    raise ValueError(f"the timeout is {seconds!r}; give seconds above 0")


def isolation(word: object) -> str | None:
    """Check in what process a function is executed."""
    if word is None or word in ISOLATIONS:
        return word
    raise ValueError(f"the isolation is {word!r}; use {_listed(ISOLATIONS)}")


def retry(value: object) -> Retry | None:
    """Check when a function is tried again; a number stands for the most attempts."""
    if value is None:
        return None
    made = value if isinstance(value, Retry) else Retry(value)  # type: ignore[arg-type]  # looked at below
    attempts = made.max_attempts
    if type(attempts) is not int or not 1 <= attempts <= 1000:
        raise ValueError(f"retry is {value!r}; give the most attempts, 1 to 1000, or rfx.Retry(max_attempts=3)")
    for field in ("backoff", "max_backoff"):
        seconds = getattr(made, field)
        if not _is_number(seconds) or not 0 <= seconds < float("inf"):
            raise ValueError(f"the {field} of retry is {seconds!r}; give seconds, 0 or more")
    on = texts("the `on` of retry", made.on)
    if not on or any(word not in _RETRIED for word in on):
        raise ValueError(f"retry on {list(on)!r}: use {_listed(_RETRIED)}, or both")
    return made._replace(on=on)


def examples(values: Iterable[Mapping[str, object]]) -> tuple[dict[str, Json], ...]:
    """Check inputs that the author shows, and write them as JSON. Whether they fit is seen when the pool is loaded."""
    if isinstance(values, Mapping):
        values = (values,)
    written = []
    for number, value in enumerate(values, start=1):
        if not isinstance(value, Mapping):
            raise ValueError(f"example {number} is {value!r}; give a dict of parameters")
        try:
            written.append(plain(dict(value), (None, "input")))
        except OutputError as problem:
            raise ValueError(f"example {number}: {problem}") from None
    return tuple(written)


def texts(what: str, values: Iterable[str]) -> tuple[str, ...]:
    """Check a list of texts; a single one may stand for itself."""
    if isinstance(values, str):
        values = (values,)
    made: tuple[object, ...] = tuple(values)
    for one in made:
        if not isinstance(one, str) or not one:
            raise ValueError(f"{what}: {one!r} is not a text, or empty")
    return made  # type: ignore[return-value]  # just seen


def _match(pattern: re.Pattern[str], kind: str, text: object, form: str) -> str:
    if not isinstance(text, str) or len(text) > _LONGEST or not pattern.fullmatch(text):
        raise ValueError(f"{text!r} is not a {kind}: use {form} (at most {_LONGEST} characters)")
    return text


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}"
