"""What the functions of this module are about."""

from __future__ import annotations

import rfx


__DECORATOR__
def __FUNCTION__(name: str, ctx: rfx.Context) -> dict[str, str]:
    """Say in a line what it does: the catalogue shows it."""
    ctx.log.info("called with %s", name)
    assert name, "a name is needed"
    return {"name": name}
