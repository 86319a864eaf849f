"""Where `ctx.log` writes: stderr as it is at that moment, one line a record."""

from __future__ import annotations

import logging
import sys
from typing import Final

_ROOT: Final = "rfx.function"


class _Stderr(logging.StreamHandler):  # type: ignore[type-arg]  # not generic at run time in Python 3.10
    """A handler that looks stderr up for each record, so that a redirected one is honoured."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def logger(function: str) -> logging.Logger:
    """Find the logger of a function, setting up their common parent at the first call."""
    root = logging.getLogger(_ROOT)
    if not root.handlers:
        handler = _Stderr()
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        root.propagate = False
    return root.getChild(function) if function else root
