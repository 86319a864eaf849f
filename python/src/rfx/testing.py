"""Unit-test the functions of a pool in this process, with no server and no worker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rfx._attempt import attempt
from rfx._context import Context
from rfx._outcome import Error, Outcome
from rfx._output import encode
from rfx._pool import Broken, load

__all__ = ["Error", "Outcome", "Pool"]


class Pool:
    """A pool whose functions are called as a worker would call them: JSON in, an outcome out."""

    def __init__(
        self,
        directory: Path | str,
        *,
        target: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self._loaded = load(Path(directory))
        self._target = dict(target or {})
        self._secrets = dict(secrets or {})

    @property
    def broken(self) -> list[Broken]:
        """What could not be loaded; a test of the pool asserts that it is empty."""
        return self._loaded.broken

    @property
    def functions(self) -> list[str]:
        """The names of all functions."""
        return sorted({entry.function.name for entry in self._loaded.entries})

    def call(self, function: str, /, **values: object) -> Outcome:
        """Call a function on the given input. A failing or broken function is an outcome, never an exception."""
        found = self._loaded.find(function)
        if found is None:
            raise LookupError(f"the pool has no {function}; it has: {', '.join(self.functions)}")
        step = function.replace(".", "_")
        ctx = Context(function=function, run="test", step=step, target=self._target, secrets=self._secrets)
        return attempt(found, encode(values), ctx)
