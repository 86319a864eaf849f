"""What a run gives to a function by name: addresses of the system under test, and secrets."""

from __future__ import annotations

from rfx._errors import SecretError, TargetError


class Target(dict[str, str]):
    """The addresses of the system under test, by name."""

    def __missing__(self, name: str) -> str:
        names = ", ".join(sorted(self)) or "nothing"
        raise TargetError(f'the target has no "{name}"; it has: {names}')


class Secrets(dict[str, str]):
    """The secrets that the step names. Their values are never shown."""

    def __missing__(self, name: str) -> str:
        names = ", ".join(sorted(self)) or "none"
        raise SecretError(f"the step was given no secret {name}, but {names}; add it there: secrets: [{name}]")

    def __repr__(self) -> str:
        return f"<secrets {', '.join(sorted(self))}>"
