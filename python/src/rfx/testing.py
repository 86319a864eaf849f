"""Unit-test the functions of a pool in this process, with no server and no worker.

    pool = Pool("pool", target={"devices": "http://127.0.0.1:8081"})
    outcome = pool.call("devices.populate", tenant="t-1", host={"name": "web-1"})
    assert outcome.passed, outcome

Inputs and outputs go through JSON as they do on their way to a worker. State, artifacts and calls are kept in memory.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from rfx._attempt import attempt
from rfx._capture import capture
from rfx._context import Context
from rfx._drive import drive
from rfx._expect import Assertion
from rfx._fixtures import Process
from rfx._function import Function
from rfx._memory import Answer, Artifact, Call, MemoryLink, Store
from rfx._output import encode
from rfx._pool import Broken, load
from rfx._report import Error, Outcome
from rfx._stub import Stub

__all__ = ["Artifact", "Assertion", "Call", "Error", "Outcome", "Pool", "Store", "Stub"]

T = TypeVar("T")

_TIMEOUT: Final = 600.0
"""Seconds until the deadline of a function that names no timeout, as in a run."""

watchers: Final[list[Callable[[Outcome], None]]] = []
"""Called with each outcome, as the plugin for pytest wishes."""


class Pool:
    """A pool whose functions are called as a worker would call them: JSON in, an outcome out.

    All calls are jobs of one run and share `state`; `flow_state` stands for what earlier runs left.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        target: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        state: Mapping[str, object] | None = None,
        flow_state: Mapping[str, object] | None = None,
    ) -> None:
        self._loaded = load(Path(directory))
        self.target = dict(target or {})
        self.secrets = dict(secrets or {})
        self.state = Store(state)
        self.flow_state = Store(flow_state)
        self.undos: list[Call] = []
        """What the run would undo at its end, in the order in which it was said."""
        self._stubs: dict[str, Stub] = {}
        self._processes: dict[int, Process] = {}
        self._jobs = count()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<pool {self._loaded.manifest.name}>"

    @property
    def directory(self) -> Path:
        """The folder of the pool."""
        return self._loaded.directory

    @property
    def broken(self) -> list[Broken]:
        """What could not be loaded; a test of the pool asserts that it is empty."""
        return self._loaded.broken

    @property
    def functions(self) -> list[str]:
        """The names of all functions."""
        return sorted({entry.function.name for entry in self._loaded.entries})

    def call(self, function: str, /, **values: object) -> Outcome:
        """Call a function on the given input. A failing or broken function is an outcome, never an exception.

        `name@version` calls that version, a name alone the newest.
        """
        name, _, version = function.partition("@")
        body = encode(values, (None, "input"))
        outcome = self._execute(self._find(name, version or None), body, self._process())
        for watch in watchers:
            watch(outcome)
        return outcome

    def stub(
        self,
        function: str,
        call: Callable[..., object] | None = None,
        *,
        returns: object = None,
        raises: BaseException | type[BaseException] | None = None,
    ) -> Stub:
        """Answer `ctx.call` of a function in its place: with a value, an exception, or what `call` makes of the input.

        Without a stub a function of this pool is executed. The stub keeps the inputs that it got in `calls`.
        """
        self._stubs[function] = Stub(function, call, returns, raises)
        return self._stubs[function]

    def undo(self) -> list[Outcome]:
        """Undo what functions said that has to be, in reverse, as a run does at its end."""
        undone = []
        while self.undos:
            call = self.undos.pop()
            answer = self._answer(call)
            undone.append(Outcome.of_answer(call, answer))
        return undone

    def reset(self) -> None:
        """Begin a new run: no state, stubs or undos, and new processes. `flow_state` stays."""
        self.close()
        self.state.clear()
        self.undos.clear()
        self._stubs.clear()

    def close(self) -> None:
        """Finish the fixtures of the processes; raises the first problem of one."""
        late = []
        for process in self._processes.values():
            late += drive(process.close(), process.loop.wait)
            process.loop.close()
        self._processes.clear()
        for one in late:
            raise one.problem

    def _process(self) -> Process:
        """Give each thread a process of its own, since a process executes one attempt at a time."""
        return self._processes.setdefault(threading.get_ident(), Process())

    def _find(self, name: str, version: str | None) -> Function:
        found = self._loaded.find(name, version)
        if found is not None:
            return found
        broken = "".join(f"\nbroken: {one.file}:{one.line}: {one.error}" for one in self.broken)
        wanted = f"{name} version {version}" if version else name
        raise LookupError(f"the pool has no {wanted}; it has: {', '.join(self.functions)}{broken}")

    def _execute(self, function: Function, body: bytes, process: Process) -> Outcome:
        link = MemoryLink({"run": self.state, "flow": self.flow_state}, self._answer, self.undos, self.secrets)
        ctx = Context(
            function=function.name,
            run="test",
            flow="test",
            step=function.name.replace(".", "_"),
            job=f"0-{next(self._jobs)}",
            deadline=time.time() + (function.timeout or _TIMEOUT),
            target=self.target,
            secrets=self.secrets,
            link=link,
        )
        with capture() as printed:
            outcome = _apart(lambda: attempt(function, body, ctx, process))
        return Outcome.of_attempt(function.name, outcome, link.told, printed)

    def _answer(self, call: Call) -> Answer:
        """Execute what a function called: its stub, else the function of this pool, in a process of its own."""
        if call.function in self._stubs:
            return self._stubs[call.function].answer(call)
        function = self._loaded.find(call.function, call.version)
        if function is None:
            text = f'this pool has no {call.function}; stub it: pool.stub("{call.function}", returns=…)'
            return Answer("error", {"type": "UnknownFunction", "message": text}, b"")
        process = Process()
        outcome = self._execute(function, encode(call.input), process)
        late = drive(process.close(), process.loop.wait)
        process.loop.close()
        if late:
            raise late[0].problem
        return Answer(outcome.kind, outcome.error and outcome.error._asdict(), outcome.body)


def _apart(call: Callable[[], T]) -> T:
    """Run something in this thread, or, where an event loop runs in it, in another one."""
    asyncio: Any = sys.modules.get("asyncio")
    if asyncio is None or asyncio._get_running_loop() is None:
        return call()
    made: list[T] = []
    thread = threading.Thread(target=copy_context().run, args=(lambda: made.append(call()),), daemon=True)
    thread.start()
    thread.join()
    return made[0]
