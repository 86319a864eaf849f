"""The modules of a pool: which there are, and what importing one gives."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path

from rfx._function import Function, loading, refused, registered
from rfx._manifest import Manifest

SHARED = "_fixtures"
"""The module whose fixtures every function of the pool sees."""

_SKIPPED_FOLDERS = ("tests", "__pycache__")


def find(directory: Path, manifest: Manifest) -> Iterator[tuple[str, Path]]:
    """Find the modules that may hold functions: those that the manifest lists, else all."""
    if manifest.modules is None:
        yield from _discover(directory, "")
        return
    for name in manifest.modules:
        path = directory.joinpath(*name.split("."))
        package = path / "__init__.py"
        yield name, package if package.exists() else path.with_name(f"{path.name}.py")


def load(name: str, path: Path) -> types.ModuleType:
    """Import a module of the pool, and make sure that it is the pool's."""
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise ImportError(f"`{name}` is a module of Python itself; rename {path.name}")
    if name not in sys.modules:  # else what an import that failed half-way left
        forget(name)
    loading.add(name)
    try:
        module = importlib.import_module(name)
    finally:
        loading.discard(name)
    found = module.__file__
    if found is None or Path(found).resolve() != path.resolve():
        raise ImportError(f"the name `{name}` is taken by {found}; rename {path.name}")
    return module


def functions(name: str, module: types.ModuleType) -> list[Function]:
    """The decorated functions of a module; of one without any, its `main`, under the module's name."""
    found = registered.get(name, [])
    main = getattr(module, "main", None)
    if found or name in refused or not isinstance(main, types.FunctionType) or main.__module__ != name:
        return found
    return [Function(main, name=name)]


def forget(name: str) -> None:
    """Drop what a module said of its functions."""
    registered.pop(name, None)
    refused.pop(name, None)


def _discover(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """Find the modules below a folder. Names with an underscore in front are helpers and export nothing."""
    for path in sorted(folder.iterdir()):
        name = path.stem
        if path.is_dir():
            if path.name not in _SKIPPED_FOLDERS and path.name.isidentifier() and not name.startswith("_"):
                yield from _discover(path, f"{prefix}{path.name}.")
        elif path.suffix == ".py" and not name.startswith((".", "test_")) and name != "conftest":
            if name == "__init__" and prefix:
                yield prefix[:-1], path
            elif not name.startswith("_"):
                yield prefix + name, path
