"""The golden messages of the wire, read by another language than the one that wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest

GOLDEN = Path(__file__).parents[2] / "schemas" / "golden"


def files(folder: Path) -> list[Path]:
    """Find the golden messages; none at all is a mistake in the path or the checkout."""
    found = sorted(folder.glob("*.msgpack"))
    if not found:
        pytest.fail(f"there is no *.msgpack in {folder}")
    return found


def texts(value: Any) -> Any:  # noqa: ANN401 - any message
    """Turn the raw bytes in a message, which hold JSON, into text."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [texts(item) for item in value]
    if isinstance(value, dict):
        return {key: texts(item) for key, item in value.items()}
    return value


def differing(folder: Path) -> list[str]:
    """Name the messages that do not say what the JSON beside them says."""
    return [
        path.name
        for path in files(folder)
        if texts(msgpack.unpackb(path.read_bytes(), strict_map_key=False))
        != json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    ]


def test_every_golden_message_says_what_its_json_says() -> None:
    assert differing(GOLDEN) == []


def test_the_comparison_compares(tmp_path: Path) -> None:
    for name, body in (("same", b"{}"), ("other", b"[]")):
        (tmp_path / f"{name}.msgpack").write_bytes(msgpack.packb({"id": 1, "body": [body]}))
        (tmp_path / f"{name}.json").write_text('{"id": 1, "body": ["{}"]}', encoding="utf-8")
    assert differing(tmp_path) == ["other.msgpack"]


def test_no_golden_message_at_all_fails(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="there is no"):
        files(tmp_path)
