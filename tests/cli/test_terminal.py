"""What people see at a terminal: nothing wider than it is, everything that matters."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from jobwire.actors.cli.main import COMMANDS
from tests.cli.console import Console, plain, texts

COLUMNS = (80, 120)


@pytest.fixture(scope="module")
def job(console: Console) -> str:
    """Return a job with a history of all kinds of entries."""
    made = console.job(
        "--name", "a name that is far too long for any column of eighty", "--tag", "t"
    )
    console.run("event", made, "run", "--data", '{"note": "' + "long " * 40 + '"}')
    console.run("event", made, "validated")
    console.run("event", made, "nothing-like-it")
    console.run("event", made, "update", "--data", r'"\u001b[31mred\u001b[0m' + "\u202e\x7f" + '"')
    console.run("event", made, "fail")
    return made


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize(
    "arguments",
    [
        ("ls",),
        ("show", "JOB"),
        ("history", "JOB"),
        ("history", "JOB", "--timeline"),
        ("watch", "JOB", "--until-outcome"),
        ("lifecycle", "ls"),
        ("lifecycle", "show", "pipeline"),
        ("lifecycle", "show", "execution"),
        ("stats",),
        ("refused",),
        ("keys", "ls"),
        ("doctor",),
    ],
)
def test_nothing_is_wider_than_the_terminal(
    console: Console, job: str, arguments: tuple[str, ...], columns: int
) -> None:
    shown = console.look(*(job if word == "JOB" else word for word in arguments), columns=columns)

    assert shown.code in (0, 1)
    assert shown.out.strip()
    assert max(cell_len(line) for line in plain(shown.out)) <= columns
    assert "Traceback" not in shown.out


@pytest.mark.parametrize("columns", COLUMNS)
def test_the_timeline_tells_the_whole_story(console: Console, job: str, columns: int) -> None:
    lines = plain(console.look("history", job, "--timeline", columns=columns).out)

    def line_of(word: str) -> str:
        return next(line for line in lines if f" {word}" in line and ":" in line)

    assert "○ CREATED" in line_of("create")
    assert "● RUNNING" in line_of("run")
    assert "not applied" in line_of("validated")
    assert "not applied" in line_of("nothing-like-it")
    assert "✘ FAILED" in line_of("fail")
    assert "6 entries" in texts(lines)
    assert any("█" in line for line in lines)


def test_data_cannot_write_on_the_terminal(console: Console, job: str) -> None:
    for arguments in (("history", job), ("history", job, "--timeline"), ("show", job)):
        shown = console.look(*arguments, columns=120).out

        assert "\x1b[31mred" not in shown
        assert "\u202e" not in shown
        assert "\x7f" not in shown


def test_a_list_never_cuts_an_id(console: Console, job: str) -> None:
    assert job in console.look("ls", columns=80).out


def test_what_a_user_copies_is_on_one_line(console: Console) -> None:
    shown = plain(console.look("create", columns=80).out.replace("\r\n", "\n"))

    assert any("/v1/events?uuid=" in line and line.endswith("&name=run'") for line in shown)


def test_every_command_has_help_and_says_there_what_the_list_says(console: Console) -> None:
    listed = console.run("--help").out

    for name, (_, _, text) in COMMANDS.items():
        helped = console.run(name, "--help")
        assert helped.code == 0
        assert f"{name} " in listed
        assert text in texts(listed.splitlines())
        assert helped.out.startswith(f"Usage: jobwire {name}")
