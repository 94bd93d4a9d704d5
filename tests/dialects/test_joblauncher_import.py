"""`jobwire import-config joblauncher`: settings that the service takes, and a word on every key."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest

from jobwire.actors.dialects.joblauncher.asking import Launchers
from jobwire.actors.dialects.joblauncher.credentials import ReceiverKeys
from jobwire.actors.dialects.joblauncher.importing import settings_of
from jobwire.actors.dialects.joblauncher.settings import Joblauncher
from jobwire.actors.runtime.configuration import load_settings
from jobwire.actors.runtime.settings import Settings

_2013: Final = """
# The sample of the first releases.
macs:
- id: eyJzYWx0IjogIj
  key: _B1YfcqEYpZxyTx_-411-QdBOSI=
  scope: http://localhost:6543
- id: other
  key: "489dks293j39"
  algorithm: hmac-sha-256
  scope: https://magma.example.org/jobs
- {id: broken, key: k, scope: "http://h", algorithm: md5}
octopus:
  scheduler: {scheme: local, queue: multi}
  sandbox: {scheme: file, path: /tmp/sandboxes}
  preferences:
    xenon.adaptors.local.queue.multi.maxConcurrentJobs: 4
  poll: {interval: 500, cancelTimeout: 90500, deleteTimeout: 43200000}
httpClient: {timeout: 500ms}
useInsecureSSL: true
http: {port: 9998, adminPort: 9999, bindHost: localhost}
"""

_2015: Final = """
xenon:
  launchers:
    local: {scheduler: {scheme: local, queue: single}, sandbox: {scheme: file, path: /tmp/x}}
    quick:
      scheduler: {scheme: local, queue: multi, location: /}
      sandbox: {scheme: file, path: /tmp/x}
    cluster: {scheduler: {scheme: slurm, location: "ssh://user@head"}, sandbox: {scheme: sftp}}
  defaultLauncher: quick
callback:
  basicCredentials:
  - {username: u, password: p, scheme: https, hostname: magma.example.org, port: 443}
  useInsecureSSL: false
surprise: 1
"""


def _joblauncher(settings: Settings) -> Joblauncher:
    found = settings.dialects["joblauncher"]
    assert isinstance(found, Joblauncher)
    return found


_LOCALLY = {"scheduler": {"scheme": "local"}}
_CONCURRENT = "xenon.adaptors.local.queue.multi.maxConcurrentJobs"
_SANDBOX = {"scheme": "file", "path": "/x"}
_FIRST_PAIR = "callback.basicCredentials[0]"


def _pair(**changed: object) -> dict[str, object]:
    return {"username": "u", "password": "p", "hostname": "h", **changed}


def _run(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "joblauncher.yml"
    file.write_text(text)
    command = [
        sys.executable,
        "-m",
        "jobwire.actors.cli.main",
        "import-config",
        "joblauncher",
        str(file),
    ]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def _loaded(tmp_path: Path, toml: str) -> Settings:
    file = tmp_path / "jobwire.toml"
    file.write_text(toml)
    return load_settings(file, {})


def test_a_configuration_of_2013_becomes_settings_and_each_key_is_spoken_of(
    tmp_path: Path,
) -> None:
    done = _run(tmp_path, _2013)

    settings = _loaded(tmp_path, done.stdout)
    mine = _joblauncher(settings)
    assert done.returncode == 0
    assert (mine.enabled, mine.listen, mine.owner) == (True, "127.0.0.1:9998", "joblauncher")
    assert [(mac.id, mac.key, mac.scope, mac.algorithm) for mac in mine.macs] == [
        ("eyJzYWx0IjogIj", "_B1YfcqEYpZxyTx_-411-QdBOSI=", "http://localhost:6543", "hmac-sha-1"),
        ("other", "489dks293j39", "https://magma.example.org/jobs", "hmac-sha-256"),
    ]
    assert (mine.max_run_s, settings.keep_jobs_s) == (90.5, 43_200)
    assert (settings.local.slots, settings.local.folder) == (4, "/tmp/sandboxes")
    for said in (
        "✘ refused  macs[2] ",
        "✔ taken    octopus.scheduler.scheme ",
        "✘ refused  octopus.poll.interval ",
        "● changed  octopus.poll.cancelTimeout ",
        "✘ refused  useInsecureSSL ",
        "✘ refused  httpClient ",
        "● changed  http.adminPort ",
    ):
        assert said in done.stderr
    assert "489dks293j39" not in done.stderr


def test_a_configuration_of_2015_becomes_launchers_and_passwords(tmp_path: Path) -> None:
    done = _run(tmp_path, _2015)

    mine = _joblauncher(_loaded(tmp_path, done.stdout))
    (pair,) = mine.basic
    assert mine.launchers == {"local": "local", "quick": "local"}
    assert mine.default_launcher == "quick"
    assert (pair.username, pair.password) == ("u", "p")
    assert pair.scope == "https://magma.example.org:443/"
    assert "refused  xenon.launchers.cluster.scheduler" in done.stderr
    assert "refused  surprise" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "a table of keys"),
        ("a: b: c", "(line 1, column 5)"),
        ("macs: [{key: k, key: s3cr3t}]", 'duplicate key "key" (line 1, column 17)'),
        ("[" * 5_000, "nested too deeply"),
        ("", "a table of keys"),
        ("x: !!python/object/apply:os.system [id]", "it is not YAML"),
        ("\x00", "it is not YAML"),
        ('xenon: {sandbox: {scheme: file, path: "\\ud800"}}', "not valid Unicode"),
    ],
)
def test_what_is_no_configuration_is_said_in_one_sentence(
    tmp_path: Path, text: str, said: str
) -> None:
    done = _run(tmp_path, text)

    assert done.returncode == 1
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "s3cr3t" not in done.stderr


@pytest.mark.parametrize(
    "document",
    [
        {"macs": "none", "xenon": [], "http": 5, "callback": None},
        {"xenon": {"poll": {"cancelTimeout": "soon"}, "launchers": {"a": 1}, "scheduler": None}},
        {"macs": [1, None, {"id": 1}], "callback": {"basicCredentials": [{}]}},
        {"xenon": {"defaultLauncher": "gone"}, "http": {"port": "x", "bindHost": "::1"}},
        {"http": {"port": True}},
        {"http": {"port": 99_999}},
        {"http": {"bindHost": "no host", "port": "9998", "more": 1}},
        {"xenon": {"launchers": {"größe": _LOCALLY, 'a "b"': _LOCALLY, "": _LOCALLY}}},
        {"xenon": {"sandbox": {"scheme": "file", "path": "/a\x7fb\u2028\U0001f600\n"}}},
        {"xenon": {"poll": {"cancelTimeout": 10**18, "deleteTimeout": 10**18}}},
        {"xenon": {"preferences": {_CONCURRENT: 10**9}}},
        {"xenon": {"preferences": {_CONCURRENT: "²"}}},
        {"macs": [{"id": 'a"b', "key": "k", "scope": "http://h"}]},
        {"macs": [{"id": "a", "key": "k k", "scope": "http://h"}]},
        {"macs": [{"id": "a", "key": "k", "scope": "nonsense"}]},
        {"callback": {"basicCredentials": [{"username": "u:v", "password": "p", "hostname": "h"}]}},
        {"callback": {"basicCredentials": [_pair(port=99_999)], "macs": 5}},
    ],
)
def test_odd_values_are_refused_and_what_is_left_is_settings(
    tmp_path: Path, document: object
) -> None:
    imported = settings_of(document)

    mine = _joblauncher(_loaded(tmp_path, imported.toml))
    assert mine.enabled
    assert all(each.why for each in imported.remarks)
    # The service would start with it.
    Launchers(mine)
    assert mine.address is not None
    ReceiverKeys(
        mine.macs, mine.basic, challenge_only=False, clock=datetime.now, entropy=os.urandom
    )


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"macs": "2020-01-01"}, "macs"),
        ({"xenon": []}, "xenon"),
        ({"http": {"port": "x"}}, "http.port"),
        ({"xenon": {"scheduler": None}}, "xenon.scheduler"),
        ({"macs": [{"id": "a", "key": "s3cr3t key", "scope": "http://h"}]}, "macs[0]"),
        ({"callback": {"basicCredentials": [_pair(username="u:v")]}}, _FIRST_PAIR),
        ({"xenon": {"launchers": {"a": {"more": 1}}}}, "xenon.launchers.a.more"),
        ({"xenon": {"defaultLauncher": "gone"}}, "xenon.defaultLauncher"),
        ({"xenon": {"sandbox": {"scheme": "file"}}}, "xenon.sandbox.path"),
        ({"xenon": {"sandbox": {**_SANDBOX, "location": "h:22"}}}, "xenon.sandbox.location"),
        ({"xenon": {"sandbox": {**_SANDBOX, "properties": {}}}}, "xenon.sandbox.properties"),
        (
            {"xenon": {"scheduler": {"scheme": "local", "location": "x"}}},
            "xenon.scheduler.location",
        ),
    ],
)
def test_what_cannot_be_taken_is_refused_once_and_in_no_silence(document: object, key: str) -> None:
    said = [each for each in settings_of(document).remarks if each.key == key]

    assert [each.verdict for each in said] == ["refused"]
    assert "s3cr3t" not in said[0].why


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (
            {"macs": [{"id": "a", "key": 5, "scope": "http://h"}]},
            "key is no text; put it in quotes",
        ),
        ({"macs": [{"id": "a", "key": "k"}]}, "scope is missing"),
        ({"callback": {"basicCredentials": [_pair(password=None)]}}, "password is missing"),
        ({}, "staging.roots is yours to fill"),
        ({}, "requests without a key are 'joblauncher''s"),
        ({"http": {"bindHost": "0.0.0.0"}}, "every request needs a key"),
    ],
)
def test_whoever_takes_it_over_is_told_what_is_left_to_do(document: object, why: str) -> None:
    assert any(why in each.why for each in settings_of(document).remarks)
