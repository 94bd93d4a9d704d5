"""The credentials for callbacks in a `joblauncher.yml` (pure)."""

from __future__ import annotations

from typing import Any

import msgspec

from jobwire.actors.dialects.joblauncher.credentials import check_scope
from jobwire.actors.dialects.joblauncher.reading import Reading, Tree, table_of
from jobwire.actors.dialects.joblauncher.settings import BasicCredential, MacCredential
from jobwire.schemas.errors import Misconfigured


def read_macs(reading: Reading, key: str, value: Any) -> None:
    """Read a list of MAC credentials."""
    for index, each in enumerate(reading.several(key, value)):
        mac, at = table_of(each), f"{key}[{index}]"
        algorithm = mac.get("algorithm", "hmac-sha-1")
        if algorithm not in ("hmac-sha-1", "hmac-sha-256"):
            why = f"no algorithm {algorithm!r}: every callback failed to be signed with it"
            reading.say(at, "refused", why)
        elif (lack := _lack(mac, "id", "key", "scope")) is not None:
            reading.say(at, "refused", lack)
        else:
            names = ("id", "key", "scope")
            mac = {name: mac[name] for name in names} | {"algorithm": algorithm}
            if (fault := _fault(mac, MacCredential)) is not None:
                reading.say(at, "refused", fault)
                continue
            reading.credentials["macs"].append(mac)
            has_path = mac["scope"].partition("//")[2].partition("/")[2] != ""
            why = "the path of its scope counts now" if has_path else "sent at once where in scope"
            reading.say(at, "changed", why)


def read_basic(reading: Reading, at: str, one: Tree) -> None:
    """Read one user and password."""
    host, port = one.get("hostname"), one.get("port")
    if (lack := _lack(one, "username", "password", "hostname")) is not None:
        reading.say(at, "refused", lack)
        return
    scope = f"{one.get('scheme', 'http')}://{host}{f':{port}' if port else ''}/"
    pair = {"username": one["username"], "password": one["password"]}
    if (fault := _fault({**pair, "scope": scope}, BasicCredential)) is not None:
        reading.say(at, "refused", fault)
        return
    reading.credentials["basic"].append({**pair, "scope": scope})
    reading.say(at, "taken", "basic")


def _lack(given: Tree, *names: str) -> str | None:
    """Return which text is missing or not a string: a number can be written in many ways."""
    for name in names:
        if given.get(name) is None:
            return f"{name} is missing"
        if not isinstance(given[name], str):
            return f"{name} is no text; put it in quotes"
    return None


def _fault(given: Tree, kind: type) -> str | None:
    """Return why the service could not use a credential, without a word of its secret."""
    try:
        msgspec.convert(given, kind)
        check_scope(str(given["scope"]))
    except msgspec.ValidationError as error:
        return f"{str(error).rpartition('$.')[2].strip('`')} holds what no header can carry"
    except Misconfigured:
        return "its scope is no URL such as http://host:8099/"
    return None
