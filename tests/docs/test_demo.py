"""The demo succeeds, quickly, and fails when something it shows is not so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.stopwatch import Stopwatch

from .page import ROOT


def _run(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "docs/demo/demo.py"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.fault
def test_every_check_of_the_demo_holds() -> None:
    watch = Stopwatch()

    ran = _run()

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "\x1b" not in ran.stdout  # plain where nobody looks
    assert ran.stdout.rstrip().splitlines()[-1].startswith("All ")
    assert watch.seconds < 15


def test_the_demo_says_which_check_failed_and_what_was_seen() -> None:
    ran = _run(PATH="/nowhere")  # so the script finds no curl

    assert ran.returncode == 1
    assert "✘ the script ended with exit code 0: saw 127, not 0" in ran.stdout
