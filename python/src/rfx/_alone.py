"""The context of a function that nobody executes, as in a unit test that makes its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from rfx._link import AskError


class Alone:
    """The link of a context that was made by hand: there is nobody to ask, and what it tells goes to the log."""

    def ask(self, what: str, fields: Mapping[str, Any], body: bytes = b"") -> NoReturn:
        """Refuse."""
        raise AskError("NoWorker", f"{what}: nobody executes this function; test it with rfx.testing.Pool")

    def tell(self, what: str, fields: Mapping[str, Any]) -> None:
        """Log progress, and drop the rest."""
        if what == "progress":
            from rfx._log import logger

            logger("").info("%s", fields["message"])
