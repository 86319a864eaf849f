"""Greetings: the first function of this pool, to be replaced by yours."""

from __future__ import annotations

from dataclasses import dataclass

import rfx


@dataclass
class Greeting:
    """What the function gives back; flows read its fields: `output.text`."""

    text: str
    letters: int


@rfx.function(tags=("first",))
def greet(name: str, polite: bool = False, ctx: rfx.Context | None = None) -> Greeting:
    """Greet somebody by name.

    An empty name is a failed test, and not an error: `assert` says no.
    """
    assert name, "somebody has a name"
    if ctx is not None:
        ctx.log.info("greeting %s", name)
    text = f"Good day, {name}." if polite else f"Hello, {name}!"
    return Greeting(text, len(text))
