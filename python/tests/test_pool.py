"""Loading pools: which modules are found, what is broken, and that it harms nothing else."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from conftest import MakePool

import rfx
from rfx import PoolError
from rfx._manifest import read_simple
from rfx.testing import Pool

GOOD = "import rfx\n@rfx.function\ndef go() -> int:\n    return 1\n"


def test_modules_are_found_by_their_place(make_pool: MakePool) -> None:
    found = dict.fromkeys(("aa", "sub/bb", "pkg/__init__", "_hidden", "test_x", "tests/y", "conftest"), GOOD)
    pool = Pool(make_pool(**found))
    assert pool.broken == []
    assert pool.functions == ["aa.go", "pkg.go", "sub.bb.go"]


def test_listed_modules_are_the_only_ones(make_pool: MakePool) -> None:
    pool = Pool(make_pool('name = "n"\nmodules = ["sub.bb", "gone"]', **{"aa": GOOD, "sub/bb": GOOD}))
    assert pool.functions == ["sub.bb.go"]
    [broken] = pool.broken
    text = "pool.toml lists the module gone, but there is no gone.py, nor a folder with an __init__.py"
    assert (broken.file, broken.error) == ("pool.toml", text)


def test_what_is_broken_harms_nothing_else(make_pool: MakePool) -> None:
    pool = Pool(
        make_pool(
            fine=GOOD,
            half=f"{GOOD}raise SystemExit(4)",
            syntax="x = (\n",
            json="",
            badname="import rfx\n@rfx.function(name='a-b')\ndef f(): ...",
            hints="import rfx\n@rfx.function\ndef bad(a: bytes): ...\n@rfx.function\ndef good(): ...",
        )
    )
    assert pool.functions == ["fine.go", "hints.good"]
    broken = {one.module: (one.line, one.error) for one in pool.broken}
    assert broken["half"] == (5, "SystemExit: 4")
    assert broken["syntax"][1].startswith("SyntaxError")
    assert broken["json"][1] == "ImportError: `json` is a module of Python itself; rename json.py"
    assert "'a-b' is not a name: use identifiers" in broken["badname"][1]
    assert broken["hints"][0] == 2
    assert "hints.bad: UnsupportedTypeError: parameter `a`: rfx does not bind the type bytes" in broken["hints"][1]


def test_a_function_that_is_refused_costs_only_itself(make_pool: MakePool) -> None:
    source = f"{GOOD}@rfx.function\ndef many():\n    yield 1\n@rfx.function(retry=0)\ndef never(): ...\n"
    for _ in range(2):  # the second time the module is imported already
        pool = Pool(make_pool(m=source))
        assert pool.functions == ["m.go"]
        many, never = pool.broken
        assert (many.line, many.error) == (
            *(5,),
            "m.many: TypeError: m.many: a generator cannot be a function of rfx; return a list",
        )
        assert (never.line, never.error.partition("; ")[0]) == (8, "m.never: ValueError: retry is 0")


def test_a_plain_script_is_a_function_of_its_name(make_pool: MakePool) -> None:
    script = '"""A script."""\ndef main(count: int = 1) -> int:\n    """Count."""\n    return count + 1\n'
    imported = "from sub.script import main\n"
    pool = Pool(make_pool(**{"sub/script": script, "both": GOOD + "def main(): ...\n", "other": imported}))
    assert pool.broken == []
    assert pool.functions == ["both.go", "sub.script"]
    assert pool.call("sub.script", count=3).output == 4


def test_what_is_the_workers_is_let_through(make_pool: MakePool) -> None:
    manifest = """
    name = "my-pool_2"
    python = "3.12"
    requirements = ["httpx>=0.27"]
    env = "current"
    isolation = "warm"
    [runner]
    max_jobs = 1000
    [[function]]
    name = "disks.check"
    exec = ["./check.sh"]
    """
    assert Pool(make_pool(textwrap.dedent(manifest), m=GOOD)).functions == ["m.go"]


def test_two_functions_of_one_name_are_both_given_up(make_pool: MakePool) -> None:
    named = GOOD.replace("function", "function(name='same')")
    pool = Pool(make_pool(aa=named, bb=named, cc=named.replace("same'", "same', version='2'")))
    [broken] = pool.broken
    assert broken.error == "DuplicateFunction: same version 1 is defined twice, in aa.py:2 and bb.py:2"
    assert pool.functions == ["same"]


def test_without_a_version_the_newest_is_called(make_pool: MakePool) -> None:
    source = "import rfx\n" + "".join(
        f"@rfx.function(name='f', version='{version}')\ndef f{number}(): return '{version}'\n"
        for number, version in enumerate(("1.9", "1.10", "1.2"))
    )
    assert Pool(make_pool(m=source)).call("f").output == "1.10"


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, 'name = "my-pool"'),
        ('description = "x"', "the name is missing"),
        (
            'name = "n"\nmodule = ["a"]',
            "`module` is not known; use name, description, version, owner, modules,",
        ),
        ('name = "A b"', '"A b" is not the name of a pool; use lower-case letters, digits, inner hyphens'),
        ("name = 1", 'name is 1; write a text, such as name = "…"'),
        ('name = "n"\nmodules = "a"', 'modules is \'a\'; write a list such as ["tenants", "apps.push"]'),
    ],
)
def test_a_bad_manifest_says_what_to_write(make_pool: MakePool, manifest: str | None, message: str) -> None:
    with pytest.raises(PoolError) as refusal:
        Pool(make_pool(manifest))
    assert message in str(refusal.value)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="is not a folder"):
        Pool(tmp_path / "gone")


def test_the_small_reader_reads_what_a_manifest_needs() -> None:
    text = '# a pool\nname = "a = b"  # named\n\nmodules = [\n  "a",\n  "b", # last\n]\nowner = \'team\'\n'
    assert read_simple(text) == {"name": "a = b", "modules": ["a", "b"], "owner": "team"}
    worker = 'python = "3.12"\nrunner.max_jobs = 2\nisolation = fresh\nname = "a"\n[runner]\nmemory = "1GiB"\n'
    assert read_simple(worker)["name"] == "a"
    for bad in ("name", "name = yes", "modules = ["):
        with pytest.raises(ValueError, match=r"line 1 is not|not closed"):
            read_simple(bad)


def test_calling_what_is_not_there(make_pool: MakePool) -> None:
    with pytest.raises(LookupError, match=r"the pool has no aa\.stop; it has: aa\.go"):
        Pool(make_pool(aa=GOOD)).call("aa.stop")


def test_an_option_with_a_typo_is_named_with_what_was_meant() -> None:
    with pytest.raises(TypeError, match="no option timout: unexpected, did you mean `timeout`"):
        rfx.function(timout=3)(lambda: None)  # type: ignore[call-overload]
