"""What a submission leaves when it cannot be carried through."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import InDoubt
from schemas.identifiers import random_job_id
from schemas.principals import Principal
from tests.support.service import running

_MAKER = Principal("launcher", frozenset({"read", "jobs", "events"}))
_JOB = random_job_id(bytes(16))


async def test_a_cancel_that_cannot_be_made_safe_says_which_job_may_run(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        parts = service.system._parts
        await parts.transport.close()

        with pytest.raises(InDoubt) as caught:
            await parts.operations.controls.withdraw(_MAKER, _JOB, 0.2)

    assert (caught.value.code, caught.value.status) == ("in_doubt", 503)
    assert _JOB in caught.value.detail


async def test_a_job_that_was_never_made_is_taken_back_in_peace(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        await service.system._parts.operations.controls.withdraw(_MAKER, _JOB, 5.0)

        assert (await service.admin.get(f"/v1/jobs/{_JOB}")).status == 404
