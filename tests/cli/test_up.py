"""`jobwire up` as a user meets it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.cli.console import PATIENCE_S, Console, plain, texts, wait_until
from tests.support.stopwatch import Stopwatch


def test_it_is_ready_soon_and_small(bare: Console) -> None:
    watch = Stopwatch()

    process, _ = bare.up()
    took_s = watch.seconds

    memory = Path(f"/proc/{process.pid}/status").read_text()
    rss_kib = int(memory.partition("VmRSS:")[2].split()[0])
    assert took_s < 10, "2 s on a quiet machine"
    assert rss_kib < 100_000
    assert bare.run("ls").code == 0


def test_piped_it_says_the_same_in_plain_text(bare: Console) -> None:
    _, ready = bare.up()

    assert str(bare.folder / "api-key") in ready["text"]
    assert "development" in ready["text"]
    assert "\x1b" not in ready["text"]


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_the_line_that_it_shows_makes_a_job(bare: Console) -> None:
    _, ready = bare.up()

    done = subprocess.run(["sh", "-c", ready["try"]], capture_output=True, check=True)

    made = json.loads(done.stdout)["id"]
    assert [made] == [job["id"] for job in bare.run("ls").records]


def test_at_a_terminal_it_says_what_a_user_needs(bare: Console) -> None:
    shown = bare.look("up", "--port", "0", columns=80, ctrl_c_after="curl -sS http")

    text = texts(plain(shown.out))
    assert "is ready at http://127.0.0.1:" in text
    assert str(bare.folder / "api-key") in text.replace(" ", "")
    assert "development" in text
    assert "curl -sS http://127.0.0.1:" in text
    assert shown.code == 0, "Ctrl-C is how it is stopped"


def test_a_host_that_others_can_reach_is_warned_of_in_one_line(bare: Console) -> None:
    process, _ = bare.up("--host", "0.0.0.0", "--port", "0")

    process.terminate()
    _, err = process.communicate(timeout=PATIENCE_S)

    assert err.startswith("warning: it listens on other interfaces")
    assert len(err.splitlines()) == 1


def test_a_second_service_on_the_folder_is_refused_in_one_sentence(bare: Console) -> None:
    _, ready = bare.up()

    second = bare.run("up", "--port", "0")

    assert second.code == 1
    assert len(second.err.splitlines()) == 1
    assert f"already running on {bare.folder}" in second.err
    assert ready["url"] in second.err


def test_a_port_that_is_taken_is_said_in_one_sentence(bare: Console) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        refused = bare.run("up", "--port", port)

    assert refused.code == 1
    assert len(refused.err.splitlines()) == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in refused.err


def test_an_unknown_setting_is_said_in_one_sentence(bare: Console) -> None:
    refused = bare.run("up", JOBWIRE_PROT="1")

    assert (refused.code, len(refused.err.splitlines())) == (1, 1)
    assert "did you mean port?" in refused.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well_and_what_was_accepted_is_kept(
    bare: Console, number: signal.Signals
) -> None:
    process, _ = bare.up()
    job = bare.job()

    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE_S)

    assert (process.returncode, err) == (0, "")
    assert not (bare.folder / "service.json").exists()
    bare.up()
    assert bare.run("show", job).record["state"] == "CREATED"


def test_ctrl_c_ends_it_where_a_shell_has_it_in_the_background(bare: Console) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as such a shell does; it is inherited
    try:
        process, _ = bare.up()
    finally:
        signal.signal(signal.SIGINT, before)

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0


def test_the_end_of_the_grace_ends_it_at_once(bare: Console) -> None:
    process, ready = bare.up(JOBWIRE_GRACE_S="0.5")
    with _stuck_request(bare, ready["url"]):
        watch = Stopwatch()
        process.terminate()

        _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 1
    assert "some work did not end within 0.5 s" in err
    assert watch.seconds < 4


def test_a_second_signal_ends_it_at_once(bare: Console) -> None:
    process, ready = bare.up()
    with _stuck_request(bare, ready["url"]):
        process.terminate()
        _wait_until_closed(ready["url"])
        process.terminate()

        _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 1
    assert "received a second signal to stop" in err


def test_a_hang_up_without_a_terminal_starts_it_anew_on_its_port(bare: Console) -> None:
    process, ready = bare.up()
    job = bare.job()

    before = (bare.folder / "service.json").stat().st_ino
    process.send_signal(signal.SIGHUP)
    wait_until(
        lambda: (bare.folder / "service.json").stat().st_ino != before, "the service is announced"
    )

    assert bare.run("show", job, JOBWIRE_URL=ready["url"]).record["id"] == job
    assert process.poll() is None


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


def _stuck_request(console: Console, url: str) -> socket.socket:
    """Send half a request: it stays in hand for as long as the service waits for the rest."""
    connection = socket.create_connection(_address(url))
    key = (console.folder / "api-key").read_text().strip()
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    connection.sendall(head.encode())
    assert console.run("ls").code == 0  # a later request was answered, so this one was taken
    return connection


def _wait_until_closed(url: str) -> None:
    def is_closed() -> bool:
        try:
            socket.create_connection(_address(url)).close()
        except OSError:
            return True
        return False

    wait_until(is_closed, "the service takes no new connections")
