"""Keys, tokens, lifecycles, refused events, counts and the doctor at a shell."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.console import Console


def test_a_key_is_made_used_and_revoked(console: Console) -> None:
    made = console.run("keys", "create", "alice", "--scope", "read", "--days", "1").record

    listed = {key["id"]: key for key in console.run("keys", "ls").records}
    reading = console.run("ls", JOBWIRE_API_KEY=made["key"])
    making = console.run("create", JOBWIRE_API_KEY=made["key"])
    revoked = console.run("keys", "revoke", made["id"])

    assert "key" not in listed[made["id"]]
    assert listed[made["id"]]["principal"] == "alice"
    assert (reading.code, making.code) == (0, 1)
    assert "lacks the scope 'jobs'" in making.err
    assert revoked.record["revoked"] is not None
    assert console.run("ls", JOBWIRE_API_KEY=made["key"]).code == 1


def test_a_token_is_rotated_and_revoked(console: Console) -> None:
    made = console.run("create").record

    rotated = console.run("token", "rotate", made["id"], "--overlap-s", "0").record
    old = console.run("event", made["id"], "run", "--token", made["token"])
    new = console.run("event", made["id"], "run", "--token", rotated["token"])
    console.run("token", "revoke", made["id"])
    revoked = console.run("event", made["id"], "finish", "--token", rotated["token"])

    assert (old.code, new.code, revoked.code) == (1, 0, 1)


def test_refused_events_are_shown_and_sent_again(console: Console) -> None:
    made = console.run("create").record
    console.run("token", "revoke", made["id"])
    console.run("event", made["id"], "run", "--id", "late", "--token", made["token"])

    (refused,) = [each for each in console.run("refused").records if each["job"] == made["id"]]
    again = console.run("refused", "replay", made["id"], "late")

    assert (refused["id"], refused["name"], refused["reason"]) == ("late", "run", "token_revoked")
    assert (again.code, again.record["state"]) == (0, "RUNNING")
    assert console.run("refused", "replay", "--all").code == 0


def test_a_lifecycle_is_registered_shown_and_used(console: Console, tmp_path: Path) -> None:
    file = tmp_path / "door.json"
    table = {
        "name": "door",
        "initial": "SHUT",
        "states": {"SHUT": {"category": "initial"}, "OPEN": {"category": "active"}},
        "events": {"open": {}, "shut": {}},
        "transitions": {"SHUT": {"open": "OPEN"}, "OPEN": {"shut": "SHUT", "open": "OPEN"}},
    }
    file.write_text(json.dumps(table))

    registered = console.run("lifecycle", "register", str(file))
    job = console.job("--lifecycle", "door")

    assert registered.record["version"] == 1
    assert console.run("event", job, "open").record["state"] == "OPEN"
    assert "door" in [each["name"] for each in console.run("lifecycle", "ls").records]
    assert "open ──▶ OPEN" in console.look("lifecycle", "show", "door", columns=80).out.replace(
        "\x1b[0m", ""
    ).replace("\x1b[2m", "").replace("\x1b[36m", "")


def test_a_wrong_lifecycle_is_refused_with_its_place(console: Console, tmp_path: Path) -> None:
    file = tmp_path / "door.json"
    file.write_text('{"name": "door"}')
    refused = console.run("lifecycle", "register", str(file))
    file.write_text("{")
    broken = console.run("lifecycle", "register", str(file))

    assert (refused.code, broken.code) == (1, 1)
    assert "`initial`" in refused.err
    assert "is not JSON" in broken.err


def test_jobs_are_counted(console: Console) -> None:
    before = console.run("stats").record["jobs"]

    console.job()

    assert console.run("stats").record["jobs"] == before + 1


def test_the_doctor_finds_a_sound_service_sound(console: Console) -> None:
    findings = console.run("doctor")

    levels = {each["name"]: each["level"] for each in findings.records}
    assert findings.code == 0
    assert {"python", "libraries", "data", "service-keys", "api-key", "database"} <= set(levels)
    assert levels["service"] == levels["service-keys"] == levels["database"] == "ok"


def test_the_doctor_fails_on_a_secret_that_others_can_read_and_says_what_to_do(
    bare: Console,
) -> None:
    bare.up()
    (bare.folder / "service-keys").chmod(0o644)

    findings = bare.run("doctor")

    (found,) = [each for each in findings.records if each["level"] == "fail"]
    assert findings.code == 1
    assert found["name"] == "service-keys"
    assert found["what_to_do"].startswith("chmod 600 ")


def test_the_doctor_fails_on_a_broken_database(bare: Console) -> None:
    bare.folder.mkdir()
    (bare.folder / "jobwire.db").write_bytes(b"no database at all" * 1_000)

    findings = bare.run("doctor", JOBWIRE_PORT="0")

    levels = {each["name"]: each["level"] for each in findings.records}
    assert findings.code == 1
    assert levels["database"] == levels["service-keys"] == "fail"
