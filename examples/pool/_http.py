"""JSON over HTTP for the functions of this pool. A module with an underscore in front exports no functions."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

import rfx

TIMEOUT = 10.0
"""Seconds that one request may take, less when the deadline of the attempt is nearer."""


def call(service: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Call a service of the run's target.

    A 4xx answer is the service saying no, which fails the test. A 5xx answer, or none, raises: then nothing is
    known about what was tested.
    """
    ctx = rfx.context()
    url = ctx.target[service] + path
    headers = {"content-type": "application/json", **ctx.headers()}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=_timeout(ctx)) as response:
            answer: dict[str, Any] = json.load(response)
    except urllib.error.HTTPError as refusal:
        message = f"{method} {url} answered {refusal.code}: {_reason(refusal)}"
        if refusal.code < 500:
            rfx.fail(message)
        raise RuntimeError(message) from None
    except OSError as problem:
        raise ConnectionError(f"{service} at {url} does not answer: {problem}") from None
    return answer


def host_path(tenant: str, host: str) -> str:
    """Where a host lives, in each of the services."""
    return f"/tenants/{quote(tenant, safe='')}/hosts/{quote(host, safe='')}"


def _timeout(ctx: rfx.Context) -> float:
    remaining = ctx.remaining()
    return TIMEOUT if remaining is None else max(0.1, min(TIMEOUT, remaining))


def _reason(refusal: urllib.error.HTTPError) -> str:
    """Read the message of an error answer, or what there is of one."""
    text = refusal.read().decode(errors="replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:200]
