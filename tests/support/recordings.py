"""
Recordings of another system's HTTP, replayed against this one.

A recording is text. `# words` are for people. In blocks parted by empty lines stand

    + name: text        a file that is there before, `+ name/` a directory
    > GET /job/$id      a request: its line, headers, an empty `>`, its body
    < 200               the answer: status, headers, an empty `<`, its JSON; `...` is anything
    ~ > GET ...         a request that is repeated until the answer is the expected one
    * PUT /042 {...}    the callbacks so far, in their order, by method, path and JSON
    = name: text        a file that is there by now
    ! name              a file that is not there

`$base`, `$jobdir` and `$receiver` are given; `$id` is the id in the last Location.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import msgspec

from tests.support.deadlines import until
from tests.support.receiver import Receiver
from tests.support.service import Answer, Caller

#: Longest time for a step on a machine that is busy.
_STEP_S = 90.0


class Stage(NamedTuple):
    """What a recording is replayed on."""

    caller: Caller
    base: str
    jobdir: Path
    receiver: Receiver


async def replay(recording: Path, stage: Stage) -> None:
    """Replay a recording, step by step."""
    text = await asyncio.to_thread(recording.read_text)
    names = {
        "base": stage.base,
        "jobdir": str(stage.jobdir),
        "receiver": stage.receiver.url.removesuffix("/hook"),
        "id": "none",
    }
    for block in re.split(r"\n[ \t]*\n", text):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        if lines:
            await _step([Template(line).safe_substitute(names) for line in lines], stage, names)


async def _step(lines: list[str], stage: Stage, names: dict[str, str]) -> None:
    is_patient = lines[0].startswith("~ ")
    lines[0] = lines[0].removeprefix("~ ")
    asked = _part(lines, ">")
    for line in lines:
        await _prepare_or_check(line, stage)
    if told := [line.removeprefix("* ") for line in lines if line.startswith("* ")]:
        await _check_told(told, stage.receiver)
    if not asked:
        return
    expected = _part(lines, "<")
    wrong = ""

    async def answered() -> bool:
        nonlocal wrong
        answer = await _ask(asked, stage)
        if location := answer.headers.get("Location"):
            names["id"] = location.rpartition("/")[2]
        wrong = _difference(expected, answer, names)
        assert is_patient or not wrong, f"{asked[0]}: {wrong}\n{answer.status} {answer.body!r}"
        return not wrong

    try:
        await until(answered, _STEP_S)
    except AssertionError as error:
        raise AssertionError(f"{asked[0]}: {wrong or error}") from error


def _part(lines: list[str], mark: str) -> list[str]:
    return [line[1:].removeprefix(" ") for line in lines if line.startswith(mark)]


async def _ask(asked: list[str], stage: Stage) -> Answer:
    method, path = asked[0].split(" ", 1)
    end = asked.index("") if "" in asked else len(asked)
    headers = dict(line.split(": ", 1) for line in asked[1:end])
    body = "\n".join(asked[end + 1 :]).encode()
    return await stage.caller(method, stage.base + path, headers=headers, body=body or None)


def _difference(expected: list[str], answer: Answer, names: Mapping[str, str]) -> str:
    """Describe how an answer differs from what is expected; empty: it does not."""
    if answer.status != int(expected[0]):
        return f"expected {expected[0]}, got {answer.status}"
    end = expected.index("") if "" in expected else len(expected)
    for line in expected[1:end]:
        name, value = Template(line).safe_substitute(names).split(": ", 1)
        if not re.fullmatch(
            re.escape(value).replace(r"\.\.\.", ".*"), answer.headers.get(name, "")
        ):
            return f"expected {name}: {value}, got {answer.headers.get(name)!r}"
    wanted = "\n".join(expected[end + 1 :])
    if not wanted:
        return "" if end == len(expected) or not answer.body else "expected no body"
    return _unlike(msgspec.json.decode(wanted), answer.json, "")


def _unlike(wanted: Any, found: Any, where: str) -> str:
    if wanted == "...":
        return ""
    if isinstance(wanted, str) and "..." in wanted and isinstance(found, str):
        pattern = re.escape(wanted).replace(r"\.\.\.", ".*")
        return "" if re.fullmatch(pattern, found, re.DOTALL) else f"{where}: got {found!r}"
    if isinstance(wanted, dict) and isinstance(found, dict):
        left_out = {key for key in found if key not in wanted} if "..." not in wanted else set()
        missing = {key for key in wanted if key not in found} - {"..."}
        if left_out or missing:
            return f"{where}: more {sorted(left_out)}, less {sorted(missing)}"
        pairs = [(wanted[key], found[key], f"{where}/{key}") for key in wanted if key != "..."]
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = [
            (one, other, f"{where}/{n}")
            for n, (one, other) in enumerate(zip(wanted, found, strict=True))
        ]
    else:
        return "" if wanted == found else f"{where}: expected {wanted!r}, got {found!r}"
    return next((said for pair in pairs if (said := _unlike(*pair))), "")


async def _prepare_or_check(line: str, stage: Stage) -> None:
    mark, _, rest = line.partition(" ")
    name, _, text = rest.partition(": ")
    path = stage.jobdir / name.rstrip("/")
    match mark:
        case "+" if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        case "+":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("\\n", "\n"))
        case "=":
            assert path.read_text() == text.replace("\\n", "\n"), line
        case "!":
            assert not path.exists(), line


async def _check_told(told: list[str], receiver: Receiver) -> None:
    """Compare the callbacks to the paths that are named, in their order; no more, no fewer."""
    wanted = [line.split(" ", 2) for line in told]
    paths = {path for _, path, _ in wanted}

    def came() -> list[list[Any]]:
        return [
            [each.method, each.path, msgspec.json.decode(each.body)]
            for each in receiver.received
            if each.path in paths
        ]

    await until(lambda: len(came()) >= len(wanted), _STEP_S)
    for expected, found in zip(wanted, came(), strict=True):
        assert expected[:2] == found[:2]
        said = _unlike(msgspec.json.decode(expected[2]), found[2], "")
        assert not said, (expected, said)
