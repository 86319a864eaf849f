"""A context over a link in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import rfx
from rfx._attempt import attempt
from rfx._function import Function
from rfx._memory import Answer, Call, MemoryLink, Store
from rfx._outcome import Outcome


class Rig:
    """A context over a link in memory."""

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401
        self.store, self.flow = Store(), Store()
        self.link = MemoryLink({"run": self.store, "flow": self.flow}, self._answer, [])
        self.ctx = rfx.Context(link=self.link, **fields)
        self.answers: Callable[[Call], Answer] = lambda call: Answer("passed", None, b"1")

    def _answer(self, call: Call) -> Answer:
        return self.answers(call)

    def run(self, call: Callable[..., object]) -> Outcome:
        """Make an attempt of a function without input."""
        return attempt(Function(call, name="f"), b"", self.ctx)
