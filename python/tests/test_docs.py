"""The Python of the pages: it makes a pool that is whole, and tests that pass, with every Python.

What else docs/tutorial.md shows is done by tests/it/tutorial.rs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SOURCE

DOCS = Path(__file__).parents[2] / "docs"
SNIPPET = re.compile(r"^```python\n# (\S+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ALL = re.compile(r"^```py", re.MULTILINE)


@pytest.mark.parametrize("page", ["functions.md", "tutorial.md"])
def test_what_the_page_shows_works(page: str, tmp_path: Path) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    snippets = SNIPPET.findall(text)
    assert len(snippets) == len(ALL.findall(text)), "the first line of a snippet is a comment with its file"
    for name, source in snippets:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    (tmp_path / "pool" / "pool.toml").write_text('name = "docs"\n', encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "rfx.pytest_plugin", "-p", "no:cacheprovider"]
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
