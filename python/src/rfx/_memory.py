"""The worker of a test: state, artifacts, calls and undos in memory."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, Final, NamedTuple

from rfx._link import AskError
from rfx._output import Json, encode
from rfx._state import is_claim

_KEY: Final = re.compile(r"[A-Za-z0-9_=/-]+(\.[A-Za-z0-9_=/-]+)*")
_LONGEST_KEY: Final = 200
_STATE_VALUE: Final = 512 * 1024
_ARTIFACTS: Final = 100
_ARTIFACT_BYTES: Final = 256 << 20
"""What a worker allows."""


class Artifact(NamedTuple):
    """A file that an attempt left."""

    name: str
    media_type: str
    content: bytes

    @property
    def text(self) -> str:
        """Its content as text."""
        return self.content.decode()


class Call(NamedTuple):
    """A call or an undo that a function asked for."""

    function: str
    input: dict[str, Json]
    version: str | None = None
    group: str | None = None
    queue: str | None = None
    timeout: float | None = None


class Answer(NamedTuple):
    """How a called function ended."""

    verdict: str
    error: Mapping[str, Any] | None
    body: bytes


class Store(MutableMapping[str, Json]):
    """Shared state, as a dict of JSON values. Set it up before a call, look at it after."""

    def __init__(self, values: Mapping[str, object] | None = None) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, tuple[int, bytes]] = {}
        self._last = 0
        self.update(values or {})

    def __getitem__(self, key: str) -> Json:
        value = json.loads(self._entries[key][1])
        if is_claim(value):
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: object) -> None:
        self.write(key, encode(value, (None, key)))

    def __delitem__(self, key: str) -> None:
        with self._lock:
            del self._entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter([key for key, (_, body) in self._entries.items() if not is_claim(json.loads(body))])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Store({dict(self)!r})"

    def read(self, key: str) -> tuple[int, bytes]:
        """Give the revision and the value as JSON; 0 and nothing where there is none."""
        return self._entries.get(key, (0, b""))

    def write(self, key: str, body: bytes, revision: int | None = None) -> int | None:
        """Write a value, with a revision only if the key still has that one; gives the new one."""
        with self._lock:
            if revision is not None and self.read(key)[0] != revision:
                return None
            self._last += 1
            self._entries[key] = (self._last, body)
            return self._last

    def drop(self, key: str) -> None:
        """Take a key away, if it is there."""
        with self._lock:
            self._entries.pop(key, None)


class Told(NamedTuple):
    """What an attempt told and left."""

    artifacts: dict[str, Artifact]
    calls: list[Call]
    undos: list[Call]
    progress: list[str]
    spans: list[dict[str, Any]]


class MemoryLink:
    """The link of one attempt in a test."""

    def __init__(
        self,
        scopes: Mapping[str, Store],
        answer: Callable[[Call], Answer],
        undos: list[Call],
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self.told = Told({}, [], [], [], [])
        self._scopes = scopes
        self._answer = answer
        self._undos = undos
        self._secrets = secrets or {}

    def ask(self, what: str, fields: Mapping[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Answer as a worker does."""
        if what.startswith("state."):
            return self._state(what.removeprefix("state."), fields, body)
        if what == "artifact":
            name = fields["name"]
            self._check_room(name, len(body))
            self.told.artifacts[name] = Artifact(name, fields["media_type"], body)
            return {}, b""
        place = {key: fields[key] for key in Call._fields if key in fields}
        call = Call(input=json.loads(body), **place)
        if secret := self._found_in(body):
            text = f"the input of {call.function} holds the secret {secret}, and secrets are not stored"
            raise AskError("secret", f"{text}: let {call.function} name it")
        if what == "undo":
            self.told.undos.append(call)
            self._undos.append(call)
            return {}, b""
        if what == "call":
            self.told.calls.append(call)
            verdict, error, output = self._answer(call)
            return {"verdict": verdict, "error": error}, output
        raise AskError("Unsupported", f"{what} is not known to rfx.testing")

    def tell(self, what: str, fields: Mapping[str, Any]) -> None:
        """Keep what a worker is told."""
        if what == "progress":
            self.told.progress.append(fields["message"])
        elif what == "span":
            self.told.spans.append(dict(fields))

    def _state(self, what: str, fields: Mapping[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        store, key = self._scopes[fields["scope"]], fields["key"]
        if len(key) > _LONGEST_KEY or not _KEY.fullmatch(key):
            text = (
                "is no key of the shared state: use letters, digits and _ - = / with inner dots, at most 200 characters"
            )
            raise AskError("StateError", f"{json.dumps(key, ensure_ascii=False)} {text}")
        if what == "get":
            revision, value = store.read(key)
            return {"revision": revision}, value
        if what == "delete":
            store.drop(key)
            return {}, b""
        if len(body) > _STATE_VALUE:
            text = f"the value of {key} has {len(body)} bytes, at most {_STATE_VALUE} are kept"
            raise AskError("StateError", f"{text}: leave it as an artifact or return it")
        if secret := self._found_in(body):
            text = f"the value of {key} holds the secret {secret}, and secrets are not stored"
            raise AskError("StateError", text)
        return {"revision": store.write(key, body, fields.get("revision"))}, b""

    def _found_in(self, body: bytes) -> str | None:
        """Find the name of a secret whose value stands in JSON."""
        text = body.decode()
        found = (n for n, v in sorted(self._secrets.items()) if v in text or json.dumps(v)[1:-1] in text)
        return next(found, None)

    def _check_room(self, name: str, size: int) -> None:
        others = [artifact for artifact in self.told.artifacts.values() if artifact.name != name]
        if len(others) >= _ARTIFACTS or sum(len(one.content) for one in others) + size > _ARTIFACT_BYTES:
            most = f"{_ARTIFACTS} artifacts, {_ARTIFACT_BYTES >> 20} MiB in all"
            raise AskError("ArtifactError", f"{name} is beyond what an attempt may leave: {most}")
