"""How an attempt ended: the outcome, and the rules that make one of a result or an exception."""

from __future__ import annotations

import importlib
import json
import os.path
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from rfx._context import Context
from rfx._diff import difference, shorten
from rfx._errors import MAX_BODY, MISSING, CallFailed, FixtureError, OutputError, Skipped, TimedOut
from rfx._expect import Assertion, of_failure
from rfx._link import AskError
from rfx._output import Json

__all__ = ["MAX_BODY", "Error", "Kind", "Outcome"]

if TYPE_CHECKING:
    from traceback import TracebackException

    from rfx._fixtures import Late

Kind = Literal["passed", "failed", "error", "skipped"]

_AS_CALLED: Final[dict[str, Kind]] = {"failed": "failed", "skipped": "skipped"}
_HERE: Final = os.path.dirname(__file__)  # noqa: PTH120 - pathlib is slow to import
_NOT_THE_AUTHORS: Final = (_HERE, "<frozen importlib", *importlib.__path__)


class Error(NamedTuple):
    """Why an attempt did not pass, as people read it."""

    type: str
    message: str
    traceback: str | None = None
    diff: str | None = None


class Outcome(NamedTuple):
    """How an attempt ended. `body` is the output as JSON, empty when there is none."""

    kind: Kind
    body: bytes = b""
    error: Error | None = None
    assertions: tuple[Assertion, ...] = ()

    @property
    def output(self) -> Json:
        """The output, None when there is none."""
        return json.loads(self.body) if self.body else None


def of_body(body: bytes, ctx: Context) -> Outcome:
    """Judge an attempt whose function returned what could be written."""
    assertions = tuple(ctx.assertions)
    if len(body) > MAX_BODY:
        text = f"the output has {len(body):,} bytes; at most {MAX_BODY:,} are carried"
        return Outcome("error", b"", Error("OutputError", text), assertions)
    broken = [assertion for assertion in assertions if not assertion.passed]
    if broken:
        return Outcome("failed", body, _of_assertions(broken, len(assertions)), assertions)
    return Outcome("passed", body, None, assertions)


def of_exception(problem: BaseException, ctx: Context) -> Outcome:
    """Judge an attempt whose function raised."""
    assertions = tuple(ctx.assertions)
    if isinstance(problem, Skipped):
        return Outcome("skipped", b"", Error("Skipped", _message(problem)), assertions)
    if isinstance(problem, OutputError):  # it says where the value is; the frames around it are ours
        return Outcome("error", b"", Error("OutputError", _message(problem)), assertions)
    diff = None
    found = of_failure(problem) if isinstance(problem, AssertionError) else None
    if found is not None:
        assertions = (*assertions, found)
        diff = difference(found.expected, found.seen) if _is_comparison(problem) else None
    kind = problem.type if isinstance(problem, AskError) else type(problem).__name__
    return Outcome(_kind(problem), b"", Error(kind, _message(problem), cut_traceback(problem), diff), assertions)


def refused(problem: Exception) -> Outcome:
    """Judge an attempt that did not reach its function."""
    return Outcome("error", b"", Error(type(problem).__name__, str(problem)))


def with_late(outcome: Outcome, late: Sequence[Late]) -> Outcome:
    """Add what went wrong while fixtures were finished: an error where all was well, a note where it was not."""
    text = "\n".join(map(str, late))
    error = outcome.error
    if outcome.kind in ("passed", "skipped") or error is None:
        first = late[0].problem
        timeout = any(isinstance(one.problem, TimedOut) for one in late)
        kind = TimedOut.__name__ if timeout else FixtureError.__name__
        return Outcome("error", b"", Error(kind, text, cut_traceback(first)), outcome.assertions)
    return outcome._replace(error=error._replace(message=f"{error.message}\nbesides, {text}"))


def cut_traceback(problem: BaseException) -> str:
    """Format an exception with the frames of its author only, not those of rfx around them."""
    import traceback

    report = traceback.TracebackException.from_exception(problem)
    _cut(report, set())
    return shorten("".join(report.format()))


def _cut(report: TracebackException | None, seen: set[int]) -> None:
    """Drop our frames from an exception and from those that it came from."""
    if report is None or id(report) in seen:
        return
    seen.add(id(report))
    frames = [frame for frame in report.stack if not frame.filename.startswith(_NOT_THE_AUTHORS)]
    while len(frames) > 1 and "/asyncio/" in frames[0].filename:
        frames.pop(0)
    report.stack[:] = frames
    for other in (report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())):
        _cut(other, seen)


def _kind(problem: BaseException) -> Kind:
    """Tell a test that said no from a function that broke. The fault of a fixture is never the test's."""
    if isinstance(problem, CallFailed):
        return _AS_CALLED.get(problem.verdict, "error")
    return "failed" if isinstance(problem, AssertionError) else "error"


def _is_comparison(problem: BaseException) -> bool:
    """Whether two values were compared that can be shown side by side."""
    return getattr(problem, "expected", MISSING) is not MISSING and getattr(problem, "comparable", True)


def _of_assertions(broken: list[Assertion], count: int) -> Error:
    """Sum up the soft assertions that did not hold."""
    lines = [f"{len(broken)} of {count} expectations did not hold"]
    lines += [f"{one.label}: {one.message or 'seen is not what was expected'}" for one in broken]
    diffs = [f"{one.label}\n{difference(one.expected, one.seen)}" for one in broken]
    return Error("Failed", shorten("\n".join(lines)), None, shorten("\n".join(diffs)))


def _message(problem: BaseException) -> str:
    """Say what an exception says; a bare `assert` says its own source."""
    try:
        text = str(problem)
    except Exception:  # an exception that cannot be printed is still reported
        return f"<{type(problem).__name__} that cannot be printed>"
    if not text and type(problem) is AssertionError:
        text = _source_line(problem)
    return shorten(text)


def _source_line(problem: BaseException) -> str:
    import linecache

    last = problem.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return linecache.getline(last.tb_frame.f_code.co_filename, last.tb_lineno).strip() if last else ""
