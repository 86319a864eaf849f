"""Python values to JSON: what a function may return, and how it is written.

Refused, with the path of the value: NaN and infinities, integers that other languages cannot hold, keys that are
not text, nesting without end, and any type that has no plain meaning in JSON.
"""

from __future__ import annotations

import datetime
import json
import math
from enum import Enum
from typing import Any, Final, TypeAlias

from rfx._errors import OutputError
from rfx._problem import Path, depth, render, root

Json: TypeAlias = Any
"""A plain value: dict, list, str, int, float, bool or None."""

MAX_DEPTH: Final = 100
"""Levels of nesting that are written; JSON readers in other languages commonly stop at 128."""

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1
_ROOT: Final[Path] = (None, "output")

_INSTEAD: Final = "return dicts, lists, texts, numbers or dataclasses"

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False).encode


def encode(value: object, at: Path = _ROOT) -> bytes:
    """Write a value as JSON, or raise `OutputError` with the place of what cannot be written."""
    return _encode(plain(value, at)).encode()


def dump(plain_value: object) -> bytes:
    """Write a value that is plain already. Texts that are not Unicode lose the offending characters."""
    return _encode(plain_value).encode("utf-8", "replace")


def shown(value: object) -> Json:
    """Make a plain value for people to look at: what JSON cannot carry becomes its `repr`."""
    try:
        return plain(value)
    except OutputError:
        return repr(value)


def plain(value: object, at: Path = _ROOT) -> Json:
    """Turn a value into dicts, lists, texts, numbers, bools and None."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if isinstance(value, Enum):
        return plain(value.value, at)
    if isinstance(value, str):
        return _text(str(value), at)
    if isinstance(value, int):
        return _integer(int(value), at)
    if isinstance(value, float):
        return _number(float(value), at)
    if isinstance(value, (list, tuple)):
        _check_depth(at)
        if hasattr(value, "_fields"):  # a NamedTuple has names, and keeps them
            return {name: plain(item, (at, name)) for name, item in zip(value._fields, value, strict=True)}
        return [plain(item, (at, index)) for index, item in enumerate(value)]
    if isinstance(value, dict):
        _check_depth(at)
        return {_key(key, at): plain(item, (at, str(key))) for key, item in value.items()}
    return _converted(value, at)


def _converted(value: object, at: Path) -> Json:
    """Turn the other types that have a plain meaning into JSON."""
    if isinstance(value, (set, frozenset)):
        _check_depth(at)
        # Sorted, so that the same set is always the same output.
        return sorted((plain(item, at) for item in value), key=_encode)
    from rfx._models import plain_of  # not needed by those who return dicts and lists

    if (model := plain_of(value)) is not None:
        return plain(model[0], at)
    if hasattr(type(value), "__dataclass_fields__"):
        import dataclasses  # slow to import, and imported by whoever has one

        _check_depth(at)
        names = [field.name for field in dataclasses.fields(value)]  # type: ignore[arg-type]  # just seen
        return {name: plain(getattr(value, name), (at, name)) for name in names}
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if type(value).__module__ in ("uuid", "decimal"):  # known by name: importing them is slow
        return str(value)
    if type(value).__module__ == "numpy":
        return plain(value.tolist(), at)  # type: ignore[attr-defined]  # its scalars and arrays have it
    instead = "decode it, or leave it as an artifact: ctx.artifact(…)" if isinstance(value, bytes) else _INSTEAD
    raise _refusal(at, f"JSON has no {type(value).__name__}; {instead}")


def _text(value: str, at: Path) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _refusal(at, "the text holds half a surrogate pair, which is not Unicode") from None
    return value


def _integer(value: int, at: Path) -> int:
    if _INT_MIN <= value <= _INT_MAX:
        return value
    raise _refusal(at, "the integer needs more than 64 bits; return it as text")


def _number(value: float, at: Path) -> float:
    if math.isfinite(value):
        return value
    raise _refusal(at, f"JSON has no {value}; return None or a text")


def _key(key: object, at: Path) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return _text(str(key), at)
    raise _refusal(at, f"the key {key!r} is {type(key).__name__}, and JSON keys are texts")


def _check_depth(at: Path) -> None:
    # Counting walks the whole path, but a path is as long as a value is deep: a handful.
    if depth(at) > MAX_DEPTH:
        raise OutputError(f"{root(at)}: nested deeper than {MAX_DEPTH} levels (does it contain itself?)")


def _refusal(at: Path, message: str) -> OutputError:
    return OutputError(f"{render(at)}: {message}")
