"""A plugin for pytest: `def test_it(rfx_pool): assert rfx_pool.call("devices.show", host="web-1").passed`.

Installed with rfx; without an installation, `pytest -p rfx.pytest_plugin`.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from rfx._manifest import FILE

if TYPE_CHECKING:  # tests that use no pool do not pay for it
    from rfx.testing import Outcome, Pool

_INI: Final = "rfx_pool"
_SEEN: Final[pytest.StashKey[list[Outcome]]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a project name its pool."""
    parser.addini(_INI, "the folder of the pool that rfx_pool loads, relative to this file", type="string", default="")


@pytest.fixture
def rfx_target() -> dict[str, str]:
    """The addresses that functions find in `ctx.target`; define it anew to give some."""
    return {}


@pytest.fixture
def rfx_secrets() -> dict[str, str]:
    """The secrets that functions get; define it anew to give some."""
    return {}


@pytest.fixture
def rfx_pool_directory(request: pytest.FixtureRequest) -> Path:
    """The folder of the pool: the one in the ini file, else the nearest one above the test, or beside what is there."""
    named = str(request.config.getini(_INI))
    if named:
        return (request.config.inipath or request.config.rootpath / "ini").parent / named
    found = find_pool(request.path.parent)
    if found is None:
        pytest.fail(
            f"there is no {FILE} above {request.path}, nor in a folder `pool` beside it; "
            f"write one, or name the folder in the ini file of pytest: {_INI} = path/to/pool",
            pytrace=False,
        )
    return found


@pytest.fixture
def rfx_pool(rfx_pool_directory: Path, rfx_target: dict[str, str], rfx_secrets: dict[str, str]) -> Iterator[Pool]:
    """The pool, with state, stubs and processes of this test alone."""
    from rfx.testing import Pool

    with Pool(rfx_pool_directory, target=rfx_target, secrets=rfx_secrets) as pool:
        yield pool


def find_pool(folder: Path) -> Path | None:
    """Find the nearest folder with a `pool.toml`: a folder above, or the folder `pool` in one."""
    for place in (folder, *folder.parents):
        for found in (place, place / "pool"):
            if (found / FILE).is_file():
                return found
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Remember the outcomes of a test."""
    testing = sys.modules.get("rfx.testing")
    if testing is None:
        return (yield)
    seen = item.stash.setdefault(_SEEN, [])
    testing.watchers.append(seen.append)
    try:
        return (yield)
    finally:
        testing.watchers.remove(seen.append)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the outcomes that did not pass with a test that failed."""
    report = yield
    if report.when == "call" and report.failed:
        for outcome in item.stash.get(_SEEN, []):
            if not outcome.passed and str(outcome) not in report.longreprtext:
                report.sections.append(("rfx outcome", str(outcome)))
    return report
