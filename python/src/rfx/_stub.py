"""Stubs: what answers a call in a test in place of the function."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rfx._context import Context
from rfx._memory import Answer, Call
from rfx._outcome import of_exception
from rfx._output import Json, encode


class Stub:
    """Answers the calls of one function."""

    def __init__(
        self,
        function: str,
        call: Callable[..., object] | None,
        returns: object,
        raises: BaseException | type[BaseException] | None,
    ) -> None:
        if sum((call is not None, returns is not None, raises is not None)) > 1:
            raise ValueError(f"the stub of {function}: give one of a callable, returns and raises")
        self.function = function
        self.calls: list[Mapping[str, Json]] = []
        """The inputs that it got."""
        self._call = call
        self._body = encode(returns, (None, "returns"))
        self._raises = raises

    def answer(self, call: Call) -> Answer:
        """Answer a call, as the function would have ended."""
        self.calls.append(call.input)
        try:
            if self._raises is not None:
                raise self._raises
            body = self._body if self._call is None else encode(self._call(**call.input))
        except Exception as problem:
            outcome = of_exception(problem, Context(function=self.function))
            return Answer(outcome.kind, outcome.error and outcome.error._asdict(), b"")
        return Answer("passed", None, body)
