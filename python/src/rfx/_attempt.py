"""One attempt: bind the input, call the function in its context, judge how it ended."""

from __future__ import annotations

from typing import Any

from rfx._context import Context, current
from rfx._errors import InputError
from rfx._function import Function
from rfx._outcome import Outcome, of_exception, of_result, refused


def attempt(function: Function, body: bytes, ctx: Context) -> Outcome:
    """Run a function on the JSON input of a job. Whatever the function does, this returns an outcome."""
    token = current.set(ctx)
    try:
        return _judge(function, body, ctx)
    except BaseException as problem:  # SystemExit and TimedOut are ways to end, too
        return of_exception(problem, ctx)
    finally:
        current.reset(token)


def _judge(function: Function, body: bytes, ctx: Context) -> Outcome:
    signature = function.signature
    try:
        arguments = signature.bind(body)
    except InputError as problem:
        return refused(problem)
    if signature.context is not None:
        arguments[signature.context] = ctx
    return of_result(_call(function, arguments), ctx)


def _call(function: Function, arguments: dict[str, Any]) -> object:
    if not function.is_async:
        return function.call(**arguments)
    import asyncio  # triples the start-up time, so only for those who use it

    return asyncio.run(function.call(**arguments))
