"""The import hook that rewrites the assertions of a pool's own modules, and of no others."""

from __future__ import annotations

import importlib.machinery as machinery
import os
import sys
import types
from collections.abc import Sequence
from importlib.abc import MetaPathFinder


def install(directory: str) -> None:
    """Rewrite assertions in what is imported from a folder from now on."""
    root = os.path.join(os.path.realpath(directory), "")  # noqa: PTH118 - compared with what importlib gives
    if not any(isinstance(finder, _Finder) and finder.root == root for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(root))


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
        if not os.path.realpath(spec.origin).startswith(self.root) or "site-packages" in spec.origin:
            return None
        spec.loader = _Loader(fullname, spec.origin)
        return spec


class _Loader(machinery.SourceFileLoader):
    """Compiles the source of a module with its assertions rewritten."""

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
