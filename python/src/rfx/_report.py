"""What a test sees of an attempt: its outcome, and all that it printed, left, told and called."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from rfx import _outcome
from rfx._capture import Printed
from rfx._expect import Assertion
from rfx._memory import Answer, Artifact, Call, Told
from rfx._outcome import Error
from rfx._output import Json

__all__ = ["Error", "Outcome"]


@dataclass(frozen=True, repr=False)
class Outcome:
    """How a function ended, and what it left. Write `assert outcome.passed, outcome` to see all of it in a failure."""

    function: str
    kind: str
    body: bytes = b""
    error: Error | None = None
    assertions: tuple[Assertion, ...] = ()
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    undos: list[Call] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""
    printed: str = ""
    """stdout and stderr, in the order of writing."""
    logs: list[str] = field(default_factory=list)
    """What was logged with `ctx.log`, with its level."""

    @classmethod
    def of_attempt(cls, function: str, outcome: _outcome.Outcome, told: Told, printed: Printed) -> Outcome:
        """Put an attempt together with what was seen of it."""
        return cls(
            function,
            *outcome,
            **told._asdict(),
            stdout=printed.text("stdout"),
            stderr=printed.text("stderr"),
            printed=printed.text("stdout", "stderr"),
            logs=printed.logs,
        )

    @classmethod
    def of_answer(cls, call: Call, answer: Answer) -> Outcome:
        """Make the outcome of a call of which only the answer is known."""
        error = None if answer.error is None else Error(**answer.error)
        return cls(call.function, answer.verdict, answer.body, error)

    @property
    def passed(self) -> bool:
        """Whether the function passed."""
        return self.kind == "passed"

    @property
    def output(self) -> Json:
        """What the function gave, None when there is nothing."""
        return json.loads(self.body) if self.body else None

    def require(self) -> Json:
        """Give the output of a function that passed; fail the test, and show why, if it did not."""
        __tracebackhide__ = True
        if not self.passed:
            raise AssertionError(str(self))
        return self.output

    def __repr__(self) -> str:
        said = "" if self.error is None else f": {self.error.type}: {self.error.message}"
        return f"<{self.function} {self.kind}{said}>"

    def __str__(self) -> str:
        lines = [f"{self.function}: {self.kind}"]
        if self.error is not None:
            lines.append(f"{self.error.type}: {self.error.message}")
            lines += [part.rstrip() for part in (self.error.diff, self.error.traceback) if part]
        if self.printed:
            lines += ["printed:", self.printed.rstrip()]
        return "\n".join(lines)
