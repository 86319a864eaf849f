"""Code that functions share, and that does not get their context."""

from __future__ import annotations

import rfx


def refuse(why: str) -> None:
    """Fail from the depth."""
    rfx.fail(why, expected=1, seen=2)


def leave(why: str) -> None:
    """Skip from the depth, by the context of whoever runs."""
    rfx.context().skip(why)
