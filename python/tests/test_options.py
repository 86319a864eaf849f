"""What the decorator takes and refuses, and what the worker is told of it."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from conftest import MakePool

import rfx
from rfx._function import registered
from rfx.runner import hello
from rfx.testing import Pool


def decorated(**options: Any) -> Any:  # noqa: ANN401
    @rfx.function(**options)
    def sample(name: str = "x") -> str:
        """Say a name."""
        return name

    return registered[__name__][-1]


def test_what_is_kept() -> None:
    made = decorated(
        name="a.b", version="1.2", tags="one", owner="team", timeout=3, retry=3, isolation="fresh",
        queue="slow", secrets=["API_TOKEN"], state="tenants", examples=[{"name": "a"}],
    )  # fmt: skip
    assert (made.name, made.version, made.tags, made.owner, made.timeout) == ("a.b", "1.2", ("one",), "team", 3)
    assert made.retry == rfx.Retry(3, 1.0, 600.0, ("failed", "error"))
    assert (made.isolation, made.queue, made.secrets, made.state) == ("fresh", "slow", ("API_TOKEN",), ("tenants",))
    assert (made.examples, made.doc) == (({"name": "a"},), "Say a name.")
    assert decorated(retry=rfx.Retry(2, backoff=0, on="error")).retry.on == ("error",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "a-b"}, "'a-b' is not a name: use identifiers joined by dots"),
        ({"name": ""}, "'' is not a name"),
        ({"version": 1}, '1 is not a version: use whole numbers joined by dots, as text, such as "1"'),
        ({"tags": [1]}, "tags: 1 is not a text, or empty"),
        ({"owner": ""}, "the owner is ''; write a text"),
        ({"timeout": 0}, "the timeout is 0; give seconds above 0"),
        ({"timeout": "30s"}, "the timeout is '30s'; give seconds above 0"),
        ({"timeout": True}, "the timeout is True"),
        ({"timeout": float("inf")}, "the timeout is inf"),
        ({"retry": 0}, "retry is 0; give the most attempts, 1 to 1000, or rfx.Retry"),
        ({"retry": "3"}, "retry is '3'"),
        ({"retry": rfx.Retry(2, backoff=-1)}, "the backoff of retry is -1; give seconds, 0 or more"),
        ({"retry": rfx.Retry(2, on=("lost",))}, "retry on ['lost']: use failed or error, or both"),
        ({"retry": rfx.Retry(2, on=())}, "retry on []: use failed or error, or both"),
        ({"isolation": "cold"}, "the isolation is 'cold'; use warm, fresh or shared"),
        ({"queue": "Slow"}, "'Slow' is not a queue: use lower-case letters"),
        ({"secrets": ["api-token"]}, "'api-token' is not a name of a secret: use letters, digits and underscores"),
        ({"examples": [1]}, "example 1 is 1; give a dict of parameters"),
        ({"examples": {"a": {1, 2j}}}, "example 1: input.a: JSON has no complex"),
    ],
)
def test_what_is_refused_where_it_is_written(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - looked at below
        decorated(**options)
    assert str(refusal.value).startswith(message)


def test_a_generator_is_refused() -> None:
    with pytest.raises(TypeError, match="a generator cannot be a function of rfx; return a list"):

        @rfx.function
        def sample():  # type: ignore[no-untyped-def]  # noqa: ANN202
            yield 1


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="is not a function; decorate a `def`"):
        rfx.function(functools.partial(print))


def test_an_option_that_is_not_known() -> None:
    with pytest.raises(TypeError, match="retries"):
        decorated(retries=3)


def test_the_worker_is_told(make_pool: MakePool) -> None:
    source = """
    import rfx
    @rfx.function(retry=rfx.Retry(3, 0.5, on="error"), isolation="shared", secrets="KEY", examples={"a": 1})
    async def f(a: int): ...
    @rfx.function
    def g(): ...
    """
    f, g = hello(Pool(make_pool(m=source))._loaded, None)["functions"]
    assert {key: f[key] for key in ("isolation", "retry", "secrets", "examples", "async")} == {
        "isolation": "shared",
        "retry": {"max_attempts": 3, "backoff": 0.5, "max_backoff": 600.0, "on": ["error"]},
        "secrets": ["KEY"],
        "examples": [{"a": 1}],
        "async": True,
    }
    assert (g["isolation"], g["retry"], g["secrets"], g["examples"], g["async"]) == (None, None, [], [], False)


def test_an_example_that_does_not_fit_costs_its_function(make_pool: MakePool) -> None:
    source = "import rfx\n@rfx.function(examples=[{'a': 1}, {'a': 'x'}])\ndef f(a: int): ...\n"
    [broken] = Pool(make_pool(m=source)).broken
    assert broken.error == 'm.f: InputError: example 2 does not fit: a: expected int, got str "x"'
