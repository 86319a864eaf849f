"""Artifacts: files that an attempt leaves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rfx._errors import MAX_BODY
from rfx._link import Link
from rfx._output import encode

_LONGEST_NAME = 200


def keep(link: Link, name: str, content: object, path: str | os.PathLike[str] | None, media_type: str | None) -> None:
    """Give the worker an artifact, from memory or from a file."""
    _check_name(name)
    if (content is None) == (path is None):
        raise ValueError(f"artifact {name}: give either its content or the path of a file")
    body, guessed = _of_content(content) if path is None else (Path(path).read_bytes(), None)
    if len(body) > MAX_BODY:
        raise ValueError(f"artifact {name}: it has {len(body):,} bytes; at most {MAX_BODY:,} are kept")
    link.ask("artifact", {"name": name, "media_type": media_type or _by_name(name) or guessed or _BYTES}, body)


_BYTES = "application/octet-stream"
_KNOWN: Mapping[str, str] = {
    ".txt": "text/plain; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".html": "text/html; charset=utf-8",
}


def _of_content(content: object) -> tuple[bytes, str]:
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content), _BYTES
    if isinstance(content, str):
        return content.encode("utf-8", "backslashreplace"), "text/plain; charset=utf-8"
    return encode(content, (None, "artifact")), "application/json"


def _by_name(name: str) -> str | None:
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a name, not a path
    if suffix in _KNOWN:
        return _KNOWN[suffix]
    import mimetypes  # it reads the system's tables

    return mimetypes.guess_type(name)[0]


def _check_name(name: str) -> None:
    long = len(name.encode("utf-8", "surrogatepass")) > _LONGEST_NAME
    if not name or long or name[0] == "." or any(one in name for one in "/\\\0"):
        raise ValueError(f"{name!r} is no name of an artifact: use a file's name, such as screenshot.png")
