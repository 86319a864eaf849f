"""State that attempts share: a key holds a JSON value and a revision, and is changed by compare-and-set."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from rfx._drive import Steps, drive, drive_async
from rfx._errors import OutputError
from rfx._link import AskError, Link
from rfx._output import Json, encode

_CLAIM: Final = "$rfx.claim"
_LONGEST_CLAIM: Final = 600.0
"""Seconds that a claim holds where the attempt has no deadline."""
_GRACE: Final = 5.0
"""Seconds a claim outlives its maker's deadline: clocks differ, and a process ends a little late."""
_SHORTEST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 1.0


class Entry(NamedTuple):
    """A value, and the revision that a change of it must name."""

    value: Json
    revision: int


class State:
    """The shared state of one scope: the jobs of a run, or all runs of a flow."""

    __slots__ = ("_deadline", "_holder", "_link", "_scope")

    def __init__(self, link: Link, scope: str, holder: str, deadline: float | None) -> None:
        self._link = link
        self._scope = scope
        self._holder = holder
        self._deadline = deadline

    def get(self, key: str, default: Json = None) -> Json:
        """Read a value."""
        entry = self.read(key)
        return default if entry is None else entry.value

    def read(self, key: str) -> Entry | None:
        """Read a value with its revision; None when there is none."""
        entry = self._stored(key)
        return None if entry is None or is_claim(entry.value) else entry

    def put(self, key: str, value: object) -> int:
        """Write a value, whatever is there; gives its revision."""
        header, _ = self._ask("state.put", key, _body(key, value))
        return int(header["revision"])

    def cas(self, key: str, value: object, revision: int) -> int | None:
        """Write a value if the key still has that revision, 0 for a key that is not there.

        Gives the new revision, None when somebody else was faster.
        """
        header, _ = self._ask("state.cas", key, _body(key, value), revision=revision)
        new: int | None = header["revision"]
        return new

    def delete(self, key: str) -> None:
        """Take a key away; one that is not there stays so."""
        self._ask("state.delete", key)

    def update(self, key: str, change: Callable[[Json], object], default: Json = None) -> Json:
        """Change a value, again and again until nobody else did meanwhile; gives the new one.

        `change` gets the value, or the default where there is none.
        """
        return drive(self._updating(key, change, default))

    def get_or_create(self, key: str, make: Callable[[], object]) -> Json:
        """Read a value, or make it: once, although many attempts ask for it at the same time.

        The first one claims the key until its deadline; the others look again and again until the value is there,
        or the claim is over and the next one may try.
        """

        def steps() -> Steps[object]:
            return make()
            yield 0.0  # a generator, although it never waits

        return drive(self.creating(key, steps))

    async def get_or_create_async(self, key: str, make: Callable[[], Awaitable[object]]) -> Json:
        """Do as `get_or_create` with an async `make`."""

        def steps() -> Steps[object]:
            made: object = yield make()
            return made

        return await drive_async(self.creating(key, steps))

    def creating(self, key: str, make: Callable[[], Steps[object]]) -> Steps[Json]:
        """Take the steps of `get_or_create`."""
        wait = _SHORTEST_WAIT
        while True:
            entry = self._stored(key)
            if entry is not None and not is_claim(entry.value):
                return entry.value
            if entry is None or not _holds(entry.value):
                claim = self.cas(key, self._claim(self._until()), 0 if entry is None else entry.revision)
                if claim is not None:
                    break
            yield wait
            wait = min(2 * wait, _LONGEST_WAIT)
        try:
            body = _body(key, (yield from make()))
        except BaseException:
            self._give_up(key, claim)
            raise
        value: Json = json.loads(body)
        if self.cas(key, value, claim) is None:
            # The claim was over before the value was made, and somebody else has taken it.
            value = yield from self.creating(key, make)
        return value

    def _updating(self, key: str, change: Callable[[Json], object], default: Json) -> Steps[Json]:
        wait = _SHORTEST_WAIT
        while True:
            entry = self._stored(key)
            if entry is not None and _holds(entry.value):
                # Somebody makes the value that is to be changed.
                yield wait
                wait = min(2 * wait, _LONGEST_WAIT)
                continue
            there = entry is not None and not is_claim(entry.value)
            value = json.loads(_body(key, change(entry.value if entry is not None and there else default)))
            if self.cas(key, value, 0 if entry is None else entry.revision) is not None:
                return value

    def _until(self) -> float:
        return time.time() + _LONGEST_CLAIM if self._deadline is None else self._deadline + _GRACE

    def _claim(self, until: float) -> Json:
        return {_CLAIM: {"by": self._holder, "until": until}}

    def _give_up(self, key: str, claim: int) -> None:
        """Let the next one try at once. Not by deletion, which might hit the claim of somebody else."""
        try:
            self.cas(key, self._claim(0.0), claim)
        except AskError:
            return  # what went wrong before says more; the claim ends by itself

    def _stored(self, key: str) -> Entry | None:
        header, body = self._ask("state.get", key)
        return Entry(json.loads(body), header["revision"]) if header["revision"] else None

    def _ask(self, what: str, key: str, body: bytes = b"", **fields: object) -> tuple[dict[str, Any], bytes]:
        return self._link.ask(what, {"key": key, "scope": self._scope, **fields}, body)


def is_claim(value: Json) -> bool:
    """Whether a value only says that somebody makes the real one."""
    return isinstance(value, dict) and _CLAIM in value


def _holds(value: Json) -> bool:
    """Whether somebody makes the real value now."""
    return is_claim(value) and bool(value[_CLAIM]["until"] > time.time())


def _body(key: str, value: object) -> bytes:
    try:
        return encode(value, (None, "value"))
    except OutputError as problem:
        raise OutputError(f"the state {key}: {problem}") from None
