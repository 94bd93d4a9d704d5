"""What a delivery is, and what a callback may ask for."""

from __future__ import annotations

import base64

import msgspec
import pytest

from jobwire.schemas.deliveries import (
    MOST_ATTEMPTS,
    Attempt,
    Callback,
    Delivery,
    Interest,
    check_secret,
)
from jobwire.schemas.errors import Invalid
from jobwire.schemas.lifecycle import JobOutcome
from tests.support.factories import NOW, OWNER, after, job_id


def _delivery() -> Delivery:
    return Delivery(
        id="msg_1",
        owner=OWNER,
        job=job_id(),
        seq=2,
        event="finish",
        state="FINISHED",
        subscription="sub_1",
        url="https://example.org/",
        endpoint="https://example.org alice",
        body=b"{}",
        created=NOW,
        status="pending",
        next_at=NOW,
    )


@pytest.mark.parametrize(
    ("interest", "name", "entered", "outcome", "wanted"),
    [
        (Interest("s"), "run", "RUNNING", None, True),
        (Interest("s"), "update", None, None, False),
        (Interest("s", events=("update",)), "update", None, None, True),
        (Interest("s", events=("update",)), "run", "RUNNING", None, False),
        (Interest("s", states=("RUNNING",)), "run", "RUNNING", None, True),
        (Interest("s", states=("RUNNING",)), "finish", "FINISHED", "success", False),
        (Interest("s", outcomes=("failure",)), "fail", "FAILED", "failure", True),
        (Interest("s", outcomes=("failure",)), "finish", "FINISHED", "success", False),
        (Interest("s", outcomes=("failure",)), "update", None, "failure", False),
        (Interest("s", ("RUNNING",), ("failure",)), "fail", "FAILED", "failure", True),
    ],
)
def test_a_subscription_is_told_of_what_it_asked_for(
    interest: Interest, name: str, entered: str | None, outcome: JobOutcome | None, wanted: bool
) -> None:
    assert interest.wants(name, entered=entered, outcome=outcome) is wanted


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_of_the_right_size_signs(size: int) -> None:
    secret = "whsec_" + base64.b64encode(b"k" * size).decode()

    assert check_secret(secret, "/secret") == secret


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "whsec_" + base64.b64encode(b"k" * 23).decode(),
        "whsec_" + base64.b64encode(b"k" * 65).decode(),
        base64.b64encode(b"k" * 32).decode(),
        "whsec_" + "?" * 44,
        "whsec_" + "k" * 41,
        "whsec_whsec_" + base64.b64encode(b"k" * 32).decode(),
        "whsec_" + base64.b64encode(b"k" * 32).decode() + "\n",
        "whsec_" + "\u00e9" * 44,
    ],
)
def test_a_secret_that_cannot_sign_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_secret(secret, "/callbacks/0/secret")

    assert (refused.value.code, refused.value.pointer) == ("bad_secret", "/callbacks/0/secret")
    assert len(secret) < 10 or secret not in refused.value.detail


def test_a_try_is_counted_and_remembered() -> None:
    attempt = Attempt(after(1), 0.5, 500, "answered 500")

    delivery = _delivery().after(attempt)

    assert (delivery.tries, delivery.attempts) == (1, (attempt,))
    assert delivery.ended_at() is None


def test_of_many_tries_the_newest_are_remembered() -> None:
    delivery = _delivery()
    for number in range(MOST_ATTEMPTS + 5):
        delivery = delivery.after(Attempt(after(number), 0.0, 500, None))

    assert delivery.tries == MOST_ATTEMPTS + 5
    assert len(delivery.attempts) == MOST_ATTEMPTS
    assert delivery.attempts[-1].at == after(MOST_ATTEMPTS + 4)


def test_a_delivery_has_ended_with_its_last_try_or_with_its_birth() -> None:
    given_up = msgspec.structs.replace(_delivery(), status="gave_up", next_at=None)

    assert given_up.ended_at() == NOW
    assert given_up.after(Attempt(after(9), 0.0, None, None)).ended_at() == after(9)


def test_what_is_asked_for_again_keeps_its_id_and_its_tries_and_begins_its_schedule_anew() -> None:
    tried = _delivery().after(Attempt(after(1), 0.0, 500, None))
    given_up = msgspec.structs.replace(tried, status="gave_up", gave_up="tries_ended", next_at=None)

    again = given_up.asked_again(after(60))

    assert (again.id, again.attempts) == (tried.id, tried.attempts)
    assert (again.status, again.gave_up, again.next_at) == ("pending", None, after(60))
    assert (again.tries, again.by_hand) == (0, True)


@pytest.mark.parametrize(
    "callback",
    [
        {},
        {"url": ""},
        {"url": "https://example.org/" + "x" * 2048},
        {"url": "https://example.org/", "stats": ["RUNNING"]},
        {"url": "https://example.org/", "outcomes": ["triumph"]},
        {"url": "https://example.org/", "states": ["has a blank"]},
    ],
)
def test_a_callback_of_the_wrong_shape_is_refused(callback: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(callback, Callback)
