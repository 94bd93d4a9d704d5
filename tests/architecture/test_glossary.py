"""The glossary explains each term of our own, and none that left."""

from __future__ import annotations

import re
from functools import cache
from typing import Final, get_args

import pytest

from jobwire.actors.system import ACTORS
from jobwire.schemas.lifecycles import BUILT_IN
from jobwire.schemas.outcomes import Verdict
from tests.architecture.sources import ROOT, modules

_GLOSSARY: Final = (ROOT / "docs" / "explanation" / "glossary.md").read_text()
_ENTRY: Final = re.compile(r"^((?:\*\*[^*]+\*\*(?:, )?)+): \S", re.MULTILINE)
_ENTRIES: Final = [
    term for entry in _ENTRY.findall(_GLOSSARY) for term in re.findall(r"\*\*([^*]+)\*\*", entry)
]

#: Folders of interchangeable parts, each with the word for one of them.
_FAMILIES: Final = {
    "batch_systems": "batch system",
    "dialects": "dialect",
    "filesystems": "file system",
    "hosts": "host",
    "operations": "operation",
    "stores": "store",
    "transports": "transport",
    "workers": "worker",
    "roles": "role",
}
#: Words of our own that a reader of the code meets, each as the code spells it.
#: Add a term here when you introduce one; take it out when it leaves.
_TERMS: Final = {
    "attempt": "Attempt",
    "batch": "CommittedBatch",
    "broadcast": "broadcast",
    "callback": "Callback",
    "category": "Category",
    "cause": "Cause",
    "command": "Command",
    "data folder": "DataFolder",
    "dead letter": "dead",
    "deferred event": "DeferredEvent",
    "delivery": "Delivery",
    "due": "due",
    "endpoint": "Endpoints",
    "entry": "Entry",
    "event": "Event",
    "failpoint": "failpoint",
    "generation": "generation",
    "given up": "gave_up",
    "history": "history",
    "intent": "intent",
    "lane": "lane",
    "latch": "latch",
    "launcher": "launcher",
    "leader": "LeaderRole",
    "lease": "Leases",
    "lifecycle": "Lifecycle",
    "nonce": "Nonce",
    "outcome": "Outcome",
    "overtaken": "overtaken",
    "packet": "Packet",
    "place": "place",
    "position": "position",
    "principal": "Principal",
    "projection": "projection",
    "quota": "Quota",
    "reaper": "Reaper",
    "receipt": "receipts",
    "role": "role",
    "root": "StagingRoots",
    "sandbox": "SandboxRoot",
    "scope": "Scope",
    "secret": "Secret",
    "seq": "seq",
    "service key": "ServiceKey",
    "shard": "ShardAssignment",
    "shim": "shim",
    "site": "Site",
    "spec": "Spec",
    "stage in": "StageIn",
    "stage out": "StageOut",
    "stale": "stale",
    "subscription": "Subscription",
    "token": "token",
    "tombstone": "tombstone",
    "transition": "Transition",
    "try": "tries",
    "walltime": "walltime",
    "withdrawn": "Withdrawals",
}


@cache
def _code() -> str:
    """Return the source of the product."""
    return "\n".join(module.text for module in modules("actors", "schemas"))


@cache
def _text() -> str:
    """Return all pages but the glossary, and the source, without capitals and hyphens."""
    files = sorted((ROOT / "docs").rglob("*.md"))
    pages = [file.read_text() for file in files if file.name != "glossary.md"]
    return _plain("\n".join([*pages, _code()]))


def _plain(text: str) -> str:
    return text.lower().replace("-", " ")


@pytest.mark.parametrize(
    "term",
    [
        *_TERMS,
        *_FAMILIES.values(),
        *(name.replace("-", " ") for name in ACTORS),
        *get_args(Verdict),
        *BUILT_IN,
    ],
)
def test_a_term_of_ours_has_an_entry(term: str) -> None:
    assert term in _ENTRIES


@pytest.mark.parametrize(("term", "spelling"), _TERMS.items())
def test_a_listed_term_is_one_that_the_code_uses(term: str, spelling: str) -> None:
    assert re.search(rf"\b{spelling}\b", _code()), f"{term} left: remove it here and its entry"


@pytest.mark.parametrize("family", _FAMILIES)
def test_a_listed_family_is_a_folder(family: str) -> None:
    assert (ROOT / "actors" / family).is_dir()


@pytest.mark.parametrize("term", _ENTRIES)
def test_a_term_with_an_entry_is_used_somewhere(term: str) -> None:
    assert re.search(rf"\b{_plain(term).removesuffix('y')}", _text())


def test_entries_are_unique_and_in_the_order_of_the_alphabet() -> None:
    assert sorted(set(_ENTRIES), key=str.lower) == _ENTRIES


def test_entries_are_found() -> None:
    assert len(_ENTRIES) == _GLOSSARY.count("**") // 2
