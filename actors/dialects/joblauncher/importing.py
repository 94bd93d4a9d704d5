"""
From a `joblauncher.yml` of any generation to settings, with a word on every key (pure).

Nothing is dropped in silence: what was taken, what means something else now, and what was refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

Verdict = Literal["taken", "changed", "refused"]
Tree = Mapping[str, Any]

_MS: Final = 1_000
#: Ports of the sample configuration.
_PORT: Final = 9998
_MOST_PORT: Final = 65_535
#: What the owner of requests without a key is called, unless the settings are edited.
OWNER: Final = "joblauncher"
#: Schemes of file systems and schedulers that stand for the machine itself.
_HERE: Final = ("local", "file")
#: The setting of the local queue `multi` in `xenon.preferences`.
_CONCURRENT: Final = "xenon.adaptors.local.queue.multi.maxConcurrentJobs"


class Remark(NamedTuple):
    """What became of one key."""

    key: str
    verdict: Verdict
    why: str


class Imported(NamedTuple):
    """The settings as TOML, and a remark on each key."""

    toml: str
    remarks: list[Remark]


class _Reading:
    """What was read so far."""

    def __init__(self) -> None:
        self.remarks: list[Remark] = []
        self.top: dict[str, Any] = {}
        self.local: dict[str, Any] = {}
        self.dialect: dict[str, Any] = {"enabled": True}
        self.launchers: dict[str, str] = {}
        self.credentials: dict[str, list[dict[str, Any]]] = {"macs": [], "basic": []}

    def say(self, key: str, verdict: Verdict, why: str) -> None:
        self.remarks.append(Remark(key, verdict, why))


def settings_of(document: object) -> Imported:
    """
    Give the settings that a configuration stands for.

    Raises:
        ValueError: it is no table of keys.

    """
    if not isinstance(document, Mapping):
        message = "a joblauncher.yml is a table of keys, such as xenon: and macs:"
        raise ValueError(message)  # noqa: TRY004 - what is wrong is what the file says
    reading = _Reading()
    parts: dict[str, Callable[[_Reading, str, Any], None]] = {
        "http": _http,
        "macs": _macs,
        "xenon": _xenon,
        "octopus": _xenon,
        "callback": _callback,
        "httpClient": _http_client,
        "useInsecureSSL": _insecure,
    }
    for key, value in document.items():
        read = parts.get(str(key), _unknown)
        read(reading, str(key), value)
    reading.dialect.setdefault("listen", f"127.0.0.1:{_PORT}")
    reading.dialect["owner"] = OWNER
    reading.say("(no key)", "changed", f"requests without a key are {OWNER!r}'s, on loopback only")
    return Imported(_toml(reading), reading.remarks)


def _http(reading: _Reading, key: str, value: Any) -> None:
    for name in _table(value):
        at = f"{key}.{name}"
        if name not in ("port", "bindHost"):
            why = "the admin routes answer at the same port" if name == "adminPort" else "not known"
            reading.say(at, "changed" if name == "adminPort" else "refused", why)
        else:
            reading.say(at, "taken", "listen")
    host = str(_table(value).get("bindHost", "127.0.0.1"))
    host = "127.0.0.1" if host == "localhost" else host
    reading.dialect["listen"] = f"{f'[{host}]' if ':' in host else host}:{_port(value)}"


def _port(value: Any) -> int:
    port = _table(value).get("port")
    return port if type(port) is int and 0 <= port <= _MOST_PORT else _PORT


def _macs(reading: _Reading, key: str, value: Any) -> None:
    for index, each in enumerate(_list(value)):
        mac, at = _table(each), f"{key}[{index}]"
        algorithm = mac.get("algorithm", "hmac-sha-1")
        if algorithm not in ("hmac-sha-1", "hmac-sha-256"):
            why = f"no algorithm {algorithm!r}: every callback failed to be signed with it"
            reading.say(at, "refused", why)
        elif not all(isinstance(mac.get(name), str) for name in ("id", "key", "scope")):
            reading.say(at, "refused", "id, key and scope are texts that are needed")
        else:
            names = ("id", "key", "scope")
            mac = {name: mac[name] for name in names} | {"algorithm": algorithm}
            reading.credentials["macs"].append(mac)
            has_path = mac["scope"].partition("//")[2].partition("/")[2] != ""
            why = "the path of its scope counts now" if has_path else "sent at once where in scope"
            reading.say(at, "changed", why)


def _xenon(reading: _Reading, key: str, value: Any) -> None:
    xenon = _table(value)
    for name, each in xenon.items():
        at = f"{key}.{name}"
        match name:
            case "scheduler":
                _scheduler(reading, at, each, "local")
            case "sandbox":
                _sandbox(reading, at, each)
            case "launchers":
                for launcher, parts in _table(each).items():
                    inner = _table(parts)
                    _scheduler(
                        reading, f"{at}.{launcher}.scheduler", inner.get("scheduler"), launcher
                    )
                    _sandbox(reading, f"{at}.{launcher}.sandbox", inner.get("sandbox"))
            case "defaultLauncher":
                reading.dialect["default_launcher"] = str(each)
                reading.say(at, "taken", "default_launcher")
            case "poll":
                _poll(reading, at, each)
            case "preferences" | "properties":
                _preferences(reading, at, each)
            case _:
                _unknown(reading, at, each)
    default = reading.dialect.get("default_launcher")
    if default is not None and default not in reading.launchers:
        del reading.dialect["default_launcher"]
        reading.say(f"{key}.defaultLauncher", "refused", "its launcher was not taken")


def _scheduler(reading: _Reading, at: str, value: Any, launcher: str) -> None:
    scheduler = _table(value)
    scheme = scheduler.get("scheme")
    if scheme not in _HERE:
        reading.say(at, "refused", f"jobs run on this machine; there is no site for {scheme!r} yet")
        return
    reading.launchers[launcher] = "local"
    reading.say(f"{at}.scheme", "taken", "the site local")
    if scheduler.get("queue") == "single":
        reading.local["slots"] = 1
        reading.say(f"{at}.queue", "taken", "local.slots = 1: one job at a time")
    else:
        why = "as many at a time as there are cores, or as local.slots says"
        reading.say(f"{at}.queue", "changed", why)
    for name in sorted(set(scheduler) - {"scheme", "queue", "location"}):
        reading.say(f"{at}.{name}", "refused", "options of an adaptor mean nothing here")


def _sandbox(reading: _Reading, at: str, value: Any) -> None:
    sandbox = _table(value)
    if sandbox.get("scheme") not in _HERE:
        reading.say(at, "refused", "sandboxes are on this machine")
    elif isinstance(sandbox.get("path"), str):
        reading.local["folder"] = sandbox["path"]
        reading.say(f"{at}.path", "taken", "local.folder")


def _poll(reading: _Reading, at: str, value: Any) -> None:
    for name, ms in _table(value).items():
        key = f"{at}.{name}"
        is_time = isinstance(ms, int) and not isinstance(ms, bool) and ms > 0
        if name == "interval":
            reading.say(key, "refused", "nothing is polled: ends are told when they happen")
        elif name == "cancelTimeout" and is_time:
            reading.dialect["max_run_s"] = ms / _MS
            reading.say(key, "changed", "max_run_s: counts from the start of the process, exactly")
        elif name == "deleteTimeout" and is_time:
            reading.top["keep_jobs_s"] = ms / _MS
            why = "keep_jobs_s: real time after the end, of all jobs; it never happened before"
            reading.say(key, "changed", why)
        else:
            _unknown(reading, key, ms)


def _preferences(reading: _Reading, at: str, value: Any) -> None:
    for name, each in _table(value).items():
        if name == _CONCURRENT and str(each).isdigit() and int(each) > 0:
            reading.local["slots"] = int(each)
            reading.say(f"{at}.{name}", "taken", "local.slots")
        else:
            reading.say(f"{at}.{name}", "refused", "options of an adaptor mean nothing here")


def _callback(reading: _Reading, key: str, value: Any) -> None:
    for name, each in _table(value).items():
        at = f"{key}.{name}"
        match name:
            case "basicCredentials":
                for index, one in enumerate(_list(each)):
                    _basic(reading, f"{at}[{index}]", _table(one))
            case "macs":
                _macs(reading, at, each)
            case "httpClient":
                _http_client(reading, at, each)
            case "useInsecureSSL":
                _insecure(reading, at, each)
            case _:
                _unknown(reading, at, each)


def _basic(reading: _Reading, at: str, one: Tree) -> None:
    host, port = one.get("hostname"), one.get("port")
    if not all(isinstance(one.get(name), str) for name in ("username", "password", "hostname")):
        reading.say(at, "refused", "username, password and hostname are texts that are needed")
        return
    scope = f"{one.get('scheme', 'http')}://{host}{f':{port}' if port else ''}/"
    pair = {"username": one["username"], "password": one["password"]}
    reading.credentials["basic"].append({**pair, "scope": scope})
    reading.say(at, "taken", "basic")


def _http_client(reading: _Reading, key: str, _value: Any) -> None:
    reading.say(key, "refused", "callbacks have 15 s and are tried again; see callbacks.timeout_s")


def _insecure(reading: _Reading, key: str, value: Any) -> None:
    why = "certificates are always checked; add yours to those that this machine trusts"
    reading.say(key, "refused" if value else "taken", why)


def _unknown(reading: _Reading, key: str, _value: Any) -> None:
    reading.say(key, "refused", "not known, or no value that it may have")


def _table(value: Any) -> Tree:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _toml(reading: _Reading) -> str:
    lines = _pairs(reading.top)
    lines += ["[dialects.joblauncher]", *_pairs(reading.dialect)]
    if reading.launchers and set(reading.launchers) != {"local"}:
        lines += ["[dialects.joblauncher.launchers]", *_pairs(reading.launchers)]
    for name, credentials in reading.credentials.items():
        for each in credentials:
            lines += [f"[[dialects.joblauncher.{name}]]", *_pairs(each)]
    if reading.local:
        lines += ["[local]", *_pairs(reading.local)]
    lines += [
        "# Name the directories that jobdir may be in; nothing else can be read or written.",
        "[staging]",
        "roots = []",
    ]
    return "\n".join(lines) + "\n"


def _pairs(values: Mapping[str, Any]) -> list[str]:
    """Write keys and values; JSON's texts, numbers and booleans are TOML's, too."""
    return [
        f"{json.dumps(name) if not name.isidentifier() else name} = {_value(value)}"
        for name, value in values.items()
    ] + ([""] if values else [])


def _value(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return json.dumps(int(value) if whole else value, ensure_ascii=False)
