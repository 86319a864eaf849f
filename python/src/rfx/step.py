"""A recorded attempt once more, in a terminal: `python -m rfx.step --pool DIR --version V --result FILE SPEC`.

`rfx-worker execute` starts it. stdin, stdout and stderr are the user's. Nothing is recorded: state is a copy of what
the attempt saw, artifacts go to a folder, calls run functions of the same pool in this process, and what is to be
undone is only noted. How the function ended is written to FILE as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from rfx import _debug
from rfx._attempt import attempt
from rfx._context import Context
from rfx._errors import PoolError
from rfx._fixtures import Process
from rfx._function import Function
from rfx._link import AskError
from rfx._outcome import Outcome
from rfx._pool import Pool, load

_USAGE: Final = 2
_LONGEST_SHOWN: Final = 200


class Local:
    """The link of a function that nobody watches: it answers from this process and this machine."""

    def __init__(self, pool: Pool, spec: Mapping[str, Any]) -> None:
        self._pool = pool
        self._spec = spec
        self._artifacts = Path(spec["artifacts"])
        self._state = {(seen["scope"], seen["key"]): (seen["revision"], seen.get("value")) for seen in spec["state"]}
        self._answers = {
            "state.get": self._get,
            "state.put": self._put,
            "state.cas": self._cas,
            "state.delete": self._delete,
            "artifact": self._artifact,
            "call": self._call,
            "undo": self._undo,
        }

    def ask(self, what: str, fields: Mapping[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Answer."""
        answer = self._answers.get(what)
        if answer is None:
            raise AskError("Unsupported", f"{what}: stepping inside does not answer it")
        return answer(fields, body)

    def tell(self, what: str, fields: Mapping[str, Any]) -> None:
        """Show progress; nobody here waits for the rest."""
        if what == "progress":
            say(f"progress: {fields['message']}")

    def _key(self, fields: Mapping[str, Any]) -> tuple[str, str]:
        return fields["scope"], fields["key"]

    def _get(self, fields: Mapping[str, Any], _body: bytes) -> tuple[dict[str, Any], bytes]:
        key = self._key(fields)
        if key not in self._state:
            say(f"state {key[1]!r} of the {key[0]}: the attempt did not read it, so it is taken as not there")
            self._state[key] = (0, None)
        revision, value = self._state[key]
        return {"revision": revision}, json.dumps(value).encode() if revision else b""

    def _put(self, fields: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        key = self._key(fields)
        revision = self._state.get(key, (0, None))[0] + 1
        self._state[key] = (revision, json.loads(body))
        return {"revision": revision}, b""

    def _cas(self, fields: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        if self._state.get(self._key(fields), (0, None))[0] != fields["revision"]:
            return {"revision": None}, b""
        return self._put(fields, body)

    def _delete(self, fields: Mapping[str, Any], _body: bytes) -> tuple[dict[str, Any], bytes]:
        self._state[self._key(fields)] = (0, None)
        return {}, b""

    def _artifact(self, fields: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        self._artifacts.mkdir(parents=True, exist_ok=True)
        path = self._artifacts / fields["name"]
        path.write_bytes(body)
        say(f"artifact: {path}")
        return {}, b""

    def _call(self, fields: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        name, version = fields["function"], fields.get("version")
        wanted = f"{name}@{version}" if version else name
        found = self._pool.find(name, version)
        if found is None:
            text = f"the pool here has no {wanted}, and stepping inside calls functions of this pool only"
            raise AskError("unserved", text)
        say(f"call {fields['n']}: {wanted} {shown(body)}, in this process")
        # A process of its own for its event loop: the caller's may be running.
        ended = attempt(found, body, self.context(found.name, list(found.secrets)), Process())
        say(f"call {fields['n']}: {wanted} {ended.kind}")
        error = None if ended.error is None else ended.error._asdict()
        return {"verdict": ended.kind, "error": error}, ended.body

    def _undo(self, fields: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        say(f"undo {fields['n']}: {fields['function']} {shown(body)} is noted, and not called here")
        return {}, b""

    def context(self, function: str, secrets: list[str]) -> Context:
        """Make the context of an attempt."""
        spec = self._spec
        # Who looks around in a debugger is not hurried.
        timeout = None if spec.get("debug") else spec["timeout"] / 1e6
        return Context(
            function=function,
            run=spec["run"],
            flow=spec["flow"],
            step=spec["step"],
            job=spec["job"],
            attempt=spec["attempt"],
            deadline=None if timeout is None else time.time() + timeout,
            target=spec["target"],
            secrets=_secrets([*spec["secrets"], *secrets]),
            key=spec.get("key"),
            group=spec["group"],
            queue=spec["queue"],
            link=self,
        )


def main() -> NoReturn:
    """Execute the attempt, and write how it ended."""
    parser = argparse.ArgumentParser(prog="rfx.step")
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("spec", type=Path)
    given = parser.parse_args()
    spec = json.loads(given.spec.read_text(encoding="utf-8"))
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = str(given.pool.resolve())  # where `-m` put the current folder
    try:
        pool = load(given.pool)
    except (PoolError, OSError) as problem:
        leave(str(problem))
    function = pool.find(spec["function"], given.version)
    if function is None:
        leave(f"{given.pool} has no {spec['function']}@{given.version} any more")
    outcome = _execute(function, Local(pool, spec), spec)
    given.result.write_text(json.dumps(outcome), encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(0)  # not sys.exit: threads that the function left behind must not hold the terminal


def _execute(function: Function, link: Local, spec: Mapping[str, Any]) -> dict[str, Any]:
    try:
        _debug.attach(function, spec.get("debug"))
    except _debug.UnavailableError as problem:
        leave(str(problem))
    ended = attempt(function, json.dumps(spec["input"]).encode(), link.context(function.name, []))
    if ended.error is not None and ended.error.type == _debug.LEFT:
        say("left the debugger before the function had ended")
        return {"kind": None, "error": None, "assertions": [], "output": None}
    return _written(ended)


def _written(ended: Outcome) -> dict[str, Any]:
    return {
        "kind": ended.kind,
        "error": None if ended.error is None else ended.error._asdict(),
        "assertions": [assertion._asdict() for assertion in ended.assertions],
        "output": ended.output,
    }


def _secrets(names: list[str]) -> dict[str, str]:
    """Find the secrets where a worker finds them. That they are there was checked before."""
    values = {name: os.environ.get(f"RFX_SECRET_{name.upper()}") for name in names}
    return {name: value for name, value in values.items() if value}


def shown(body: bytes) -> str:
    """Show an input in a line."""
    text = body.decode("utf-8", "replace")
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def say(text: str) -> None:
    """Tell the user."""
    print(f"rfx: {text}", file=sys.stderr, flush=True)


def leave(text: str) -> NoReturn:
    """End without an outcome: what was asked for cannot be done."""
    say(text)
    sys.exit(_USAGE)


if __name__ == "__main__":
    main()
