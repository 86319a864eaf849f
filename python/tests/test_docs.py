"""The Python of docs/functions.md: it makes a pool that is whole, and tests that pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import SOURCE

PAGE = Path(__file__).parents[2] / "docs" / "functions.md"
SNIPPET = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ALL = re.compile(r"^```python\n", re.MULTILINE)


def test_what_the_page_shows_works(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    snippets = SNIPPET.findall(text)
    assert len(snippets) == len(ALL.findall(text)), "the first line of a snippet is a comment with its file"
    for name, source in snippets:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
    (tmp_path / "pool" / "pool.toml").write_text('name = "docs"\n', encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "rfx.pytest_plugin", "-p", "no:cacheprovider", "tests"]
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
