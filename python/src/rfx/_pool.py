"""Loading a pool: find its modules, import each, keep what works and say what is broken.

A module that does not import, or a function that cannot be bound, costs only itself.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rfx import _manifest
from rfx._errors import PoolError
from rfx._function import Function, registered
from rfx._outcome import cut_traceback

_SKIPPED_FOLDERS = ("tests", "__pycache__")


class Broken(NamedTuple):
    """A module or function that cannot be used, and why."""

    module: str
    file: str
    line: int
    error: str
    traceback: str = ""


class Entry(NamedTuple):
    """A function as it stands in a pool."""

    function: Function
    file: str
    digest: str
    """SHA-256 of the source of its module, in hex."""


class Pool(NamedTuple):
    """A loaded pool."""

    manifest: _manifest.Manifest
    entries: list[Entry]
    broken: list[Broken]

    def find(self, name: str, version: str | None = None) -> Function | None:
        """Find a function; without a version the newest one."""
        found = [entry.function for entry in self.entries if entry.function.name == name]
        if version is not None:
            found = [function for function in found if function.version == version]
        return max(found, key=_by_version, default=None)


def load(directory: Path) -> Pool:
    """Import a pool. Raises `PoolError` only where there is no pool at all."""
    directory = directory.resolve()
    if not directory.is_dir():
        raise PoolError(f"{directory} is not a folder")
    manifest = _manifest.read(directory)
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    pool = Pool(manifest, [], [])
    for module, path in _modules(directory, manifest):
        _load_module(pool, directory, module, path)
    _drop_doubles(pool)
    return pool


def _modules(directory: Path, manifest: _manifest.Manifest) -> Iterator[tuple[str, Path]]:
    if manifest.modules is None:
        yield from _discover(directory, "")
        return
    for name in manifest.modules:
        path = directory.joinpath(*name.split("."))
        package = path / "__init__.py"
        yield name, package if package.exists() else path.with_name(f"{path.name}.py")


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


def _load_module(pool: Pool, directory: Path, name: str, path: Path) -> None:
    file = path.relative_to(directory).as_posix()
    try:
        functions = _import(name, path)
    except BaseException as problem:  # a module may also call sys.exit
        registered.pop(name, None)
        line = _line_in(path, problem)
        pool.broken.append(Broken(name, file, line, _headline(problem), cut_traceback(problem)))
        return
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for function in functions:
        try:
            assert function.signature
        except Exception as problem:  # reading hints runs the author's code
            text = f"{function.name}: {_headline(problem)}"
            pool.broken.append(Broken(name, file, function.line, text))
        else:
            if function.owner is None:
                function.owner = pool.manifest.owner
            pool.entries.append(Entry(function, file, digest))


def _import(name: str, path: Path) -> list[Function]:
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise ImportError(f"`{name}` is a module of Python itself; rename {path.name}")
    if name not in sys.modules:
        registered.pop(name, None)  # left by an import that failed half-way
    module = importlib.import_module(name)
    found = module.__file__
    if found is None or Path(found).resolve() != path.resolve():
        raise ImportError(f"the name `{name}` is taken by {found}; rename {path.name}")
    return registered.get(name, [])


def _drop_doubles(pool: Pool) -> None:
    """Give up both of two functions with one name and version: to choose would be to guess."""
    first: dict[tuple[str, str], Entry] = {}
    doubled: set[tuple[str, str]] = set()
    for entry in pool.entries:
        function = entry.function
        key = (function.name, function.version)
        other = first.setdefault(key, entry)
        if other is not entry:
            doubled.add(key)
            places = f"{other.file}:{other.function.line} and {entry.file}:{function.line}"
            text = f"DuplicateFunction: {function.name} version {function.version} is defined twice, in {places}"
            pool.broken.append(Broken(function.module, entry.file, function.line, text))
    pool.entries[:] = [e for e in pool.entries if (e.function.name, e.function.version) not in doubled]


def _line_in(path: Path, problem: BaseException) -> int:
    """Find the line of a module that an exception came through, 1 where there is none."""
    line = 1
    if isinstance(problem, SyntaxError) and problem.filename == str(path):
        return problem.lineno or line
    frame = problem.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == str(path):
            line = frame.tb_lineno
        frame = frame.tb_next
    return line


def _headline(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}"


def _by_version(function: Function) -> list[int]:
    return [int(part) for part in function.version.split(".")]
