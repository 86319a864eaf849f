"""What a plain `assert` says when it does not hold, and that rewriting it changes nothing else."""

from __future__ import annotations

import ast
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import MakePool

from rfx._hook import install
from rfx._rewrite import rewrite
from rfx.testing import Pool


def run(source: str, **names: object) -> dict[str, Any]:
    """Execute a rewritten module."""
    text = textwrap.dedent(source)
    names["__name__"] = "sample"
    exec(compile(rewrite(text, "sample.py"), "sample.py", "exec"), names)
    return names


def said(source: str, **names: object) -> str:
    """What the assertion of a module says."""
    with pytest.raises(AssertionError) as refusal:
        run(source, **names)
    return str(refusal.value)


class Host:
    """Something with attributes, methods and a repr."""

    up = False

    def is_up(self, after: int) -> bool:
        return after > 10

    def __repr__(self) -> str:
        return "<host>"


class Unshowable:
    def __repr__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("assert total == 3", "assert total == 3: total is 4"),
        ("assert total == 3, f'sum of {total}'", "sum of 4\nassert total == 3: total is 4"),
        ("assert 3 == total", "assert 3 == total: total is 4"),
        ("assert len(items) > total", "assert len(items) > total: len(items) is 2, items is [1, 2], total is 4"),
        ("assert total + 1 == 3", "assert total + 1 == 3: total + 1 is 5, total is 4"),
        ("assert 5 < total < 9", "assert 5 < total < 9: total is 4"),
        ("assert 9 in items", "assert 9 in items: items is [1, 2]"),
        ("assert 1 not in items", "assert 1 not in items: items is [1, 2]"),
        ("assert items[0] == items[1]", "assert items[0] == items[1]: items[0] is 1, items[1] is 2"),
        ("assert host.up", "assert host.up: host.up is False"),
        (
            "assert host.is_up(total)",
            "assert host.is_up(total): host.is_up(total) is False, host is <host>, total is 4",
        ),
        ("assert not total", "assert not total: total is 4"),
        ("assert total == 4 and items == []", "assert total == 4 and items == []: items is [1, 2]"),
        ("assert total == 5 or not items", "assert total == 5 or not items: total is 4, items is [1, 2]"),
        ("assert total is None", "assert total is None: total is 4"),
        ("assert [total, 1] == [5, 1]", "assert [total, 1] == [5, 1]: [total, 1] is [4, 1]"),
        ("assert all(one > 1 for one in items)", "assert all(one > 1 for one in items): "),
        ("assert (\n    total\n    ==\n    3\n)", "assert total == 3: total is 4"),
        ("assert (found := total) == 3", "assert (found := total) == 3: found is 4"),
        ("assert broken == 3", "assert broken == 3: broken is <Unshowable that cannot be shown>"),
        ('assert name == "ü"', "assert name == \"ü\": name is 'é'"),
    ],
)
def test_what_an_assertion_says(source: str, message: str) -> None:
    names = {"total": 4, "items": [1, 2], "host": Host(), "broken": Unshowable(), "name": "é"}
    assert said(source, **names).startswith(message)


def test_a_long_value_is_shortened() -> None:
    text = said("assert x == 1", x="a" * 1000)
    assert len(text) < 300
    assert "aaa…aaa" in text


def test_each_part_is_evaluated_once_in_order_and_only_if_python_would() -> None:
    calls: list[object] = []

    def see(value: object) -> object:
        calls.append(value)
        return value

    run("assert see(1) and see(2) == see(2) and (see(3) or see(4)) and see(5) < see(6) < see(7)", see=see)
    assert calls == [1, 2, 2, 3, 5, 6, 7]
    calls.clear()
    assert "see(0)" in said("assert see(1) and see(0) and see(2), see('message')", see=see)
    assert calls == [1, 0, "message"]
    calls.clear()
    said("assert 1 < see(0) < see(5)", see=see)
    assert calls == [0]


def test_nothing_is_held_back_and_nothing_else_changes() -> None:
    names = run(
        '''
        """A docstring."""
        from __future__ import annotations
        def f(x: NotThere):
            assert x == 1
            return sorted(name for name in locals() if name[0] != "@"), [v for k, v in locals().items() if k[0] == "@"]
        class C:
            assert str(1) == "1"
            async def g(self, x):
                assert await x() == 2
        def h():
            assert (yield 1) == 2
            return 3
        '''
    )
    assert names["__doc__"] == "A docstring."
    assert names["f"](1) == (["x"], [None])
    made = names["h"]()
    assert next(made) == 1
    with pytest.raises(StopIteration):
        made.send(2)


def test_the_lines_stay_as_they_are(tmp_path: Path) -> None:
    source = "x = 1\n\n\ndef f():\n    y = 2\n    assert (x\n            == y), 'no'\n"
    names: dict[str, Any] = {}
    exec(compile(rewrite(source, "sample.py"), "sample.py", "exec"), names)
    with pytest.raises(AssertionError) as refusal:
        names["f"]()
    assert traceback.extract_tb(refusal.value.__traceback__)[-1].lineno == 6


@pytest.mark.parametrize("source", ["assert False", "assert 0, 'no'", "assert (1, 'always')", "x = 1"])
def test_what_needs_no_words_is_left_alone(source: str) -> None:
    assert ast.dump(rewrite(source, "x.py")) == ast.dump(ast.parse(source))


MODULE = """
import rfx
from _shared import same

@rfx.function
def total(orders: list[int]):
    assert sum(orders) == 3, "wrong sum"

@rfx.function
def text():
    assert "a\\nb\\nc" == "\\n".join("abd")

@rfx.function
def member(names: list[str]):
    assert "root" in names

@rfx.function
def shared():
    same({"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 3]})

@rfx.function
def bare():
    assert False

@rfx.function
def softly(ctx):
    with ctx.soft("the count"):
        assert len([1, 2]) == 3
    with ctx.soft():
        assert 1 == 1
    return "went on"
"""


@pytest.fixture
def pool(make_pool: MakePool) -> Pool:
    made = Pool(make_pool(m=MODULE, _shared="def same(a, b):\n    assert a == b\n"))
    assert made.broken == []
    return made


def test_an_assertion_is_recorded_with_both_sides_and_a_diff(pool: Pool) -> None:
    outcome = pool.call("m.total", orders=[1, 3])
    assert outcome.kind == "failed"
    assert outcome.error is not None
    assert outcome.error.type == "AssertionError"
    assert outcome.error.message == "wrong sum\nassert sum(orders) == 3: sum(orders) is 4, orders is [1, 3]"
    assert outcome.error.diff is not None
    assert outcome.error.diff.endswith("-3\n+4")
    assert outcome.error.traceback is not None
    assert "_explain" not in outcome.error.traceback
    [one] = outcome.assertions
    assert (one.label, one.passed, one.expected, one.seen) == ("m.py:7", False, 3, 4)


def test_texts_are_compared_by_line_and_helpers_of_the_pool_are_rewritten_too(pool: Pool) -> None:
    outcome = pool.call("m.text")
    assert outcome.error is not None
    assert outcome.error.diff is not None
    assert outcome.error.diff.endswith(" a\n b\n-d\n+c")
    error = pool.call("m.shared").error
    assert error is not None
    assert error.diff is not None
    assert "-    3\n+    2" in error.diff


def test_huge_values_fail_in_good_time(make_pool: MakePool) -> None:
    source = """
    import rfx
    @rfx.function
    def lists():
        assert list(range(1_000_000)) == [*range(999_999), 0]
    @rfx.function
    def middle():
        assert [n % 7 for n in range(9000)] == [n % 7 for n in range(5000)] + [n % 5 for n in range(4000)]
    """
    pool = Pool(make_pool(m=source))
    for name in ("m.lists", "m.middle"):
        outcome = pool.call(name)
        assert outcome.kind == "failed"
        [one] = outcome.assertions
        assert len(str(one.seen)) < 70_000
    assert outcome.error is not None
    assert "\n-  0,\n" in (outcome.error.diff or "")


def test_other_comparisons_have_no_diff(pool: Pool) -> None:
    outcome = pool.call("m.member", names=["a"])
    assert outcome.error is not None
    assert outcome.error.diff is None
    assert outcome.assertions[0][2:4] == ("in ['a']", "root")
    bare = pool.call("m.bare")
    assert bare.error is not None
    assert bare.error.message == "assert False"


def test_a_soft_block_goes_on(pool: Pool) -> None:
    outcome = pool.call("m.softly")
    assert (outcome.kind, outcome.output) == ("failed", "went on")
    assert outcome.error is not None
    assert outcome.error.message.startswith("1 of 1 expectations did not hold\nm.py:28: the count: assert len([1, 2])")
    assert outcome.assertions[0][1:4] == (False, 3, 2)


def test_only_modules_of_the_pool_are_rewritten_and_never_from_cached_bytecode(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    for place in (tmp_path / "inside" / "sample_in.py", tmp_path / "sample_out.py"):
        place.write_text("def f(x):\n    assert x == 2\n", encoding="utf-8")
    sys.path[:0] = [str(tmp_path), str(tmp_path / "inside")]
    messages = []
    for name in ("sample_in", "sample_out"):
        __import__(name)
        del sys.modules[name]
    install(str(tmp_path / "inside"))
    for name in ("sample_in", "sample_out"):
        with pytest.raises(AssertionError) as refusal:
            __import__(name).f(1)
        messages.append(str(refusal.value))
    assert messages == ["assert x == 2: x is 1", ""]


def test_a_module_that_cannot_be_rewritten_is_taken_as_it_is(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Callable[..., None]:
        raise RuntimeError

    monkeypatch.setattr("rfx._rewrite.rewrite", fail)
    pool = Pool(make_pool(m="import rfx\n@rfx.function\ndef f(x: int):\n    assert x == 2\n", s="assert x ==\n"))
    [broken] = pool.broken
    assert broken.error.startswith("SyntaxError")
    assert pool.call("m.f", x=2).passed
    error = pool.call("m.f", x=1).error
    assert error is not None
    assert error.message == "assert x == 2"


def test_an_assertion_in_a_class_adds_no_members() -> None:
    names = run("""
        import enum

        class Colour(enum.Enum):
            RED = 1
            if RED:
                assert RED == 1
            assert [RED] and RED < 2

            def is_red(self):
                assert self.value == 1
                return True

        class Plain:
            size = 3
            assert size == 3

        made = Colour.RED.is_red(), len(Colour), vars(Plain).keys()
    """)
    red, count, members = names["made"]
    assert (red, count) == (True, 1)
    assert not [name for name in members if name.startswith("@")]
    assert said("def f(a):\n    class C:\n        def g(self): assert a == 2\n    C().g()\nf(3)").endswith("a is 3")


def test_assertions_of_a_module_leave_no_names_behind() -> None:
    names = run("""
        total = 4
        for n in range(2):
            assert total + n > 3 and total
        try:
            assert total == 3
        except AssertionError as problem:
            text = str(problem)
    """)
    assert names["text"] == "assert total == 3: total is 4"
    assert [name for name in names if name.startswith("@")] == ["@rfx"]
