"""Logs: fields as JSON lines, and never a secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from jobwire.actors.runtime.logs import configure_logs, redact

_TOKEN = "aabcdefghijklmnopqrstuvwxyz234"
_KEY = "jwk_abcdefghij_SECRETSECRETSECRETSECRETSECRETSE"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Put the logs' own state back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    "name", ["token", "Token", "nonce", "X-Nonce", "signature", "Authorization", "PROXY", "key"]
)
def test_a_field_that_is_a_secret_is_not_shown(name: str) -> None:
    assert redact(None, "", {name: _TOKEN}) == {name: "[redacted]"}


@pytest.mark.parametrize(
    "text",
    [
        f"POST /v1/events?uuid=x&token={_TOKEN}&name=run",
        f"token={_TOKEN}",
        f"NONCE={_TOKEN}",
        f'x-nonce="{_TOKEN}"'.replace('"', ""),
        f"signature={_TOKEN} and more",
        f"Authorization: Bearer {_TOKEN}",
        f"the key {_KEY} is wrong",
    ],
)
def test_a_secret_inside_a_text_is_not_shown(text: str) -> None:
    shown = redact(None, "", {"error": text})["error"]

    assert _TOKEN not in shown
    assert "SECRET" not in shown
    assert "[redacted]" in shown


def test_what_is_no_secret_is_shown_as_it_is() -> None:
    fields = {"event": "entry", "job_id": "2f1c", "seq": 3, "state": "RUNNING", "at": None}

    assert redact(None, "", dict(fields)) == fields


def test_a_log_line_is_one_json_object_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", pretty=False)

    structlog.get_logger().info("entry", job_id="j", text="two\nlines")

    (line,) = _lines(capsys.readouterr().err)
    assert (line["event"], line["job_id"], line["level"]) == ("entry", "j", "info")
    assert line["text"] == "two\nlines"
    assert line["timestamp"].endswith("Z")


def test_lines_below_the_level_are_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning", pretty=False)
    log = structlog.get_logger()

    log.info("quiet")
    log.warning("loud")

    assert [line["event"] for line in _lines(capsys.readouterr().err)] == ["loud"]


def test_an_unknown_level_is_read_as_warning(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("chatty", pretty=False)
    log = structlog.get_logger()

    log.info("quiet")
    log.warning("loud")

    assert [line["event"] for line in _lines(capsys.readouterr().err)] == ["loud"]


@pytest.mark.parametrize("pretty", [False, True])
def test_a_secret_in_a_traceback_is_not_shown(
    capsys: pytest.CaptureFixture[str], pretty: bool
) -> None:
    configure_logs("info", pretty=pretty)
    hidden = f"token={_TOKEN}"

    try:
        int(hidden)
    except ValueError:
        structlog.get_logger().exception("failed", url=f"/v1/events?{hidden}")

    shown = capsys.readouterr().err
    assert "ValueError" in shown
    assert _TOKEN not in shown
