"""Type hints to shapes: which hints rfx understands, and how it reads them."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import inspect
import types
import typing
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar, Union

from rfx import _limits, _models, _shapes
from rfx._errors import MISSING, OutputError, UnsupportedTypeError
from rfx._output import plain

Hint: TypeAlias = Any
"""A type hint, which can be any object."""

SUPPORTED: Final = (
    "str, int, float, bool, None, list, dict[str, …], tuple, set, Optional and unions, Literal, Enum, dataclasses, "
    "TypedDict, NamedTuple, date, time, datetime, UUID, Decimal, Annotated, Any, models of pydantic and msgspec"
)

_SCALARS: Final[dict[object, _shapes.Shape]] = {
    str: _shapes.Scalar(str, "string"),
    int: _shapes.Scalar(int, "integer"),
    bool: _shapes.Scalar(bool, "boolean"),
    None: _shapes.Scalar(type(None), "null", "None"),
    type(None): _shapes.Scalar(type(None), "null", "None"),
    float: _shapes.Float(),
    Any: _shapes.Shape(),
    object: _shapes.Shape(),
    datetime.time: _shapes.Text("time", datetime.time.fromisoformat, "time"),
    datetime.date: _shapes.Text("date", datetime.date.fromisoformat, "date"),
    # Python 3.10 does not read the Z that other languages write.
    datetime.datetime: _shapes.Text(
        "datetime", lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00")), "date-time"
    ),
}

_SEQUENCES: Final[dict[object, type]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    collections.abc.Sequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: set,
}

_MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)

_BY_NAME: Final[dict[tuple[str, str], Callable[[Any], _shapes.Shape]]] = {
    ("uuid", "UUID"): lambda cls: _shapes.Text("UUID", cls, "uuid"),
    ("decimal", "Decimal"): lambda cls: _shapes.Text("Decimal", cls, "decimal"),
}
"""Classes known by their names: importing them is slow."""

_QUALIFIERS: Final = ("Required", "NotRequired", "ReadOnly")


def read(owner: object) -> dict[str, Any]:
    """Read the type hints of a function or class, also those written as text."""
    try:
        return typing.get_type_hints(owner, include_extras=True)
    except NameError as missing:
        raise UnsupportedTypeError(
            f"a type hint cannot be read: {missing} (is it imported under TYPE_CHECKING, or local to a function?)"
        ) from None


class Reader:
    """Turns hints into shapes, knowing the classes met before, so that a class may contain itself."""

    def __init__(self) -> None:
        self._known: dict[type, _shapes.Shape] = {}

    def shape(self, hint: Hint) -> _shapes.Shape:
        """Find the shape of a hint."""
        origin = typing.get_origin(hint)
        if origin is not None:
            return self._generic(hint, origin, typing.get_args(hint))
        try:
            scalar = _SCALARS.get(hint)
        except TypeError:  # not hashable, so not a type either
            raise _unsupported(hint) from None
        if scalar is not None:
            return scalar
        if hint in _SEQUENCES or hint is tuple:
            return _shapes.Sequence(_shapes.Shape(), _SEQUENCES.get(hint, tuple))
        if hint in _MAPPINGS:
            return _shapes.Mapping(_shapes.Shape())
        return self._named(hint)

    def _generic(self, hint: object, origin: object, args: tuple[Any, ...]) -> _shapes.Shape:
        if origin is Annotated:
            return self._annotated(hint, args[0], list(_limits.flat(args[1:])))
        if origin in (Union, types.UnionType):
            return _shapes.Either([self.shape(arg) for arg in args])
        if origin is Literal:
            return _shapes.Choice((_raw(value, hint), value) for value in args)
        if origin is tuple:
            if len(args) == 2 and args[1] is Ellipsis:
                return _shapes.Sequence(self.shape(args[0]), tuple)
            return _shapes.Fixed([self.shape(arg) for arg in args])
        if origin in _SEQUENCES:
            return _shapes.Sequence(self.shape(args[0]), _SEQUENCES[origin])
        if origin in _MAPPINGS and args[0] in (str, Any):
            return _shapes.Mapping(self.shape(args[1]))
        if _qualifier(hint):
            return self.shape(args[0])
        raise _unsupported(hint)

    def _annotated(self, hint: object, inner: object, notes: list[object]) -> _shapes.Shape:
        """Find the shape of a hint with notes: texts describe it, limits limit it, others say nothing to rfx."""
        limits = _limits.limits(notes)
        if any(_models.is_of_pydantic(note) and not hasattr(note, "metadata") for note in notes):
            shape: _shapes.Shape = _models.Pydantic(hint, self.shape(inner).name)  # a validator of theirs
        else:
            shape = _limits.Limited(self.shape(inner), limits) if limits else self.shape(inner)
        texts = [note if isinstance(note, str) else getattr(note, "description", None) for note in notes]
        text = next((text for text in texts if isinstance(text, str)), None)
        return _shapes.Described(shape, text) if text else shape

    def _named(self, hint: Hint) -> _shapes.Shape:
        """Find the shape of a class, or of a name given to another hint."""
        for alias in ("__supertype__", "__value__"):  # NewType, and `type Name = …`
            if hasattr(hint, alias):
                return self.shape(getattr(hint, alias))
        if isinstance(hint, TypeVar) or not isinstance(hint, type):
            raise _unsupported(hint)
        if hint not in self._known:
            self._known[hint] = self._class(hint)
        return self._known[hint]

    def _class(self, cls: type) -> _shapes.Shape:
        if issubclass(cls, Enum):
            return _shapes.Choice(((_raw(member.value, cls), member) for member in cls), title=cls.__name__)
        if (model := _models.shape_of(cls)) is not None:
            return model
        if dataclasses.is_dataclass(cls):
            return self._dataclass(cls)
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return self._named_tuple(cls)
        if issubclass(cls, dict) and hasattr(cls, "__required_keys__"):  # a TypedDict, whoever made it
            return self._typed_dict(cls)
        if (cls.__module__, cls.__name__) in _BY_NAME:
            return _BY_NAME[cls.__module__, cls.__name__](cls)
        raise _unsupported(cls)

    def _dataclass(self, cls: Hint) -> _shapes.Object:
        made = self._known[cls] = _shapes.Object(cls.__name__, title=cls.__name__, build=cls)
        made.description = _doc(cls)
        hints = read(cls)
        for field in dataclasses.fields(cls):
            if not field.init:
                continue
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            default = MISSING if field.default is dataclasses.MISSING else as_default(field.default)
            made.fields[field.name] = _shapes.Field(self.shape(hints[field.name]), required, default)
        return made

    def _named_tuple(self, cls: Hint) -> _shapes.Object:
        made = self._known[cls] = _shapes.Object(cls.__name__, title=cls.__name__, build=cls)
        made.description = None if (cls.__doc__ or "").startswith(f"{cls.__name__}(") else _doc(cls)
        hints = read(cls)
        for name in cls._fields:
            required = name not in cls._field_defaults
            default = MISSING if required else as_default(cls._field_defaults[name])
            made.fields[name] = _shapes.Field(self.shape(hints.get(name, Any)), required, default)
        return made

    def _typed_dict(self, cls: Hint) -> _shapes.Object:
        made = self._known[cls] = _shapes.Object(cls.__name__, title=cls.__name__)
        made.description = _doc(cls)
        for name, hint in read(cls).items():
            qualifier = _qualifier(hint)
            # `__required_keys__` is wrong for hints that were text, so the qualifier goes first.
            required = qualifier != "NotRequired" if qualifier else name in cls.__required_keys__
            made.fields[name] = _shapes.Field(self.shape(hint), required)
        return made


def as_default(value: object) -> object:
    """Write a default as JSON, or leave it out of the schema where that cannot be."""
    try:
        return plain(value)
    except OutputError:
        return MISSING


def _doc(cls: type) -> str | None:
    """Read what the author wrote, not the signature that dataclasses write for themselves."""
    doc = cls.__doc__
    return None if not doc or doc.startswith(f"{cls.__name__}(") else inspect.cleandoc(doc)


def _qualifier(hint: object) -> str:
    """Tell Required and NotRequired, from `typing` or `typing_extensions`, by their name."""
    name = str(typing.get_origin(hint)).rpartition(".")[2]
    return name if name in _QUALIFIERS else ""


def _raw(value: object, owner: object) -> object:
    """Find the JSON value that stands for a member of an Enum or Literal."""
    raw = value.value if isinstance(value, Enum) else value
    if raw is None or type(raw) in (str, int, float, bool):
        return raw
    raise UnsupportedTypeError(f"{owner!r} has the value {raw!r}, which JSON cannot carry as one")


def _unsupported(hint: object) -> UnsupportedTypeError:
    name = hint.__qualname__ if isinstance(hint, type) else repr(hint)
    if hint in (bytes, bytearray):
        return UnsupportedTypeError(
            f"rfx does not bind the type {name}: JSON has none; take a str, such as base64 or the name of a file"
        )
    return UnsupportedTypeError(f"rfx does not bind the type {name}; use {SUPPORTED}")
