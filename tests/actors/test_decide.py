"""What becomes of one event, as a table of cases."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from jobwire.actors.state_manager.decide import Keep, Refuse, decide, entry_of
from jobwire.schemas.commands import Outstanding
from jobwire.schemas.deliveries import Interest
from jobwire.schemas.events import Event
from jobwire.schemas.identifiers import EventId
from jobwire.schemas.jobs import NO_CHANGE, Change, Ending, Job, advance
from jobwire.schemas.lifecycle import Lifecycle
from jobwire.schemas.lifecycles import EXECUTION, PIPELINE
from jobwire.schemas.outcomes import Reason
from jobwire.schemas.tokens import VerifiedSender, identify
from tests.support.factories import (
    FAILED_WITH_CODE,
    KEYRING,
    NOW,
    OWNER,
    STRANGER,
    after,
    changes,
    make_create,
    make_creation,
    make_event,
    make_job,
    make_lifecycle,
    make_plan,
    make_signed,
)

_MANY = 1_000


def _decide(
    job: Job | None,
    event: Event,
    *,
    lifecycle: Lifecycle | None = PIPELINE,
    most_events: int = _MANY,
) -> Refuse | Keep:
    sender = identify(KEYRING, event)
    assert sender is not None
    return decide(job, event, sender, lifecycle, most_events)


def _kept(verdict: Refuse | Keep) -> Keep:
    assert isinstance(verdict, Keep), verdict
    return verdict


def _planned(state: str = "RUNNING", **fields: Any) -> Job:
    """Make a job that the service runs itself."""
    creation = make_creation(lifecycle="execution", plan=fields.pop("plan", make_plan()))
    return make_job(creation=creation, state=state, **fields)


def _worker(name: str, **fields: Any) -> Event:
    return make_signed(name, role="worker", principal="site", **fields)


def _reaper(name: str, **fields: Any) -> Event:
    return make_signed(name, role="reaper", principal="", **fields)


# --- birth ----------------------------------------------------------------------------------------


def test_a_create_makes_a_job_in_the_initial_state() -> None:
    event = make_create()

    verdict = _kept(_decide(None, event))

    assert (verdict.state, verdict.reason) == ("CREATED", None)
    assert changes(verdict.change) == {
        "creation": make_creation(),
        "generation": 1,
        "attempt": 1,
        "first_attempt": 1,
    }


def test_a_create_of_a_registered_lifecycle_begins_in_its_initial_state() -> None:
    verdict = _kept(_decide(None, make_create(), lifecycle=make_lifecycle()))

    assert verdict.state == "OPEN"


@pytest.mark.parametrize(
    ("stage_in", "command"), [(True, "StageIn"), (False, "Submit")], ids=["staged", "direct"]
)
def test_a_create_with_a_plan_gives_its_first_command(stage_in: bool, command: str) -> None:
    creation = make_creation(lifecycle="execution", plan=make_plan(stage_in=stage_in))
    event = make_create(creation=creation, received=after(5))

    verdict = _kept(_decide(None, event, lifecycle=EXECUTION))

    assert isinstance(verdict.change.outstanding, Outstanding)
    assert verdict.change.outstanding == Outstanding(event.id, command, 1, after(5))
    assert verdict.change.attempt == 1


def test_a_create_after_a_deletion_counts_generation_and_attempt_on() -> None:
    tombstone = make_job(deleted=True, seq=7, generation=3, attempt=2)
    event = make_create(event_id="again")

    verdict = _kept(_decide(tombstone, event))
    job = advance(tombstone, entry_of(tombstone, event, verdict, PIPELINE))

    assert changes(verdict.change) == {
        "creation": make_creation(),
        "generation": 4,
        "attempt": 3,
        "first_attempt": 3,
    }
    assert (job.seq, job.born, job.deleted) == (8, 8, False)


def test_a_planned_create_after_a_deletion_gives_its_command_for_the_new_attempt() -> None:
    creation = make_creation(lifecycle="execution", plan=make_plan())
    tombstone = make_job(creation=creation, deleted=True, attempt=2)

    verdict = _kept(_decide(tombstone, make_create(creation=creation), lifecycle=EXECUTION))

    assert isinstance(verdict.change.outstanding, Outstanding)
    assert verdict.change.outstanding.attempt == 3
    assert verdict.change.first_attempt == 3


_STRANGERS_BIRTH = make_creation(owner=STRANGER)
_REFUSED_BIRTHS: dict[str, tuple[Job | None, Event, Lifecycle | None, Reason]] = {
    "an event of no job": (None, make_event(), None, Reason.UNKNOWN_JOB),
    "a delete of no job": (None, make_signed("delete"), None, Reason.UNKNOWN_JOB),
    "an event of a deleted job": (
        make_job(deleted=True),
        make_event(),
        PIPELINE,
        Reason.DELETED,
    ),
    "a delete of a deleted job": (
        make_job(deleted=True),
        make_signed("delete"),
        PIPELINE,
        Reason.DELETED,
    ),
    "a create without a birth": (None, make_signed("create"), None, Reason.UNKNOWN_JOB),
    "a create by a token": (
        None,
        make_event("create", creation=make_creation()),
        PIPELINE,
        Reason.UNKNOWN_JOB,
    ),
    "a create for somebody else": (
        None,
        make_signed("create", principal=STRANGER, creation=make_creation()),
        PIPELINE,
        Reason.UNKNOWN_JOB,
    ),
    "a create over somebody else's tombstone": (
        make_job(deleted=True),
        make_create(creation=_STRANGERS_BIRTH),
        PIPELINE,
        Reason.UNKNOWN_JOB,
    ),
    "a create of an unknown lifecycle": (
        None,
        make_create(),
        None,
        Reason.UNKNOWN_LIFECYCLE,
    ),
}


@pytest.mark.parametrize(
    ("job", "event", "lifecycle", "reason"), _REFUSED_BIRTHS.values(), ids=_REFUSED_BIRTHS.keys()
)
def test_what_belongs_to_no_job_is_refused(
    job: Job | None, event: Event, lifecycle: Lifecycle | None, reason: Reason
) -> None:
    assert _decide(job, event, lifecycle=lifecycle) == Refuse(reason)


def test_a_second_create_is_kept_and_changes_nothing() -> None:
    job = make_job(state="RUNNING")

    assert _decide(job, make_create(event_id="second")) == Keep("RUNNING", Reason.EXISTS)


# --- who ------------------------------------------------------------------------------------------


def test_a_stranger_with_a_key_is_told_that_there_is_no_such_job() -> None:
    event = make_signed("run", principal=STRANGER)

    assert _decide(make_job(), event) == Refuse(Reason.UNKNOWN_JOB)


def test_the_owner_with_a_key_may_report() -> None:
    assert _kept(_decide(make_job(), make_signed("run"))).state == "RUNNING"


_ROTATED = make_job(generation=3, previous_token_until=after(60))


@pytest.mark.parametrize(
    ("generation", "stamp", "admitted"),
    [
        (3, 0, True),
        (3, 1_000, True),
        (2, 0, True),
        (2, 60, True),
        (2, 60.000001, False),
        (1, 0, False),
        (4, 0, False),
        (0, 0, False),
    ],
)
def test_the_previous_token_is_good_until_the_overlap_ends_by_the_gateways_stamp(
    generation: int, stamp: float, admitted: bool
) -> None:
    event = make_event(generation=generation, received=after(stamp))

    verdict = _decide(_ROTATED, event)

    if admitted:
        assert _kept(verdict).reason is None
    else:
        assert verdict == Refuse(Reason.TOKEN_REVOKED)


def test_without_an_overlap_the_previous_token_ends_at_once() -> None:
    job = make_job(generation=2, previous_token_until=None)

    assert _decide(job, make_event(generation=1)) == Refuse(Reason.TOKEN_REVOKED)


def test_an_event_of_a_job_whose_lifecycle_is_gone_is_refused() -> None:
    assert _decide(make_job(), make_event(), lifecycle=None) == Refuse(Reason.UNKNOWN_LIFECYCLE)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (make_event("explode"), Reason.UNKNOWN_EVENT),
        (make_event("reset"), Reason.WRONG_SENDER),
        (make_event("delete"), Reason.WRONG_SENDER),
        (make_event("rotate_token"), Reason.WRONG_SENDER),
        (_worker("run"), Reason.WRONG_SENDER),
        (_worker("delete"), Reason.WRONG_SENDER),
        (make_event("finish"), Reason.WRONG_STATE),
        (make_event("run", expects=5), Reason.OVERTAKEN),
        (make_event("run", attempt=2), Reason.STALE_ATTEMPT),
    ],
    ids=lambda value: value.name if isinstance(value, Event) else str(value),
)
def test_an_event_that_may_not_change_the_job_is_kept_with_the_reason(
    event: Event, reason: Reason
) -> None:
    assert _decide(make_job(), event) == Keep("CREATED", reason)


def test_an_event_of_the_present_attempt_that_expects_the_present_seq_is_applied() -> None:
    event = make_event("run", attempt=1, expects=1)

    assert _decide(make_job(), event) == Keep("RUNNING")


def test_an_event_of_another_attempt_is_stale_before_anything_else_is_asked() -> None:
    event = _worker("exit", attempt=1, expects=99)

    verdict = _decide(_planned(attempt=2), event, lifecycle=EXECUTION)

    assert verdict == Keep("RUNNING", Reason.STALE_ATTEMPT)


# --- the limit ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "admitted"),
    [
        (make_event("update"), False),
        (make_event("explode"), False),
        (make_event("run"), True),
        (make_signed("delete", data=b'{"force":true}'), True),
        (make_signed("rotate_token"), True),
    ],
    ids=["update", "unknown", "run", "delete", "rotate"],
)
def test_a_full_history_takes_only_what_moves_or_ends_the_job(event: Event, admitted: bool) -> None:
    verdict = _decide(make_job(seq=10), event, most_events=10)

    if admitted:
        assert _kept(verdict).reason is None
    else:
        assert verdict == Refuse(Reason.EVENT_LIMIT)


def test_the_last_place_of_a_history_may_be_taken() -> None:
    assert isinstance(_decide(make_job(seq=9), make_event("update"), most_events=10), Keep)


# --- the record -----------------------------------------------------------------------------------


def test_a_rotation_begins_a_new_generation_and_bounds_the_one_before() -> None:
    event = make_signed("rotate_token", data=b'{"overlap_s":90}', received=after(10))

    verdict = _kept(_decide(make_job(state="RUNNING", generation=4), event))

    assert verdict.state == "RUNNING"
    assert changes(verdict.change) == {"generation": 5, "previous_token_until": after(100)}


@pytest.mark.parametrize("data", [None, b"{}", b'{"overlap_s":0}', b'{"other":1}'])
def test_a_rotation_without_a_word_on_an_overlap_has_none(data: bytes | None) -> None:
    verdict = _kept(_decide(make_job(), make_signed("rotate_token", data=data)))

    assert changes(verdict.change) == {"generation": 2, "previous_token_until": None}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("rotate_token", b'{"overlap_s":-1}'),
        ("rotate_token", b'{"overlap_s":1e300}'),
        ("rotate_token", b'{"overlap_s":"x"}'),
        ("rotate_token", b"[]"),
        ("rotate_token", b'"text"'),
        ("delete", b'{"force":"yes"}'),
        ("delete", b"[]"),
    ],
)
def test_an_event_of_the_record_with_data_that_makes_no_sense_changes_nothing(
    name: str, data: bytes
) -> None:
    verdict = _decide(make_job(), make_signed(name, data=data))

    assert verdict == Keep("CREATED", Reason.INVALID_DATA)


_FORCE = b'{"force":true}'


@pytest.mark.parametrize(
    ("job", "lifecycle", "data", "deleted"),
    [
        (make_job(), PIPELINE, None, False),
        (make_job(), PIPELINE, b'{"force":false}', False),
        (make_job(), PIPELINE, _FORCE, True),
        (make_job(state="FINISHED"), PIPELINE, None, True),
        (make_job(state="RETIRED"), PIPELINE, None, True),
        (_planned("RUNNING"), EXECUTION, None, False),
        (_planned("RUNNING"), EXECUTION, _FORCE, False),
        (_planned("FAILED"), EXECUTION, None, True),
        (_planned("LOST"), EXECUTION, _FORCE, True),
    ],
)
def test_a_job_goes_when_it_has_ended_or_by_force_when_no_process_can_be_left(
    job: Job, lifecycle: Lifecycle, data: bytes | None, deleted: bool
) -> None:
    verdict = _decide(job, make_signed("delete", data=data), lifecycle=lifecycle)

    if deleted:
        assert verdict == Keep(job.state, change=Change(deleted=True, outstanding=None))
    else:
        assert verdict == Keep(job.state, Reason.STILL_RUNNING)


# --- transitions of a job without a plan ----------------------------------------------------------


def test_an_event_that_changes_nothing_shares_the_empty_change() -> None:
    verdict = _kept(_decide(make_job(), make_event("update", data=b'{"cause":"x"}')))

    assert verdict.change is NO_CHANGE


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b'{"cause":"out of memory"}', "out of memory"),
        (b'{"other":1}', None),
        (b'{"cause":5}', None),
        (b'"text"', None),
        (None, None),
    ],
)
def test_a_failure_remembers_the_cause_that_it_names(data: bytes | None, cause: str | None) -> None:
    before = make_job(state="RUNNING", cause="earlier")

    verdict = _kept(_decide(before, make_event("fail", data=data)))

    assert verdict.state == "FAILED"
    assert verdict.change.cause == cause


def test_a_cause_is_forgotten_when_the_job_leaves_its_failure() -> None:
    verdict = _kept(_decide(make_job(state="FAILED", cause="stale"), make_signed("reset")))

    assert changes(verdict.change) == {"cause": None}


def test_the_reaper_may_fail_a_job_that_runs_elsewhere_in_any_state() -> None:
    verdict = _kept(_decide(make_job(state="RUNNING"), _reaper("fail", data=b'{"cause":"stale"}')))

    assert (verdict.state, verdict.change.cause) == ("FAILED", "stale")


# --- transitions of a job with a plan -------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(EXECUTION.states))
def test_the_reaper_may_fail_a_planned_job_only_where_no_process_can_live(state: str) -> None:
    allowed = {"CREATED", "STAGING", "STAGED", "RETRYING", "COLLECTING"}

    verdict = _kept(_decide(_planned(state), _reaper("fail"), lifecycle=EXECUTION))

    assert (verdict.reason is None) == (state in allowed)
    assert verdict.reason in (None, Reason.WRONG_STATE)


def test_a_worker_may_fail_a_planned_job_that_runs() -> None:
    verdict = _kept(_decide(_planned("RUNNING"), _worker("fail", attempt=1), lifecycle=EXECUTION))

    assert (verdict.state, verdict.change.outstanding) == ("FAILED", None)


def test_a_suspicion_remembers_the_seq_of_its_own_entry() -> None:
    job = _planned("RUNNING", seq=6)

    verdict = _kept(_decide(job, _reaper("suspect"), lifecycle=EXECUTION))

    assert (verdict.state, changes(verdict.change)) == ("UNKNOWN", {"suspected": 7})


def test_an_unknown_job_is_lost_and_found_by_the_reaper_only() -> None:
    lost = _kept(_decide(_planned("UNKNOWN"), _reaper("lose"), lifecycle=EXECUTION))
    found = _kept(_decide(_planned("LOST"), _reaper("found"), lifecycle=EXECUTION))
    by_worker = _kept(_decide(_planned("LOST"), _worker("found"), lifecycle=EXECUTION))

    assert (lost.state, lost.change.outstanding) == ("LOST", None)
    assert (found.state, found.reason) == ("UNKNOWN", None)
    assert by_worker.reason == Reason.WRONG_SENDER


def test_a_lost_job_that_is_found_is_watched_again() -> None:
    job = _planned("LOST", seq=6, suspected=3)

    verdict = _kept(_decide(job, _reaper("found"), lifecycle=EXECUTION))

    watch = verdict.change.outstanding
    assert isinstance(watch, Outstanding)
    assert (watch.kind, watch.attempt, verdict.change.suspected) == ("Watch", 1, 7)


# --- the batch system's own id --------------------------------------------------------------------

_SUBMITTED = Outstanding(EventId("create"), "Submit", 1, NOW)


@pytest.mark.parametrize("state", ["SUBMITTING", "QUEUED", "RUNNING", "CANCELLING", "UNKNOWN"])
def test_a_job_remembers_the_id_that_its_batch_system_gave_it(state: str) -> None:
    event = _worker("queued", attempt=1, data=b'{"native":"42.cluster"}')

    verdict = _kept(_decide(_planned(state), event, lifecycle=EXECUTION))

    assert (verdict.reason, verdict.change.native) == (None, "42.cluster")


def test_a_hook_that_is_quicker_than_the_worker_takes_neither_the_id_nor_the_watch() -> None:
    job = _planned("RUNNING", outstanding=_SUBMITTED)
    event = _worker("queued", attempt=1, data=b'{"native":"42"}')

    verdict = _kept(_decide(job, event, lifecycle=EXECUTION))

    watch = verdict.change.outstanding
    assert isinstance(watch, Outstanding)
    assert (verdict.state, watch.kind, verdict.change.native) == ("RUNNING", "Watch", "42")


def test_only_a_worker_says_what_the_id_is() -> None:
    event = make_event("run", data=b'{"native":"666"}')

    verdict = _kept(_decide(_planned("QUEUED", native="42"), event, lifecycle=EXECUTION))

    assert (verdict.reason, verdict.change.native) == (None, UNSET)


def test_another_attempt_begins_without_an_id() -> None:
    job = _planned("RUNNING", plan=make_plan(tries=2), native="42")
    event = _worker("fail", attempt=1, data=b'{"cause":"exit_code"}')

    verdict = _kept(_decide(job, event, lifecycle=EXECUTION))

    assert (verdict.state, verdict.change.native) == ("RETRYING", None)


_STAGE_AND_RUN = make_plan(stage_in=True, stage_out=True, tries=2)


@pytest.mark.parametrize(
    ("job", "event", "state", "changed"),
    [
        (
            _planned("STAGING"),
            _worker("staged", received=after(3)),
            "STAGED",
            {"outstanding": Outstanding(EventId("staged-1"), "Submit", 1, after(3))},
        ),
        (
            _planned(
                "SUBMITTING", outstanding=Outstanding(EventId("staged-1"), "Submit", 1, after(0))
            ),
            _worker("queued", received=after(2)),
            "QUEUED",
            {"outstanding": Outstanding(EventId("queued-1"), "Watch", 1, after(2))},
        ),
        (
            _planned(
                "SUBMITTING", outstanding=Outstanding(EventId("staged-1"), "Submit", 1, after(0))
            ),
            _worker("run", received=after(2)),
            "RUNNING",
            {"outstanding": Outstanding(EventId("run-1"), "Watch", 1, after(2))},
        ),
        (
            # The job's own word: only its worker knows that the start is done.
            _planned(
                "SUBMITTING", outstanding=Outstanding(EventId("staged-1"), "Submit", 1, after(0))
            ),
            make_event("run", attempt=1),
            "RUNNING",
            {},
        ),
        (
            _planned(
                "CANCELLING", outstanding=Outstanding(EventId("cancel-1"), "Cancel", 1, after(0))
            ),
            _worker("queued"),
            "CANCELLING",
            {},
        ),
        (_planned("QUEUED"), make_event("run"), "RUNNING", {}),
        (_planned("RUNNING"), make_event("update"), "RUNNING", {}),
        (
            _planned("RUNNING"),
            _worker("exit", received=after(4)),
            "COLLECTING",
            {
                "outstanding": Outstanding(EventId("exit-1"), "StageOut", 1, after(4)),
                "ending": Ending(),
            },
        ),
        (
            _planned("COLLECTING"),
            _worker("finish", data=b'{"exit_code":0}'),
            "FINISHED",
            {"outstanding": None, "ending": Ending(0)},
        ),
        (
            _planned("RUNNING"),
            make_signed("cancel", received=after(4)),
            "CANCELLING",
            {
                "cancel_applied": True,
                "outstanding": Outstanding(EventId("cancel-1"), "Cancel", 1, after(4)),
            },
        ),
        (_planned("CANCELLING", cancel_applied=True), make_signed("cancel"), "CANCELLING", None),
        (
            _planned("STAGED"),
            make_signed("cancel"),
            "CANCELLED",
            {"outstanding": None, "cause": "cancelled"},
        ),
        (
            _planned("CANCELLING", cancel_applied=True),
            _worker("cancelled", data=b'{"cause":"cancelled","exit_code":143,"signal":"TERM"}'),
            "CANCELLED",
            {"outstanding": None, "cause": "cancelled", "ending": Ending(143, "TERM")},
        ),
    ],
    ids=lambda value: f"{value.state}-" if isinstance(value, Job) else None,
)
def test_a_transition_of_a_planned_job_brings_its_consequence(
    job: Job, event: Event, state: str, changed: dict[str, object] | None
) -> None:
    verdict = _kept(_decide(job, event, lifecycle=EXECUTION))

    assert (verdict.state, verdict.reason) == (state, None)
    if changed is not None:
        assert changes(verdict.change) == changed


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"attempt": 1}, "RETRYING"),
        ({"attempt": 2}, "FAILED"),
        ({"attempt": 5, "first_attempt": 5}, "RETRYING"),
        ({"attempt": 6, "first_attempt": 5}, "FAILED"),
        ({"attempt": 1, "cancel_applied": True}, "FAILED"),
    ],
)
def test_a_failure_is_tried_again_while_tries_are_left_and_no_cancel_was_applied(
    fields: dict[str, Any], state: str
) -> None:
    job = _planned("RUNNING", plan=make_plan(tries=2), **fields)

    fail = _worker("fail", data=FAILED_WITH_CODE)

    assert _kept(_decide(job, fail, lifecycle=EXECUTION)).state == state


@pytest.mark.parametrize(("stage_in", "command"), [(True, "StageIn"), (False, "Submit")])
def test_another_attempt_begins_with_its_first_command(stage_in: bool, command: str) -> None:
    job = _planned("RUNNING", plan=make_plan(stage_in=stage_in, tries=3))

    fail = _worker("fail", received=after(9), data=FAILED_WITH_CODE)
    verdict = _kept(_decide(job, fail, lifecycle=EXECUTION))

    outstanding = Outstanding(EventId("fail-1"), command, 2, after(9))
    assert changes(verdict.change) == {
        "attempt": 2,
        "outstanding": outstanding,
        "cause": "exit_code",
        "ending": Ending(3),
    }


@pytest.mark.parametrize("data", [b'{"cause":"walltime"}', b"{}", b"7"])
def test_a_cause_that_is_not_named_is_not_tried_again(data: bytes) -> None:
    job = _planned("RUNNING", plan=make_plan(tries=5))

    assert _kept(_decide(job, _worker("fail", data=data), lifecycle=EXECUTION)).state == "FAILED"


@pytest.mark.parametrize(("attempt", "pause_s"), [(1, 2), (2, 6), (3, 18), (20, 86_400)])
def test_each_pause_before_another_attempt_is_longer(attempt: int, pause_s: float) -> None:
    plan = make_plan(tries=50, backoff_s=2.0, backoff_factor=3.0)
    fail = _worker("fail", attempt=attempt, received=after(9), data=FAILED_WITH_CODE)

    verdict = _kept(_decide(_planned(plan=plan, attempt=attempt), fail, lifecycle=EXECUTION))

    awaited = verdict.change.outstanding
    assert isinstance(awaited, Outstanding)
    assert awaited.since == after(9 + pause_s)


def test_a_job_for_later_awaits_its_first_command_then() -> None:
    creation = make_creation(lifecycle="execution", plan=make_plan(start_after=after(60)))

    verdict = _kept(_decide(None, make_create(creation=creation), lifecycle=EXECUTION))

    assert isinstance(verdict.change.outstanding, Outstanding)
    assert verdict.change.outstanding.since == after(60)


@pytest.mark.parametrize("name", ["stage", "submit"])
@pytest.mark.parametrize("state", ["CREATED", "RETRYING"])
def test_nothing_of_a_held_job_starts(name: str, state: str) -> None:
    verdict = _kept(_decide(_planned(state, held=True), _worker(name), lifecycle=EXECUTION))

    assert (verdict.state, verdict.reason) == (state, Reason.HELD)


def test_a_released_job_awaits_its_command_anew() -> None:
    awaited = Outstanding(EventId("create"), "StageIn", 1, after(0))
    job = _planned("CREATED", held=True, outstanding=awaited)

    held = _kept(_decide(job, make_signed("hold"), lifecycle=EXECUTION))
    released = _kept(_decide(job, make_signed("release", received=after(7)), lifecycle=EXECUTION))

    assert changes(held.change) == {"held": True}
    again = Outstanding(EventId("release-1"), "StageIn", 1, after(7))
    assert changes(released.change) == {"held": False, "outstanding": again}


def test_a_release_of_a_job_that_is_not_held_changes_nothing() -> None:
    awaited = Outstanding(EventId("create"), "StageIn", 1, after(0))
    job = _planned("STAGING", outstanding=awaited)

    verdict = _kept(_decide(job, make_signed("release"), lifecycle=EXECUTION))

    assert (verdict.reason, verdict.change) == (None, NO_CHANGE)


@pytest.mark.parametrize(
    ("job", "event"),
    [
        (_planned("FINISHED", outstanding=Outstanding(EventId("x"), "CleanUp", 1, after(0))), None),
        (_planned("CREATED", held=True), make_signed("release")),
    ],
    ids=["cleaned", "release"],
)
def test_a_full_history_still_takes_what_changes_the_job(job: Job, event: Event | None) -> None:
    full = replace(job, seq=_MANY)

    verdict = _decide(full, event or _worker("cleaned"), lifecycle=EXECUTION)

    assert _kept(verdict).reason is None


def test_a_job_that_runs_cannot_be_held() -> None:
    verdict = _kept(_decide(_planned("RUNNING"), make_signed("hold"), lifecycle=EXECUTION))

    assert verdict.reason == Reason.WRONG_STATE


@pytest.mark.parametrize(
    ("when", "state", "event", "expected"),
    [
        ("always", "RUNNING", "finish", after(65)),
        ("always", "RUNNING", "fail", after(65)),
        ("on_success", "RUNNING", "finish", after(65)),
        ("on_success", "RUNNING", "fail", None),
        ("never", "RUNNING", "finish", None),
        ("always", "CREATED", "fail", None),
    ],
)
def test_the_directory_of_an_ended_job_is_cleaned_up_as_it_was_asked(
    when: str, state: str, event: str, expected: object
) -> None:
    plan = make_plan(clean_when=when, clean_after_s=60.0)

    ended = _worker(event, received=after(5))
    verdict = _kept(_decide(_planned(state, plan=plan), ended, lifecycle=EXECUTION))

    awaited = verdict.change.outstanding
    assert awaited == (expected and Outstanding(EventId(f"{event}-1"), "CleanUp", 1, after(65)))


@pytest.mark.parametrize(
    ("problem", "after_problem_s", "expected"),
    [("'o': no space", 600.0, 600), ("'o': no space", None, 0), (None, 600.0, 0)],
)
def test_a_directory_with_the_only_copy_of_an_output_may_stay_for_longer(
    problem: str | None, after_problem_s: float | None, expected: float
) -> None:
    plan = make_plan(clean_when="always", clean_after_s=0.0, clean_after_problem_s=after_problem_s)
    data = msgspec.json.encode({"cause": "staging", "stage_out_problem": problem})

    ended = _worker("fail", data=data, received=after(0))
    verdict = _kept(_decide(_planned("COLLECTING", plan=plan), ended, lifecycle=EXECUTION))

    awaited = verdict.change.outstanding
    assert awaited == Outstanding(EventId("fail-1"), "CleanUp", 1, after(expected))


def test_a_cleaned_job_awaits_nothing() -> None:
    awaited = Outstanding(EventId("finish-1"), "CleanUp", 1, after(0))
    job = _planned("FINISHED", outstanding=awaited)

    verdict = _kept(_decide(job, _worker("cleaned"), lifecycle=EXECUTION))

    assert (verdict.state, changes(verdict.change)) == ("FINISHED", {"outstanding": None})


_TOLD = Interest("sub_1")


@pytest.mark.parametrize(
    ("interest", "name", "told"),
    [
        (_TOLD, "run", True),
        (_TOLD, "update", False),
        (_TOLD, "no-such-event", False),
        (Interest("sub_1", states=("RUNNING",)), "run", True),
        (Interest("sub_1", states=("FINISHED",)), "run", False),
        (Interest("sub_1", outcomes=("success",)), "finish", True),
        (Interest("sub_1", outcomes=("failure",)), "finish", False),
        (Interest("sub_1", events=("update",)), "update", True),
        (Interest("sub_1", events=("update",)), "run", False),
        (Interest("sub_1", ("FAILED",), ("success",), ("update",)), "finish", True),
    ],
)
def test_an_entry_names_the_subscriptions_that_must_be_told(
    interest: Interest, name: str, told: bool
) -> None:
    job = make_job(state="CREATED" if name == "run" else "RUNNING", interests=(interest,))
    event = make_event(name)

    entry = entry_of(job, event, _kept(_decide(job, event)), PIPELINE)

    assert entry.due == (("sub_1",) if told else ())


def test_a_creation_is_told_too() -> None:
    creation = make_creation(interests=(_TOLD,))
    event = make_create(creation=creation)

    assert entry_of(None, event, _kept(_decide(None, event)), PIPELINE).due == ("sub_1",)


def test_an_unknown_job_that_was_to_be_cancelled_ends_cancelled() -> None:
    job = _planned("UNKNOWN", plan=make_plan(tries=5), cancel_applied=True)

    assert _kept(_decide(job, _worker("fail"), lifecycle=EXECUTION)).state == "CANCELLED"
    assert _kept(_decide(job, _worker("run"), lifecycle=EXECUTION)).state == "CANCELLING"
    assert _kept(_decide(job, _worker("queued"), lifecycle=EXECUTION)).state == "CANCELLING"


# --- entries --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "name", "moved_in"),
    [
        pytest.param("CREATED", "run", "pipeline", id="to another state"),
        pytest.param("RUNNING", "run", "", id="to the same state"),
        pytest.param("RUNNING", "update", "", id="nowhere"),
        pytest.param("FINISHED", "run", "", id="not applied"),
    ],
)
def test_an_entry_names_the_lifecycle_in_which_it_moved_the_job(
    state: str, name: str, moved_in: str
) -> None:
    job, event = make_job(state=state), make_event(name)

    assert entry_of(job, event, _kept(_decide(job, event)), PIPELINE).moved_in == moved_in


def test_a_birth_moves_the_job_also_where_there_was_one_before() -> None:
    event = make_create()
    tombstone = make_job(deleted=True)

    for before in (None, tombstone):
        entry = entry_of(before, event, _kept(_decide(before, event)), PIPELINE)

        assert entry.moved_in == "pipeline"


def test_a_deletion_moves_nothing() -> None:
    job, event = make_job(state="FINISHED"), make_signed("delete")

    entry = entry_of(job, event, _kept(_decide(job, event)), PIPELINE)

    assert (entry.applied, entry.moved_in) == (True, "")


def test_an_entry_says_everything_about_its_event() -> None:
    event = make_event(
        "fail", data=b'{"a": 1}', source="site", occurred=after(-5), received=after(5)
    )
    job = make_job(state="RUNNING", seq=4)

    entry = entry_of(job, event, Keep("FAILED", change=Change(cause="x")), PIPELINE)

    assert (entry.job, entry.owner, entry.seq, entry.id) == (job.id, OWNER, 5, event.id)
    assert (entry.name, entry.state, entry.outcome) == ("fail", "FAILED", "failure")
    assert (entry.applied, entry.reason, entry.change) == (True, None, Change(cause="x"))
    assert (entry.data, entry.source, entry.digest) == (event.data, "site", event.digest)
    assert (entry.received, entry.occurred) == (after(5), after(-5))


def test_a_kept_entry_says_why_and_shows_the_state_as_it_was() -> None:
    entry = entry_of(make_job(), make_event(), Keep("CREATED", Reason.OVERTAKEN), PIPELINE)

    assert (entry.applied, entry.reason, entry.state) == (False, Reason.OVERTAKEN, "CREATED")


def test_the_first_entry_belongs_to_the_owner_that_its_birth_names() -> None:
    event = make_create(creation=_STRANGERS_BIRTH)

    entry = entry_of(None, event, _kept(_decide(None, event)), PIPELINE)

    assert (entry.seq, entry.owner) == (1, STRANGER)


_NAMES = st.sampled_from([*EXECUTION.events, "delete", "rotate_token", "create", "explode"])
_SENDERS = st.sampled_from(
    [
        VerifiedSender("token", "", 1, None),
        VerifiedSender("token", "", 1, 1),
        VerifiedSender("token", "", 9, None),
        VerifiedSender("caller", OWNER),
        VerifiedSender("caller", STRANGER),
        VerifiedSender("worker", "site", 0, 1),
        VerifiedSender("worker", "site", 0, 2),
        VerifiedSender("reaper"),
    ]
)


@given(st.lists(st.tuples(_NAMES, _SENDERS), max_size=25))
def test_whatever_is_sent_a_planned_job_ends_once_and_stays_ended(
    sent: list[tuple[str, VerifiedSender]],
) -> None:
    job = _planned("CREATED", plan=_STAGE_AND_RUN)
    ended: str | None = None

    for number, (name, sender) in enumerate(sent):
        event = make_event(name, event_id=f"e-{number}")
        verdict = decide(job, event, sender, EXECUTION, _MANY)
        if isinstance(verdict, Refuse) or job.deleted:
            continue
        after_it = advance(job, entry_of(job, event, verdict, EXECUTION))
        if verdict.reason is not None:
            assert replace(after_it, seq=job.seq, updated=job.updated) == job
        job = after_it
        if ended is not None and name != "found":
            assert job.state == ended
        if EXECUTION.states[job.state].final:
            ended = job.state
            assert job.outstanding is None
        elif name == "found":
            ended = None
        assert job.attempt <= 2
