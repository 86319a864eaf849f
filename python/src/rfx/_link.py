"""What a context needs of whoever executes the function: answers to what it asks, ears for what it tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class AskError(Exception):
    """The worker refused what was asked."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(message)
        self.type = type
        self.message = message


class Link(Protocol):
    """The way to whoever executes the function."""

    def ask(self, what: str, fields: Mapping[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Ask for something, and wait for the answer; any thread may. Raises `AskError` when it is refused."""
        ...

    def tell(self, what: str, fields: Mapping[str, Any]) -> None:
        """Say something that needs no answer."""
        ...
