"""One attempt: bind the input, set up fixtures, call the function in its context, finish, judge how it ended."""

from __future__ import annotations

from rfx._context import Context, current
from rfx._drive import Steps, drive, drive_async
from rfx._errors import InputError, TimedOut
from rfx._fixtures import PROCESS, Fixtures, Late, Process
from rfx._function import Function
from rfx._outcome import Outcome, of_body, of_exception, refused, with_late
from rfx._output import encode


def attempt(function: Function, body: bytes, ctx: Context, process: Process = PROCESS) -> Outcome:
    """Run a function on the JSON input of a job. Whatever the function does, this returns an outcome."""
    try:
        return drive(steps(function, body, ctx, process), process.loop.wait)
    finally:
        process.loop.clear()


async def attempt_async(function: Function, body: bytes, ctx: Context, process: Process = PROCESS) -> Outcome:
    """Run a function beside others in the running event loop; one that is not async gets a thread of its own.

    Cancelling this is the soft timeout: the function sees a cancellation, in a thread `TimedOut`, and the outcome is
    returned all the same. Give each attempt a task of its own, and so a context of its own.
    """
    if function.is_async:
        outcome = await drive_async(steps(function, body, ctx, process))
        return _timed_out(outcome) if _is_cancelled(outcome) else outcome
    from rfx._threads import Stoppable

    thread = Stoppable()
    try:
        outcome = await thread.run(lambda wait: drive(steps(function, body, ctx, process), wait))
    except TimedOut as late:  # it came while the outcome was being made
        outcome = of_exception(late, ctx)
    return _timed_out(outcome) if outcome.error is not None and outcome.error.type == "TimedOut" else outcome


def steps(function: Function, body: bytes, ctx: Context, process: Process) -> Steps[Outcome]:
    """Take the steps of an attempt."""
    token = current.set(ctx)
    try:
        try:
            arguments = function.signature.bind(body)
        except InputError as problem:
            return refused(problem)
        except Exception as problem:  # raised by a type of the author
            return of_exception(problem, ctx)
        outcome = yield from _executed(function, arguments, ctx, process)
        return outcome
    finally:
        current.reset(token)


def _executed(function: Function, arguments: dict[str, object], ctx: Context, process: Process) -> Steps[Outcome]:
    fixtures = Fixtures(ctx, process, function.pool)
    output, problem = b"", None
    try:
        # Written before the fixtures are finished, which may take away what it refers to.
        output = encode((yield from _called(function, arguments, ctx, fixtures)))
    except BaseException as raised:  # SystemExit and TimedOut are ways to end, too
        problem = raised
    late: list[Late] = []
    try:
        late = yield from fixtures.finish()
    except BaseException as raised:  # a timeout that came just before; it comes once
        problem = raised if problem is None else problem
        late = yield from fixtures.finish()
    outcome = of_body(output, ctx) if problem is None else of_exception(problem, ctx)
    return with_late(outcome, late) if late else outcome


def _called(function: Function, arguments: dict[str, object], ctx: Context, fixtures: Fixtures) -> Steps[object]:
    signature = function.signature
    if signature.context is not None:
        arguments[signature.context] = ctx
    for name, fixture in signature.fixtures.items():
        arguments[name] = yield from fixtures.get(fixture)
    result: object = function.call(**arguments)
    if function.is_async:
        result = yield result  # type: ignore[misc]  # a coroutine
    return result


def _is_cancelled(outcome: Outcome) -> bool:
    """Whether the attempt was cancelled, and not only something that its function awaited."""
    import asyncio

    if outcome.error is None or outcome.error.type != asyncio.CancelledError.__name__:
        return False
    cancelling = getattr(asyncio.current_task(), "cancelling", None)  # from Python 3.11 on
    return cancelling is None or cancelling() > 0


def _timed_out(outcome: Outcome) -> Outcome:
    assert outcome.error is not None
    text = outcome.error.message or "the time of the attempt is over"
    return outcome._replace(error=outcome.error._replace(type=TimedOut.__name__, message=text))
