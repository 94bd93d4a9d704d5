"""The tree of errors: each has one status, one word, and says something."""

from __future__ import annotations

import re

import pytest

import jobwire.schemas.errors
from jobwire.schemas.errors import Invalid, JobwireError, Misconfigured, NotFound

_CLASSES = [
    each
    for each in vars(jobwire.schemas.errors).values()
    if isinstance(each, type) and issubclass(each, JobwireError) and each is not JobwireError
]
_DRAWN = re.findall(r"[├└]── (\w+)\s+(\d{3})", jobwire.schemas.errors.__doc__ or "")


def test_the_tree_is_drawn_as_it_is() -> None:
    assert [(each.__name__, str(each.status)) for each in _CLASSES] == _DRAWN


@pytest.mark.parametrize("kind", _CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_says_its_docstring_when_nothing_else_is_said(kind: type[JobwireError]) -> None:
    error = kind()

    assert error.detail == (kind.__doc__ or "").strip()
    assert str(error) == error.detail
    assert error.code == kind.default_code


def test_no_two_kinds_share_a_code() -> None:
    codes = [kind.default_code for kind in _CLASSES]

    assert len(set(codes)) == len(codes)


def test_the_facts_of_an_error_are_attributes() -> None:
    error = Invalid("too long", code="long", pointer="/a", limit=3, retry_after_s=1)

    assert (error.detail, error.code, error.pointer) == ("too long", "long", "/a")
    assert (error.limit, error.retry_after_s, error.allowed) == (3, 1, None)


def test_a_wrong_setting_is_a_fault_of_the_service_not_of_a_client() -> None:
    assert Misconfigured.status == 500
    assert NotFound.status == 404
