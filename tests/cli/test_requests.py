"""What the options of `run` and `submit` ask for, and how files of requests are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from jobwire.actors.cli.callbacks import CallbackType
from jobwire.actors.cli.quantities import read_length, read_memory
from jobwire.actors.cli.requests import (
    Here,
    job_options,
    read_stage_in,
    read_stage_out,
    request_of,
)
from jobwire.actors.cli.submit import read_requests
from jobwire.schemas.deliveries import Callback
from jobwire.schemas.lifecycle import JobOutcome

HERE = Here(Path("/home/ada"), {"HOME": "/home/ada", "EMPTY": ""})


def ask(*arguments: str, written: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read options as `run` and `submit` do, and give the request that they make."""

    @click.command()
    @job_options
    @click.argument("argv", nargs=-1)
    def command(argv: tuple[str, ...], **asked: Any) -> dict[str, Any]:
        return request_of(asked, argv, HERE, written)

    made: dict[str, Any] = command.main(arguments, standalone_mode=False)
    return made


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0.5", 0.5),
        ("90s", 90),
        ("10m", 600),
        ("10min", 600),
        ("1h30m", 5_400),
        ("2d", 172_800),
        ("1w", 604_800),
        ("1:30", 5_400),
        ("1:30:05", 5_405),
    ],
)
def test_a_length_of_time_is_read(text: str, seconds: float) -> None:
    assert read_length(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10 m", "-1", "1:77", "tomorrow", "1e3", "٣"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="10m"):
        read_length(text)


@pytest.mark.parametrize(
    ("text", "mib"),
    [("512M", 512), ("512", 512), ("2G", 2048), ("1.5GiB", 1536), ("1t", 2**20), ("1k", 1)],
)
def test_an_amount_of_memory_is_read(text: str, mib: int) -> None:
    assert read_memory(text) == mib


@pytest.mark.parametrize("text", ["", "G", "-1G", "1X", "1Gbit"])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="512M"):
        read_memory(text)


@pytest.mark.parametrize(
    ("text", "url", "outcomes"),
    [
        ("https://x/y", "https://x/y", ()),
        ("https://x/y=success", "https://x/y", ("success",)),
        ("http://x=failure,lost", "http://x", ("failure", "lost")),
        ("https://x/?key=abc", "https://x/?key=abc", ()),
        ("https://x/?key=abc=success", "https://x/?key=abc", ("success",)),
    ],
)
def test_a_callback_is_an_address_and_perhaps_outcomes(
    text: str, url: str, outcomes: tuple[JobOutcome, ...]
) -> None:
    assert CallbackType().convert(text, None, None) == Callback(url=url, outcomes=outcomes)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("data.csv", {"from": "file:///home/ada/data.csv"}),
        ("data.csv:in/", {"from": "file:///home/ada/data.csv", "to": "in/"}),
        ("../bob/a b.txt", {"from": "file:///home/bob/a%20b.txt"}),
        ("/data/*.csv:all", {"from": "file:///data/*.csv", "to": "all"}),
        ("file:///data/x", {"from": "file:///data/x"}),
        ("file:///data/x:y", {"from": "file:///data/x", "to": "y"}),
        ("100%.txt", {"from": "file:///home/ada/100%25.txt"}),
        ("dir/", {"from": "file:///home/ada/dir/"}),
    ],
)
def test_what_is_brought_in_starts_from_here(text: str, read: dict[str, str]) -> None:
    assert read_stage_in(text, HERE) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("out.txt:results/", {"from": "out.txt", "to": "file:///home/ada/results/"}),
        ("*.txt:.", {"from": "*.txt", "to": "file:///home/ada"}),
        ("out:file:///data/x", {"from": "out", "to": "file:///data/x"}),
        ("out:/data/x", {"from": "out", "to": "file:///data/x"}),
    ],
)
def test_what_is_brought_out_goes_to_a_place_from_here(text: str, read: dict[str, str]) -> None:
    assert read_stage_out(text, HERE) == read


def test_with_a_directory_paths_start_from_there() -> None:
    spec = ask("--dir", "run7", "--in", "a:b", "--out", "c:d/", "true")["spec"]

    assert spec["directory"] == "file:///home/ada/run7"
    assert spec["stage_in"] == [{"from": "a", "to": "b"}]
    assert spec["stage_out"] == [{"from": "c", "to": "d/"}]


def test_every_option_has_its_place_in_the_request() -> None:
    asked = ask(
        *("--name", "fit", "--tag", "a", "--tag", "b", "--data", '{"n": 1}', "--priority", "-3"),
        *("--env", "A=1=2", "--env", "HOME", "--env", "EMPTY", "--secret", "KEY=s3", "--secret"),
        *("TOKEN", "--cores", "4", "--memory", "2G", "--walltime", "1h", "--retries", "2"),
        *("--retry-on", "memory", "--backoff", "1m", "--hold", "--start-after", "2199-01-01"),
        *("--callback", "http://x=lost", "--clean", "on_success:2d", "--keep", "*.log"),
        *("--", "sh", "-c", "exit 1"),
    )

    start = asked.pop("start_after")
    assert start == datetime(2199, 1, 1).astimezone()
    assert bytes(asked.pop("data")) == b'{"n": 1}'
    assert asked == {
        "name": "fit",
        "tags": ["a", "b"],
        "priority": -3,
        "hold": True,
        "callbacks": (Callback(url="http://x", outcomes=("lost",)),),
        "spec": {
            "argv": ["sh", "-c", "exit 1"],
            "env": {
                "A": "1=2",
                "HOME": "/home/ada",
                "EMPTY": "",
                "KEY": {"secret": "s3"},
                "TOKEN": {"secret": "TOKEN"},
            },
            "resources": {"cores": 4, "memory_mb": 2048, "walltime_s": 3600.0},
            "retries": {"max": 2, "on": ["memory"], "backoff_s": 60.0},
            "clean_up": {
                "when": "on_success",
                "after_s": 172_800.0,
                "keep": ["stdout", "stderr", "*.log"],
            },
        },
    }


def test_what_is_not_asked_for_is_not_in_the_request() -> None:
    assert ask("true") == {"spec": {"argv": ["true"]}}


def test_a_start_may_be_given_from_now() -> None:
    start = ask("--start-after", "10m", "true")["start_after"]

    left = start - datetime.now(UTC)
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)


def test_options_take_the_place_of_what_is_written() -> None:
    written = {
        "name": "old",
        "tags": ["x"],
        "spec": {
            "argv": ["true"],
            "env": {"A": "1", "B": "2"},
            "resources": {"cores": 2, "memory_mb": 7},
        },
    }

    asked = ask("--name", "new", "--env", "B=3", "--cores", "4", written=written)

    assert asked["name"] == "new"
    assert asked["tags"] == ["x"]
    assert asked["spec"]["env"] == {"A": "1", "B": "3"}
    assert asked["spec"]["resources"] == {"cores": 4, "memory_mb": 7}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--env", "NOPE", "true"), "NOPE=VALUE"),
        (("--out", "x", "true"), "FROM:TO"),
        (("--in", ":x", "true"), "FROM"),
        (("--clean", "soon", "true"), "on_success"),
        (("--clean", "always:soon", "true"), "10m"),
        (("--memory", "lots", "true"), "512M"),
        (("--walltime", "long", "true"), "10m"),
        (("--start-after", "later", "true"), "10m"),
        (("true", "\udcff"), "UTF-8"),
    ],
)
def test_a_wrong_option_is_explained(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(click.ClickException) as failed:
        ask(*arguments)

    assert said in failed.value.message


def test_one_request_many_and_lines_are_told_apart() -> None:
    one, two = {"name": "a"}, {"name": "b"}

    def requests(text: str) -> list[tuple[str, Any]]:
        return [(each.place, each.request) for each in read_requests(text.encode())]

    assert requests(json.dumps(one)) == [("", one)]
    assert requests(json.dumps(one, indent=2)) == [("", one)]
    assert requests(json.dumps([one, two])) == [("job 1", one), ("job 2", two)]
    assert requests('{"name": "a"}\n\n{"name": "b"}\n') == [("line 1", one), ("line 3", two)]
    assert requests("[]") == []


def test_toml_holds_one_request_or_many() -> None:
    one = read_requests(b'name = "a"\n[spec]\nargv = ["true"]\n', is_toml=True)
    many = read_requests(b'[[jobs]]\nname = "a"\n[[jobs]]\nname = "b"\n', is_toml=True)

    assert [each.request for each in one] == [{"name": "a", "spec": {"argv": ["true"]}}]
    assert [each.request for each in many] == [{"name": "a"}, {"name": "b"}]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b'{"a": 1}\n{"b": \n{"c": 3}\n', "line 2"),
        (b'{"a": 1}\n[1]\n', "line 2"),
        (b'[{"a": 1}, 7]', "job 2"),
        (b"{\n  1\n}\n", ""),
        (b"", ""),
    ],
)
def test_what_is_no_request_is_named_by_its_place(content: bytes, place: str) -> None:
    faults = [each for each in read_requests(content) if each.fault]

    assert [each.place for each in faults] == [place]
