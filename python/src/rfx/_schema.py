"""JSON Schema (draft 2020-12): the parts that do not depend on what is described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_DEFINED: Final = "#/$defs/"
_TYPES: Final = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


class Definitions:
    """The named shapes of one schema. Naming them lets a shape refer to itself."""

    def __init__(self, *, of_output: bool = False) -> None:
        self.of_output = of_output
        self.schemas: dict[str, Schema] = {}
        self._names: dict[int, str] = {}
        self._foreign: dict[str, Schema] = {}

    def refer(self, key: object, title: str, describe: Callable[[], Schema]) -> Schema:
        """Refer to a named shape, describing it on the first call."""
        name = self._names.get(id(key))
        if name is None:
            name = self._free_name(title)
            self._names[id(key)] = name
            self.schemas[name] = {}  # taken from now on, also while it describes itself
            self.schemas[name] = describe()
        return {"$ref": _DEFINED + name}

    def adopt(self, schema: Schema) -> Schema:
        """Take over the definitions that a foreign schema brings along, under names that are free here."""
        parts: dict[str, Schema] = schema.get("$defs", {})
        names = self._names_for(parts)
        for name, part in parts.items():
            self._foreign[names[name]] = part
            self.schemas[names[name]] = _renamed(part, names)
        adopted: Schema = _renamed({key: value for key, value in schema.items() if key != "$defs"}, names)
        return adopted

    def _names_for(self, parts: dict[str, Schema]) -> dict[str, str]:
        """Name definitions that refer to each other: as they are named, else all of them with a number."""
        for number in range(1, len(self.schemas) + 2):
            names = {name: f"{name}{number}" if number > 1 else name for name in parts}
            if all(self._foreign.get(names[name], part) == part for name, part in parts.items()) and not any(
                name in self.schemas and name not in self._foreign for name in names.values()
            ):
                break
        return names

    def _free_name(self, title: str) -> str:
        name, number = title, 1
        while name in self.schemas:
            number += 1
            name = f"{title}{number}"
        return name


def document(describe: Callable[[Definitions], Schema], *, of_output: bool = False) -> Schema:
    """Make a whole schema document of a description and the definitions that it used."""
    definitions = Definitions(of_output=of_output)
    body = describe(definitions)
    named: Schema = {"$defs": definitions.schemas} if definitions.schemas else {}
    return {"$schema": DIALECT, **body, **named}


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401 - any part of a schema
    """Write a schema again with other names for what it refers to."""
    if isinstance(schema, list):
        return [_renamed(item, names) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _renamed(value, names) for key, value in schema.items()}
    reference = made.get("$ref")
    if isinstance(reference, str) and reference.startswith(_DEFINED):
        name = reference[len(_DEFINED) :]
        made["$ref"] = _DEFINED + names.get(name, name)
    return made


def choices_schema(values: list[Any]) -> Schema:
    """Describe a list of allowed values, with their type if they share one."""
    types = {_TYPES[type(value)] for value in values}
    return {**({"type": types.pop()} if len(types) == 1 else {}), "enum": values}
