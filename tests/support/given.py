"""
Servers that the environment names, to be used instead of the tests' own.

A broker's URL must name a virtual host for tests alone: it is emptied before each test, over the
HTTP interface of the broker's management plugin. Of a database server each test uses a database
of its own, `jobwire_test_...`, and drops it, whatever database the URL names.
"""

from __future__ import annotations

import os
from http import HTTPStatus
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPPasswordMgrWithPriorAuth,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

import msgspec

#: Where the management plugin listens unless `JOBWIRE_TEST_RABBITMQ_API` says otherwise.
_API_PORT: Final = 15672
_ANSWER_S: Final = 90.0


def given_broker() -> str | None:
    """Return the broker's URL, where one is set."""
    return os.environ.get("JOBWIRE_TEST_RABBITMQ")


def given_database() -> str | None:
    """Return the URL of the database server, where one is set."""
    return os.environ.get("JOBWIRE_TEST_MONGODB")


def with_database(url: str, name: str) -> str:
    """Return the URL with another database; whoever logs in does so where they did before."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.username is not None:
        query.setdefault("authSource", parts.path.removeprefix("/") or "admin")
    return urlunsplit(parts._replace(path=f"/{name}", query=urlencode(query)))


def empty(url: str) -> None:
    """
    Delete all queues and exchanges of the virtual host that a URL names.

    Raises:
        AssertionError: the management plugin does not answer, or refuses.

    """
    vhost = quote(unquote(urlsplit(url).path.removeprefix("/")) or "/", safe="")
    base = os.environ.get("JOBWIRE_TEST_RABBITMQ_API") or (
        f"http://{urlsplit(url).hostname}:{_API_PORT}"
    )
    opener = _opener(url, base)
    try:
        for kind in ("queues", "exchanges"):
            for name in _names(opener, f"{base}/api/{kind}/{vhost}"):
                _delete(opener, f"{base}/api/{kind}/{vhost}/{quote(name, safe='')}")
    except (HTTPError, URLError) as error:
        raise AssertionError(
            f"the virtual host of JOBWIRE_TEST_RABBITMQ cannot be emptied over {base}: {error}."
            " Enable the plugin rabbitmq_management, give the user the tag `management`,"
            " or set JOBWIRE_TEST_RABBITMQ_API to where the plugin listens."
        ) from error


def _opener(url: str, base: str) -> OpenerDirector:
    parts = urlsplit(url)
    passwords = HTTPPasswordMgrWithPriorAuth()
    user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
    passwords.add_password(None, base, user, password, is_authenticated=True)
    return build_opener(ProxyHandler({}), HTTPBasicAuthHandler(passwords))


def _names(opener: OpenerDirector, url: str) -> list[str]:
    """List what somebody has made; what every virtual host has from the start stays."""
    with opener.open(url, timeout=_ANSWER_S) as answer:
        rows = msgspec.json.decode(answer.read(), type=list[dict[str, object]])
    names = [str(row["name"]) for row in rows]
    return [name for name in names if name and not name.startswith("amq.")]


def _delete(opener: OpenerDirector, url: str) -> None:
    try:
        opener.open(Request(url, method="DELETE"), timeout=_ANSWER_S).close()
    except HTTPError as error:
        # A queue of a connection that has just ended went by itself.
        if error.code != HTTPStatus.NOT_FOUND:
            raise
