"""Setting fixtures up for an attempt, keeping those of a process, and finishing both in reverse order."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rfx import _linux
from rfx._drive import Steps, drive, drive_async
from rfx._errors import FixtureError, Skipped, TimedOut
from rfx._loop import Loop

if TYPE_CHECKING:
    from rfx._context import Context
    from rfx._fixture import Fixture

_END: Final = object()


class Open(NamedTuple):
    """A fixture that waits behind its `yield` to be finished."""

    fixture: Fixture
    generator: Any


class Late(NamedTuple):
    """What went wrong while a fixture was finished."""

    fixture: Fixture
    problem: BaseException

    def __str__(self) -> str:
        return f"fixture {self.fixture.name} could not be finished: {type(self.problem).__name__}: {self.problem}"


class _Slot:
    """A fixture of the process, made or being made."""

    __slots__ = ("made", "settled", "value")

    def __init__(self) -> None:
        self.made = False
        self.value: object = None
        self.settled = threading.Event()


class Process:
    """What lives as long as a process that executes attempts."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.children: set[int] = set()
        self._slots: dict[Fixture, _Slot] = {}
        self._open: list[Open] = []
        self._lock = threading.Lock()

    def get(self, fixture: Fixture, attempt: Fixtures) -> Steps[object]:
        """Give a fixture, made once however many attempts ask at the same time."""
        while True:
            with self._lock:
                slot = self._slots.get(fixture)
                if slot is None:
                    slot = self._slots[fixture] = _Slot()
                    break
            if slot.made:
                return slot.value
            yield slot.settled
        try:
            before = _children()
            slot.value = yield from attempt.start(fixture, self._open)
            slot.made = True
            self.children |= _children() - before
            if fixture.is_async_generator or fixture.is_coroutine:
                self.loop.keep()
        except BaseException:
            del self._slots[fixture]  # the next attempt tries again
            raise
        finally:
            slot.settled.set()
        return slot.value

    def close(self) -> Steps[list[Late]]:
        """Finish all fixtures of the process."""
        self._slots.clear()
        self.children.clear()
        return finish(self._open)


class Fixtures:
    """The fixtures of one attempt."""

    def __init__(self, ctx: Context, process: Process, pool: str) -> None:
        self._ctx = ctx
        self._pool = pool
        self._process = process
        self._made: dict[Fixture, object] = {}
        self._open: list[Open] = []

    def get(self, fixture: Fixture) -> Steps[object]:
        """Give a fixture, and set it up if this is the first who asks."""
        if fixture not in self._made:
            if fixture.scope == "process":
                made = yield from self._process.get(fixture, self)
            elif fixture.scope == "run":
                made = yield from self._of_run(fixture)
            else:
                made = yield from self.start(fixture, self._open)
            self._made[fixture] = made
        return self._made[fixture]

    def start(self, fixture: Fixture, opened: list[Open]) -> Steps[object]:
        """Make a fixture; one that yields is put on the pile of those to be finished."""
        arguments: dict[str, object] = {} if fixture.context is None else {fixture.context: self._ctx}
        for name, other in fixture.wants.items():
            arguments[name] = yield from self.get(other)
        try:
            made = yield from _start(fixture, arguments, opened)
        except (FixtureError, Skipped, TimedOut):
            raise
        except Exception as problem:
            text = f"fixture {fixture.name} could not be set up: {type(problem).__name__}: {problem}"
            raise FixtureError(text) from problem
        return made

    def finish(self) -> Steps[list[Late]]:
        """Finish what the attempt opened."""
        return finish(self._open)

    def _of_run(self, fixture: Fixture) -> Steps[object]:
        # Read back from JSON by its maker too, so that it is the same for everybody.
        key = f"fixture.{self._pool}.{fixture.call.__module__}.{fixture.name}"
        value = yield from self._ctx.state.creating(key, lambda: self.start(fixture, self._open))
        assert fixture.shape is not None
        return _bound(fixture, value)


def finish(opened: list[Open]) -> Steps[list[Late]]:
    """Finish fixtures in reverse order, each whatever became of the others."""
    late: list[Late] = []
    failed: Open | None = None
    while opened:
        last = opened[-1]
        try:
            while opened:
                last = opened[-1]
                yield from _finish_last(opened)
        except BaseException as problem:  # also TimedOut, wherever it came: the others are still finished
            late.append(Late(last.fixture, problem))
            # Tried twice: a timeout may have come before it began. One that is over has nothing left to do.
            if failed is last and opened and opened[-1] is last:
                opened.pop()
            failed = last
    return late


def _finish_last(opened: list[Open]) -> Steps[None]:
    """Finish the last fixture, and only then take it off the pile."""
    fixture, generator = opened[-1]
    more = (yield anext(generator, _END)) if fixture.is_async_generator else next(generator, _END)
    opened.pop()
    if more is not _END:
        raise FixtureError("it yields more than once")


def close_process() -> None:
    """Finish the fixtures of this process, as its runner does at its end."""
    _tell(drive(PROCESS.close(), PROCESS.loop.wait))
    PROCESS.loop.close()


async def close_process_async() -> None:
    """Finish the fixtures of this process in its running event loop."""
    _tell(await drive_async(PROCESS.close()))


def keep_children() -> None:
    """Keep the child processes that importing the pool has started: no call has left them behind."""
    PROCESS.children |= _children()


def kept_children() -> set[int]:
    """The child processes that belong to the process: to its fixtures, or to the modules of its pool."""
    return PROCESS.children


PROCESS: Final = Process()


def _start(fixture: Fixture, arguments: Mapping[str, object], opened: list[Open]) -> Steps[object]:
    made = fixture.call(**arguments)
    if fixture.is_coroutine:
        made = yield made
    elif fixture.is_generator or fixture.is_async_generator:
        value = (yield anext(made, _END)) if fixture.is_async_generator else next(made, _END)
        if value is _END:
            raise FixtureError(f"fixture {fixture.name} ended without a yield")
        opened.append(Open(fixture, made))
        return value
    return made


def _bound(fixture: Fixture, value: object) -> object:
    from rfx._problem import Problem, summary

    problems: list[Problem] = []
    assert fixture.shape is not None
    bound = fixture.shape.bind(value, (None, fixture.name), problems)
    if problems:
        raise FixtureError(f"fixture {fixture.name} is not what its hint says: {summary(problems)}")
    return bound


def _children() -> set[int]:
    """The child processes of this one, where the system tells them."""
    return {process.pid for process in _linux.children()}


def _tell(late: list[Late]) -> None:
    for one in late:
        print(f"rfx: {one}", file=sys.stderr, flush=True)
