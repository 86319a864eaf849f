"""Debuggers that stop at a function: pdb in the terminal, debugpy for an editor."""

from __future__ import annotations

import bdb
import importlib
import inspect
import pdb
import sys
from collections.abc import Callable, Mapping
from types import CodeType, ModuleType, TracebackType
from typing import Final

from rfx._errors import Skipped
from rfx._function import Function

LEFT: Final = bdb.BdbQuit.__name__
"""The type of the error of a function whose user has left the debugger."""


class UnavailableError(Exception):
    """The debugger is not there; the message says how to get it."""


class _Pdb(pdb.Pdb):
    """pdb that stops at the first line of one function, and nowhere before."""

    def __init__(self) -> None:
        # What calls the function is none of the author's, and nothing to step through.
        super().__init__(skip=["rfx", "rfx.*", "__main__"])

    def begin(self, code: CodeType) -> None:
        """Trace from here on, until the function is reached."""
        self.reset()
        self.set_break(code.co_filename, code.co_firstlineno, temporary=True, funcname=code.co_name)
        # With the frame of our own as the outermost one, going on means to the breakpoint.
        self.botframe = sys._getframe(1)
        self.set_continue()
        sys.settrace(self.trace_dispatch)

    def look(self, problem: BaseException) -> None:
        """Stop where an exception was raised."""
        sys.settrace(None)
        print(f"post mortem: {type(problem).__name__}: {problem}")
        self.reset()
        self.interaction(None, _authors(problem))


def attach(function: Function, debug: str | Mapping[str, int] | None) -> None:
    """Have a function stop at its first line: with `"pdb"`, or `{"debugpy": port}`."""
    if debug is None:
        return
    assert function.signature  # read from the function as it is, not as it is wrapped below
    if debug == "pdb":
        debugger = _Pdb()
        code = inspect.unwrap(function.call).__code__
        _wrap(function, lambda: debugger.begin(code), debugger.look)
        return
    assert not isinstance(debug, str)
    debugpy = _debugpy(debug["debugpy"])
    _wrap(function, debugpy.breakpoint, lambda _problem: None)


def _wrap(function: Function, begin: Callable[[], None], look: Callable[[BaseException], None]) -> None:
    call = function.call

    def stopping(**arguments: object) -> object:
        try:
            begin()
            return call(**arguments)
        except (Skipped, bdb.BdbQuit):
            raise
        except BaseException as problem:
            look(problem)
            raise
        finally:
            sys.settrace(None)

    async def stopping_async(**arguments: object) -> object:
        try:
            begin()
            return await call(**arguments)
        except (Skipped, bdb.BdbQuit):
            raise
        except BaseException as problem:
            look(problem)
            raise
        finally:
            sys.settrace(None)

    function.call = stopping_async if function.is_async else stopping


def _authors(problem: BaseException) -> TracebackType | None:
    """The traceback from the author's first frame to the author's last one: `rfx.fail` raises in a frame of ours."""
    inner, found = problem.__traceback__, list[TracebackType]()
    while inner is not None:
        found.append(inner)
        inner = inner.tb_next
    ours = [frame.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "rfx" for frame in found]
    if all(ours):
        return problem.__traceback__
    authors: TracebackType | None = None
    last = len(ours) - ours[::-1].index(False)
    for frame in reversed(found[ours.index(False) : last]):
        # A chain of its own: the exception keeps all of its frames.
        authors = TracebackType(authors, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return authors


def _debugpy(port: int) -> ModuleType:
    try:
        debugpy = importlib.import_module("debugpy")
    except ImportError:
        text = f"debugpy is not installed for {sys.executable}: {sys.executable} -m pip install debugpy"
        raise UnavailableError(text) from None
    debugpy.listen(("127.0.0.1", port))
    print(f"rfx: waiting for an editor to attach at 127.0.0.1:{port}", file=sys.stderr, flush=True)
    debugpy.wait_for_client()
    return debugpy
