"""Spans inside of an attempt: what it did when, for the trace of the run."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from rfx._link import Link
from rfx._output import shown

_open: Final[ContextVar[tuple[Spans, str] | None]] = ContextVar("rfx.span", default=None)


class Spans:
    """The spans of one attempt, below the one that the worker makes of the attempt itself."""

    __slots__ = ("_link", "_traceparent")

    def __init__(self, link: Link, traceparent: str | None) -> None:
        self._link = link
        self._traceparent = traceparent

    def traceparent(self) -> str | None:
        """The trace context of here: of the span that is open, else of the attempt."""
        if self._traceparent is None:
            return None
        version, trace, _, flags = self._traceparent.split("-", 3)
        span = self._current()
        return self._traceparent if span is None else f"{version}-{trace}-{span}-{flags}"

    @contextmanager
    def span(self, name: str, attributes: dict[str, object]) -> Iterator[None]:
        """Open a span, and tell of it when it ends."""
        span, parent, start = os.urandom(8).hex(), self._parent(), time.time()
        token = _open.set((self, span))
        error: str | None = None
        try:
            yield
        except BaseException as problem:
            error = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            _open.reset(token)
            fields: dict[str, Any] = {"name": name, "span": span, "parent": parent, "start": start, "end": time.time()}
            values = {key: shown(value) for key, value in attributes.items()}
            self._link.tell("span", {**fields, "attributes": values, "ok": error is None, "error": error})

    def _current(self) -> str | None:
        """The span that is open here. One of another attempt does not count: it called this one."""
        found = _open.get()
        return found[1] if found is not None and found[0] is self else None

    def _parent(self) -> str | None:
        traceparent = self.traceparent()
        return self._current() if traceparent is None else traceparent.split("-")[2]
