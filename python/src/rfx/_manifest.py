"""`pool.toml`: what a pool says about itself.

Only what the Python side needs is checked here; the rest is the worker's business.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from rfx._errors import PoolError

FILE: Final = "pool.toml"

_TEXTS: Final = ("name", "description", "version", "owner")
_THE_WORKERS: Final = ("python", "requirements", "env", "isolation", "runner", "function")
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?", re.ASCII)
_LONGEST: Final = 128


class Manifest(NamedTuple):
    """The checked content of a `pool.toml`."""

    name: str
    description: str = ""
    version: str = ""
    owner: str | None = None
    modules: list[str] | None = None
    """Dotted names of the modules that hold functions; None means to look for them."""


def read(directory: Path) -> Manifest:
    """Read and check the manifest of a pool; every problem is a `PoolError` that says what to write."""
    path = directory / FILE
    try:
        values = _parser()(path.read_text(encoding="utf-8"))
    except OSError:
        raise PoolError(f'{directory} is not a pool: write {path} with the line\n\n    name = "my-pool"\n') from None
    except ValueError as problem:
        raise PoolError(f"{path}: {problem}") from None
    return _check(path, values)


def _check(path: Path, values: dict[str, Any]) -> Manifest:
    known = (*_TEXTS, "modules", *_THE_WORKERS)
    for key, value in values.items():
        if key in _TEXTS and not isinstance(value, str):
            raise PoolError(f'{path}: {key} is {value!r}; write a text, such as {key} = "…"')
        if key.partition(".")[0] not in known:
            raise PoolError(f"{path}: `{key}` is not known; use {', '.join(known[:-1])} and {known[-1]}")
    name = values.get("name")
    if not name:
        raise PoolError(f'{path}: the name is missing; write name = "my-pool"')
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        form = "lower-case letters, digits, inner hyphens and underscores, such as my-pool"
        raise PoolError(f'{path}: "{name}" is not the name of a pool; use {form} (at most {_LONGEST} characters)')
    modules = values.get("modules")
    if modules is not None and not (isinstance(modules, list) and all(isinstance(name, str) for name in modules)):
        raise PoolError(f'{path}: modules is {modules!r}; write a list such as ["tenants", "apps.push"]')
    return Manifest(**{key: values[key] for key in Manifest._fields if key in values})


def _parser() -> Callable[[str], dict[str, Any]]:
    """Find a TOML reader: Python's own from 3.11, `tomli` where it is installed, else the small one below."""
    for module in ("tomllib", "tomli"):
        try:
            loads: Callable[[str], dict[str, Any]] = importlib.import_module(module).loads
        except ImportError:
            continue
        return loads
    return read_simple


def read_simple(text: str) -> dict[str, Any]:
    """Read the part of TOML that a manifest needs: top-level texts and lists of texts, up to the first table.

    Both are written as in Python, so Python reads them. What the worker alone looks at may be anything.
    """
    values: dict[str, Any] = {}
    pending = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if not pending and line.lstrip().startswith("["):
            break
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        pending += line + "\n"
        key, equals, literal = (part.strip() for part in pending.partition("="))
        if equals and (literal.count("[") > literal.count("]") or literal.count('"""') == 1):
            continue  # a list or a text that goes on in the next line
        try:
            values[key] = ast.literal_eval(literal)
        except (ValueError, SyntaxError):
            if not equals or key.partition(".")[0] not in _THE_WORKERS:
                raise ValueError(
                    f'line {number} is not `name = "text"` or a list of texts; for more of TOML, '
                    "install tomli or use Python 3.11 or newer"
                ) from None
        pending = ""
    if pending:
        raise ValueError("the last list or text is not closed")
    return values
