"""Fingerprints of what an event says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobwire.schemas.events import payload_digest

_NAMES = st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))


@given(_NAMES, st.binary(), _NAMES, st.binary())
def test_two_events_have_one_fingerprint_only_when_they_say_the_same(
    name: str, data: bytes, other_name: str, other_data: bytes
) -> None:
    same = (name, data) == (other_name, other_data)

    assert (payload_digest(name, data) == payload_digest(other_name, other_data)) == same


def test_a_fingerprint_has_128_bits() -> None:
    assert len(payload_digest("run", b"")) == 16
