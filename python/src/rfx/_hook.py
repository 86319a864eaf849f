"""The import hook that rewrites the assertions of a pool's own modules, and of no others."""

from __future__ import annotations

import importlib.machinery as machinery
import os
import re
import sys
import types
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from typing import Final

_NOT_THE_POOLS: Final = re.compile(r"/(site-packages|tests)/|/(test_[^/]*|conftest)\.py$")
"""What is installed below the pool, and its tests, which pytest rewrites."""


def install(directory: str) -> None:
    """Rewrite assertions in what is imported from a folder from now on."""
    root = _root(directory)
    if not any(isinstance(finder, _Finder) and finder.root == root for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(root))


def evict(directory: str) -> None:
    """Make room in `sys.modules` and `sys.path` for a pool, where another one was loaded: as tests do.

    Modules of two pools may well have the same names.
    """
    root = _root(directory)
    for finder in [one for one in sys.meta_path if isinstance(one, _Finder) and one.root != root]:
        sys.meta_path.remove(finder)
        sys.path[:] = [entry for entry in sys.path if _root(entry) != finder.root]
        for name, module in list(sys.modules.items()):
            loader = getattr(module, "__loader__", None)
            if isinstance(loader, _Loader) and loader.root == finder.root:
                del sys.modules[name]


class _Finder(MetaPathFinder):
    """Finds modules as Python does, and puts another loader to those of the pool."""

    def __init__(self, root: str) -> None:
        self.root = root

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> machinery.ModuleSpec | None:
        """Find a module of the pool; None leaves it to the finders behind this one."""
        if path is None and fullname in sys.stdlib_module_names:
            return None
        spec = machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or type(spec.loader) is not machinery.SourceFileLoader or spec.origin is None:
            return None
        file = os.path.realpath(spec.origin)
        if not file.startswith(self.root) or _NOT_THE_POOLS.search(file, len(self.root) - 1):
            return None
        spec.loader = _Loader(fullname, spec.origin)
        spec.loader.root = self.root
        return spec


def _root(directory: str) -> str:
    return os.path.join(os.path.realpath(directory), "")  # noqa: PTH118 - compared with what importlib gives


class _Loader(machinery.SourceFileLoader):
    """Compiles the source of a module with its assertions rewritten."""

    root = ""

    def get_code(self, fullname: str) -> types.CodeType | None:
        """Compile always: bytecode that others cached has plain assertions, and ours is not for others."""
        path = self.get_filename(fullname)
        data = self.get_data(path)
        if b"assert" not in data:
            return super().get_code(fullname)
        return self._rewritten(data, path) or self.source_to_code(data, path)

    def _rewritten(self, data: bytes, path: str) -> types.CodeType | None:
        """Rewrite a module, or give None where anything goes wrong: then it is taken as it is."""
        try:
            from importlib.util import decode_source

            from rfx._rewrite import rewrite

            code: types.CodeType = compile(rewrite(decode_source(data), path), path, "exec", dont_inherit=True)
        except Exception:  # Python itself will say it, if it is the author's fault
            return None
        return code
