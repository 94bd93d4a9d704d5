"""Actors of PipelineJobs clients at a shell."""

from __future__ import annotations

from tests.cli.console import Console


def test_an_actor_is_made_listed_and_removed(console: Console) -> None:
    made = console.run("actors", "create", "--id", "G1p783PxpalBB", "--alias", "prod").record
    listed = {each["id"]: each for each in console.run("actors", "ls").records}
    again = console.run("actors", "create", "--alias", "prod")
    removed = console.run("actors", "rm", "G1p783PxpalBB").record
    gone = console.run("actors", "rm", "G1p783PxpalBB")

    assert listed["G1p783PxpalBB"] == made == removed
    assert [each["aliases"] for each in listed.values() if each["created"] is None] == [
        ["jobs-manager"]
    ]
    assert (again.code, gone.code) == (1, 1)
    assert "prod" in again.err
    assert "G1p783PxpalBB" in gone.err


def test_an_actor_gets_an_id_if_none_is_named(console: Console) -> None:
    made = console.run("actors", "create").record

    assert len(made["id"]) == 13
    assert console.run("actors", "rm", made["id"]).code == 0


def test_people_see_tables(console: Console) -> None:
    made = console.look("actors", "create", "--alias", "prod.two", columns=80)
    listed = console.look("actors", "ls", columns=80)
    token = console.look("actors", "admin-token", columns=80)

    assert "prod.two" in made.out
    assert "in the settings" in listed.out
    assert "valid until" in token.out


def test_a_name_that_no_url_can_have_is_refused(console: Console) -> None:
    refused = console.run("actors", "create", "--id", "a/b")

    assert refused.code == 1
    assert "id" in refused.err
