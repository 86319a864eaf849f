"""Models of pydantic and msgspec, for authors who use them. Neither is ever imported from here.

A class of theirs can only be met when its author has imported the library.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Final

from rfx._errors import UnsupportedTypeError
from rfx._problem import Path, Problem, describe
from rfx._schema import Definitions, Schema
from rfx._shapes import Problems, Shape

_SEGMENT: Final = re.compile(r"\.(\w+)|\[(\d+)\]")


def shape_of(hint: Any) -> Shape | None:  # noqa: ANN401 - a type hint
    """Find the shape of a model, None for what is none."""
    name = getattr(hint, "__name__", str(hint))
    if hasattr(hint, "__pydantic_core_schema__") or _root(hint) == "pydantic":
        return Pydantic(hint, name)
    if hasattr(hint, "__struct_fields__") or _root(hint) == "msgspec":
        return Msgspec(hint, name)
    return None


def plain_of(value: object) -> tuple[object] | None:
    """Turn a model into dicts, lists and the like, None for what is no model."""
    cls: Any = type(value)
    if hasattr(cls, "__pydantic_serializer__"):
        return (cls.__pydantic_serializer__.to_python(value, mode="json", by_alias=True),)
    if hasattr(cls, "__struct_fields__"):
        return (sys.modules["msgspec"].to_builtins(value),)
    if _root(cls) in ("pydantic", "pydantic_core"):  # such as a URL
        return (sys.modules["pydantic_core"].to_jsonable_python(value),)
    return None


def is_of_pydantic(note: object) -> bool:
    """Whether a note in `Annotated` means something to pydantic alone, such as a validator."""
    return _root(type(note)) == "pydantic"


class Pydantic(Shape):
    """What pydantic validates: a model, a dataclass of its own, a type such as HttpUrl."""

    def __init__(self, hint: object, name: str) -> None:
        make = getattr(sys.modules.get("pydantic"), "TypeAdapter", None)
        if make is None:
            raise UnsupportedTypeError(f"{name} is of pydantic 1; rfx binds models of pydantic 2")
        self.name = name
        self._adapter = make(hint)
        self._refusal: type[Any] = sys.modules["pydantic_core"].ValidationError

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        try:
            # As JSON and not as Python: so a strict model takes a date, which JSON writes as text.
            return self._adapter.validate_json(json.dumps(value))
        except self._refusal as refusal:
            for error in refusal.errors(include_url=False):
                place = at
                for key in error["loc"]:
                    place = (place, key)
                problems.append(Problem(place, _said(error)))
        return None

    def schema(self, definitions: Definitions) -> Schema:
        mode = "serialization" if definitions.of_output else "validation"
        made: Schema = self._adapter.json_schema(mode=mode, by_alias=True)
        return _named(made, definitions)


class Msgspec(Shape):
    """What msgspec converts: a Struct."""

    def __init__(self, hint: object, name: str) -> None:
        self.name = name
        self._hint = hint
        self._msgspec = sys.modules["msgspec"]

    def bind(self, value: object, at: Path, problems: Problems) -> object:
        try:
            return self._msgspec.convert(value, self._hint)
        except self._msgspec.ValidationError as refusal:
            text, _, place = str(refusal).partition(" - at `$")
            for name, index in _SEGMENT.findall(place):
                at = (at, name or int(index))
            problems.append(Problem(at, _lowered(text.replace("`", ""))))
        return None

    def schema(self, definitions: Definitions) -> Schema:
        (made,), parts = self._msgspec.json.schema_components([self._hint], ref_template="#/$defs/{name}")
        return _named({**made, "$defs": parts}, definitions)


def _named(made: Schema, definitions: Definitions) -> Schema:
    """Refer to a schema that others made, with the parts that it brings along."""
    parts, own = made.get("$defs", {}), {key: value for key, value in made.items() if key != "$defs"}
    title = own.get("title", "")
    if "$ref" in own or not title.isidentifier() or title in parts:
        return definitions.adopt(made)
    return definitions.adopt({"$ref": f"#/$defs/{title}", "$defs": {**parts, title: own}})


def _said(error: dict[str, Any]) -> str:
    """Say what pydantic found, and what was given where that is not said by the place."""
    text = _lowered(error["msg"])
    if error["type"] == "missing":
        return "missing"
    return f"{text}, got {describe(error['input'])}"


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _root(kind: object) -> str:
    return str(getattr(kind, "__module__", "")).partition(".")[0]
