"""What functions do with shared state."""

from __future__ import annotations

from typing import Any

import rfx


@rfx.function
def steps(ctx: rfx.Context) -> list[Any]:
    """Do all that can be done with a key."""
    state, key = ctx.state, f"steps.{ctx.job}"
    seen: list[Any] = [state.get(key, "nothing"), state.read(key)]
    first = state.put(key, {"n": 1, "a": None})
    seen.append(state.get(key))
    seen += [state.cas(key, 2, 0), state.cas(key, 2, first + 1_000_000), state.get(key)]
    second = state.cas(key, [2.5, "é", 2**53 + 1], first)
    assert second is not None
    assert second > first
    seen.append(state.get(key))
    state.delete(key)
    state.delete(key)
    seen += [state.read(key), state.cas(key, 3, first)]
    assert state.cas(key, 3, 0) is not None
    seen.append(state.update(key, lambda n: n + 1))
    return [*seen, state.update(f"{key}.new", lambda all: [*all, 1], default=[])]


@rfx.function
def bad_key(key: str, ctx: rfx.Context) -> None:
    """Use a key that is none."""
    ctx.state.put(key, 1)


@rfx.function
def bad_key_to_read(key: str, ctx: rfx.Context) -> Any:
    """Read a key that is none."""
    return ctx.flow_state.get(key)


@rfx.function
def too_large(ctx: rfx.Context) -> None:
    """Put more than a key holds."""
    ctx.state.put("large", "x" * 600_000)


@rfx.function
def unwritable(ctx: rfx.Context) -> None:
    """Put what is no JSON."""
    ctx.state.put("unwritable", {"a": float("nan")})


@rfx.function(secrets=["TOKEN"])
def secret(ctx: rfx.Context) -> None:
    """Put a secret."""
    ctx.state.put("secret", {"token": ctx.secret("TOKEN")})


@rfx.function
def many(ctx: rfx.Context) -> int:
    """Read more keys than an outcome tells of."""
    return sum(ctx.state.get(f"many.{n}", 1) for n in range(150))


@rfx.function
def made_at_the_second_try(ctx: rfx.Context) -> list[Any]:
    """Make a value after a maker that failed."""

    def broken() -> None:
        raise LookupError("not yet")

    key = f"second.{ctx.job}"
    with rfx.raises(LookupError, match="not yet"):
        ctx.state.get_or_create(key, broken)
    absent = ctx.state.get(key, "absent")
    made = ctx.state.get_or_create(key, lambda: {"made": True})
    return [absent, made, ctx.state.get_or_create(key, broken)]


@rfx.function
async def made_async(ctx: rfx.Context) -> Any:
    """Make a value in a coroutine."""

    async def make() -> int:
        return 7

    return await ctx.state.get_or_create_async(f"async.{ctx.job}", make)


@rfx.function
def changed_while_made(ctx: rfx.Context) -> Any:
    """Change a value whose maker gave up: nobody makes it any more."""
    with rfx.raises(ZeroDivisionError):
        ctx.state.get_or_create("dropped", lambda: 1 / 0)
    return ctx.state.update("dropped", lambda n: n + 1, default=10)
