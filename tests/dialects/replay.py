"""
Recordings: what clients of another system send, and what they are to get.

A recording is a list of steps; each sends one request and says what must be in the answer.
`{{name}}` stands for what an earlier step has kept. In an expected body a text that begins with `~`
is a pattern, `"..."` is anything, and an object may have more fields than are named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from tests.support.service import Answer, Caller

RECORDINGS: Final = Path(__file__).parent / "recordings"
_NAME = re.compile(r"\{\{(\w+)\}\}")


class Send(Struct, forbid_unknown_fields=True):
    """One request; `json` is written for it, `body` is sent as it stands."""

    path: str
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None
    body: str | None = None
    key: str | None = "{{key}}"


class Get(Struct, forbid_unknown_fields=True):
    """What must come back."""

    status: int
    body: Any = "..."
    lacks: list[str] = field(default_factory=list)


class Step(Struct, forbid_unknown_fields=True):
    """One request and its answer."""

    say: str
    send: Send
    get: Get
    keep: dict[str, str] = field(default_factory=dict)


class Recording(Struct, forbid_unknown_fields=True):
    """One session of a client."""

    about: str
    steps: list[Step]
    settings: dict[str, Any] = field(default_factory=dict)


def recordings(dialect: str) -> list[str]:
    """Name all recordings of a dialect."""
    return sorted(file.stem for file in (RECORDINGS / dialect).glob("*.json"))


def read(dialect: str, name: str) -> Recording:
    """Read one recording."""
    return msgspec.json.decode((RECORDINGS / dialect / f"{name}.json").read_bytes(), type=Recording)


async def replay(recording: Recording, caller: Caller, base: str, **names: str) -> dict[str, str]:
    """Send every step to the dialect at `base`; fail at the first answer that is another one."""
    kept = {"key": caller.key or "", "base": base, **names}
    for number, step in enumerate(recording.steps, 1):
        answer = await _send(step.send, caller, base, kept)
        place = f"{recording.about}, step {number}: {step.say}: {answer.status} {answer.body!r}"
        assert answer.status == step.get.status, place
        _check(_filled(step.get.body, kept), answer.json, place)
        for text in step.get.lacks:
            assert _filled(text, kept) not in answer.body.decode(), place
        for name, path in step.keep.items():
            kept[name] = str(_at(answer.json, path))
    return kept


async def _send(send: Send, caller: Caller, base: str, kept: Mapping[str, str]) -> Answer:
    headers = {name: _filled(value, kept) for name, value in send.headers.items()}
    if send.key is not None:
        headers.setdefault("Authorization", f"Bearer {_filled(send.key, kept)}")
    body = None if send.body is None else _filled(send.body, kept).encode()
    anonymous = caller.as_nobody()
    if send.json is not None:
        return await anonymous(
            send.method,
            base + _filled(send.path, kept),
            json=_filled(send.json, kept),
            headers=headers,
        )
    return await anonymous(send.method, base + _filled(send.path, kept), body=body, headers=headers)


def _filled(value: Any, kept: Mapping[str, str]) -> Any:
    """Put what was kept in its places."""
    match value:
        case str():
            return _NAME.sub(lambda found: kept[found[1]], value)
        case dict():
            return {name: _filled(each, kept) for name, each in value.items()}
        case list():
            return [_filled(each, kept) for each in value]
        case _:
            return value


def _check(expected: Any, actual: Any, place: str) -> None:
    """Compare an answer with what is expected of it."""
    match expected:
        case "...":
            return
        case str() if expected.startswith("~"):
            assert isinstance(actual, str), place
            assert re.search(expected[1:], actual), f"{expected} in {actual!r}; {place}"
        case dict():
            assert isinstance(actual, dict), place
            for name, each in expected.items():
                assert name in actual, f"{name}; {place}"
                _check(each, actual[name], f"{name}; {place}")
        case list():
            assert isinstance(actual, list), place
            assert len(actual) == len(expected), f"{len(actual)} of them; {place}"
            for one, other in zip(expected, actual, strict=True):
                _check(one, other, place)
        case _:
            assert actual == expected, f"{actual!r} is not {expected!r}; {place}"


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value
