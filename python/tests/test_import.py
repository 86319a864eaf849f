"""What importing the SDK costs: every function pays for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from conftest import SOURCE

SLOW = {
    "argparse", "ast", "asyncio", "concurrent.futures", "ctypes", "dataclasses", "datetime.zoneinfo", "decimal",
    "difflib", "email", "hashlib", "http", "inspect", "linecache", "logging", "mimetypes", "multiprocessing", "pathlib",
    "random", "shutil", "socket", "subprocess", "tempfile", "tokenize", "traceback", "urllib", "uuid",
}  # fmt: skip


def test_importing_it_imports_nothing_slow() -> None:
    code = (
        "import sys; before = set(sys.modules); import rfx; import json; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    # Without `site`, which imports what is installed on the machine.
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, env=env, check=True)
    assert SLOW & set(json.loads(done.stdout)) == set()
