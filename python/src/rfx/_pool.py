"""Loading a pool: find its modules, import each, keep what works and say what is broken.

A module that does not import, or a function that cannot be bound, costs only itself.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rfx import _hook, _manifest, _modules
from rfx._errors import InputError, PoolError
from rfx._fixture import Fixture, fixtures_in, unavailable
from rfx._function import Function, refused
from rfx._outcome import cut_traceback
from rfx._output import encode


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

    directory: Path
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
    _hook.evict(str(directory))
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
    _hook.install(str(directory))
    pool = Pool(directory, manifest, [], [])
    shared = _load_shared(pool, directory)
    for name, path in _modules.find(directory, manifest):
        _load_module(pool, directory, name, path, shared)
    _drop_doubles(pool)
    return pool


def _load_shared(pool: Pool, directory: Path) -> Mapping[str, Fixture]:
    """Import the fixtures that all functions see. If that fails, it costs those that name one of them."""
    path = directory / f"{_modules.SHARED}.py"
    if not path.exists():
        return {}
    try:
        return fixtures_in(_modules.load(_modules.SHARED, path))
    except BaseException as problem:  # a module may also call sys.exit
        pool.broken.append(_broken(_modules.SHARED, path.name, path, problem))
        return unavailable(path)


def _load_module(pool: Pool, directory: Path, name: str, path: Path, shared: Mapping[str, Fixture]) -> None:
    file = path.relative_to(directory).as_posix()
    if not path.exists():
        text = f"{_manifest.FILE} lists the module {name}, but there is no {file}, nor a folder with an __init__.py"
        pool.broken.append(Broken(name, _manifest.FILE, 1, text))
        return
    try:
        functions = _modules.functions(name, _modules.load(name, path))
    except BaseException as problem:  # a module may also call sys.exit
        _modules.forget(name)
        pool.broken.append(_broken(name, file, path, problem))
        return
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for refusal in refused.get(name, ()):
        text = f"{refusal.name}: {_headline(refusal.problem)}"
        pool.broken.append(Broken(name, file, refusal.line, text))
    for function in functions:
        function.shared = shared
        function.pool = pool.manifest.name
        try:
            _check_examples(function)
        except Exception as problem:  # reading hints runs the author's code
            text = f"{function.name}: {_headline(problem)}"
            pool.broken.append(Broken(name, file, function.line, text))
        else:
            if function.owner is None:
                function.owner = pool.manifest.owner
            pool.entries.append(Entry(function, file, digest))


def _check_examples(function: Function) -> None:
    """Compile the signature, and bind the author's examples with it."""
    signature = function.signature
    for number, example in enumerate(function.examples, start=1):
        try:
            signature.bind(encode(example))
        except InputError as problem:
            raise InputError(f"example {number} does not fit: {problem}") from None


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


def _broken(name: str, file: str, path: Path, problem: BaseException) -> Broken:
    return Broken(name, file, _line_in(path, problem), _headline(problem), cut_traceback(problem))


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
