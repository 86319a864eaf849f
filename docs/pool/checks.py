"""Checks that end in every way."""

from __future__ import annotations

import rfx


@rfx.function
def small(n: int) -> int:
    """Pass for numbers below 10, fail for others."""
    assert n < 10, f"{n} is too much"
    return n


@rfx.function
def flaky(ctx: rfx.Context) -> int:
    """Fail at the first attempt."""
    if ctx.attempt == 1:
        rfx.fail("not yet")
    return ctx.attempt


@rfx.function
def crash() -> None:
    """Give no answer."""
    raise ConnectionError("nobody is there")


@rfx.function
def login(ctx: rfx.Context) -> dict[str, object]:
    """Use a secret, and be careless with it."""
    token = ctx.secret("API_TOKEN")
    print("logging in with", token)
    return {"token": token, "length": len(token)}
