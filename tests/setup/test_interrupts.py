"""Ctrl-C: programs end by it that a shell has started in the background, with SIGINT ignored."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT
from tests.support.interrupts import IGNORING

_PATIENCE_S = 120


def test_a_program_that_a_test_starts_ends_by_ctrl_c() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as program:
        program.send_signal(signal.SIGINT)

        code = program.wait(_PATIENCE_S)

    assert code == -signal.SIGINT


def test_it_does_so_in_tests_that_run_in_the_background() -> None:
    name = f"{__file__}::{test_a_program_that_a_test_starts_ends_by_ctrl_c.__name__}"
    pytest_command = (
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--timeout=60",
        name,
    )

    ran = subprocess.run(
        [*IGNORING, *pytest_command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_S,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.fault
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_in_the_background_ends_and_its_service_with_it(number: signal.Signals) -> None:
    demo = subprocess.Popen(
        [*IGNORING, sys.executable, "docs/demo/demo.py"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    ready = next((line for line in demo.stdout if "ready after" in line), "")
    service = re.search(r"process (\d+)", ready)

    demo.send_signal(number)
    demo.communicate(timeout=_PATIENCE_S)

    assert service is not None
    assert demo.returncode == 130
    assert not Path("/proc", service[1]).exists()
