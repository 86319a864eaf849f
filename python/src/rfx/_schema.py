"""JSON Schema (draft 2020-12): the parts that do not depend on what is described."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_TYPES: Final = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


class Definitions:
    """The named shapes of one schema. Naming them lets a shape refer to itself."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self.schemas: dict[str, Schema] = {}

    def refer(self, key: object, title: str, describe: Callable[[], Schema]) -> Schema:
        """Refer to a named shape, describing it on the first call."""
        name = self._names.get(id(key))
        if name is None:
            name = self._free_name(title)
            self._names[id(key)] = name
            self.schemas[name] = {}  # taken from now on, also while it describes itself
            self.schemas[name] = describe()
        return {"$ref": f"#/$defs/{name}"}

    def _free_name(self, title: str) -> str:
        name, number = title, 1
        while name in self.schemas:
            number += 1
            name = f"{title}{number}"
        return name


def document(describe: Callable[[Definitions], Schema]) -> Schema:
    """Make a whole schema document of a description and the definitions that it used."""
    definitions = Definitions()
    body = describe(definitions)
    named: Schema = {"$defs": definitions.schemas} if definitions.schemas else {}
    return {"$schema": DIALECT, **body, **named}


def choices_schema(values: list[Any]) -> Schema:
    """Describe a list of allowed values, with their type if they share one."""
    types = {_TYPES[type(value)] for value in values}
    return {**({"type": types.pop()} if len(types) == 1 else {}), "enum": values}
