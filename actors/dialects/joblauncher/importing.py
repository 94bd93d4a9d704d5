"""
From a `joblauncher.yml` of any generation to settings, with a word on every key (pure).

Nothing is dropped in silence: what was taken, what means something else now, and what was refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from jobwire.actors.dialects.joblauncher.reading import Reading, Remark, Tree, table_of
from jobwire.actors.dialects.joblauncher.receivers import read_basic, read_macs
from jobwire.actors.dialects.joblauncher.settings import Joblauncher
from jobwire.actors.dialects.joblauncher.toml import Block, written
from jobwire.actors.runtime.mounting import Mounting
from jobwire.actors.runtime.settings import Settings
from jobwire.schemas.errors import Misconfigured

_MS: Final = 1_000
#: Ports of the sample configuration.
_PORT: Final = 9998
#: Longest run and most slots that the settings take.
_MOST_RUN_S: Final = 365 * 86_400
_MOST_SLOTS: Final = 10_000
#: A number of jobs.
_DIGITS: Final = re.compile(r"[1-9][0-9]{0,17}")
#: What an administrator has to say: the old configuration could not.
_ROOTS: Final = """\
# Name the directories that jobdir may be in; nothing else can be read or written.
[staging]
roots = []
"""
#: What the owner of requests without a key is called, unless the settings are edited.
OWNER: Final = "joblauncher"
#: Schemes of file systems and schedulers that stand for the machine itself.
_HERE: Final = ("local", "file")
#: The setting of the local queue `multi` in `xenon.preferences`.
_CONCURRENT: Final = "xenon.adaptors.local.queue.multi.maxConcurrentJobs"


class Imported(NamedTuple):
    """The settings as TOML, and a remark on each key."""

    toml: str
    remarks: list[Remark]


def settings_of(document: object) -> Imported:
    """
    Return the settings that a configuration stands for.

    Raises:
        ValueError: it is no table of keys.

    """
    if not isinstance(document, Mapping):
        message = "a joblauncher.yml is a table of keys, such as xenon: and macs:"
        raise ValueError(message)  # noqa: TRY004 - what is wrong is what the file says
    reading = Reading()
    parts: dict[str, Callable[[Reading, str, Any], None]] = {
        "http": _http,
        "macs": read_macs,
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
    _say_what_is_new(reading)
    return Imported(_toml(reading), reading.remarks)


def _http(reading: Reading, key: str, value: Any) -> None:
    http = reading.table(key, value)
    for name in http:
        if name == "adminPort":
            reading.say(f"{key}.{name}", "changed", "the admin routes answer at the same port")
        elif name not in ("port", "bindHost"):
            _unknown(reading, f"{key}.{name}", http[name])
    host = str(http.get("bindHost", "127.0.0.1"))
    host = "127.0.0.1" if host == "localhost" else host
    listen = f"{f'[{host}]' if ':' in host else host}:{http.get('port', _PORT)}"
    try:
        is_good = Mounting(listen=listen).address is not None
    except Misconfigured:
        is_good = False
    if is_good:
        reading.dialect["listen"] = listen
    why = "listen" if is_good else f"no address; listen is 127.0.0.1:{_PORT}"
    for name in [each for each in ("port", "bindHost") if each in http]:
        reading.say(f"{key}.{name}", "taken" if is_good else "refused", why)


def _xenon(reading: Reading, key: str, value: Any) -> None:
    xenon = reading.table(key, value)
    for name, each in xenon.items():
        at = f"{key}.{name}"
        match name:
            case "scheduler":
                _scheduler(reading, at, each, "local")
            case "sandbox":
                _sandbox(reading, at, each)
            case "launchers":
                for launcher, parts in reading.table(at, each).items():
                    _launcher(reading, f"{at}.{launcher}", parts, str(launcher))
            case "defaultLauncher":
                reading.dialect["default_launcher"] = str(each)
            case "poll":
                _poll(reading, at, each)
            case "preferences" | "properties":
                _preferences(reading, at, each)
            case _:
                _unknown(reading, at, each)
    _default_launcher(reading, f"{key}.defaultLauncher")


def _default_launcher(reading: Reading, at: str) -> None:
    """Note what becomes of the default launcher once all launchers are known."""
    default = reading.dialect.get("default_launcher")
    if default in reading.launchers:
        reading.say(at, "taken", "default_launcher")
    elif default is not None:
        del reading.dialect["default_launcher"]
        reading.say(at, "refused", "its launcher was not taken")


def _launcher(reading: Reading, at: str, value: Any, launcher: str) -> None:
    parts = reading.table(at, value)
    for name, each in parts.items():
        if name == "scheduler":
            _scheduler(reading, f"{at}.{name}", each, launcher)
        elif name == "sandbox":
            _sandbox(reading, f"{at}.{name}", each)
        else:
            _unknown(reading, f"{at}.{name}", each)


def _scheduler(reading: Reading, at: str, value: Any, launcher: str) -> None:
    scheduler = table_of(value)
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
    _say_rest(reading, at, scheduler, {"scheme", "queue"})


def _sandbox(reading: Reading, at: str, value: Any) -> None:
    sandbox = table_of(value)
    if sandbox.get("scheme") not in _HERE:
        reading.say(at, "refused", "sandboxes are on this machine")
    elif isinstance(sandbox.get("path"), str):
        reading.local["folder"] = sandbox["path"]
        reading.say(f"{at}.path", "taken", "local.folder")
        _say_rest(reading, at, sandbox, {"scheme", "path"})
    else:
        reading.say(f"{at}.path", "refused", "the path of a directory is expected")


def _say_rest(reading: Reading, at: str, part: Tree, known: set[str]) -> None:
    """Refuse what only an adaptor understood; `/` is where this machine is, in any case."""
    for name in [each for each in part if each not in known]:
        if name != "location" or part[name] not in (None, "", "/"):
            reading.say(f"{at}.{name}", "refused", "options of an adaptor mean nothing here")


def _poll(reading: Reading, at: str, value: Any) -> None:
    for name, ms in reading.table(at, value).items():
        key = f"{at}.{name}"
        is_time = isinstance(ms, int) and not isinstance(ms, bool) and ms > 0
        if name == "interval":
            reading.say(key, "refused", "nothing is polled: ends are told when they happen")
        elif name == "cancelTimeout" and is_time:
            reading.dialect["max_run_s"] = min(ms / _MS, _MOST_RUN_S)
            reading.say(key, "changed", "max_run_s: counts from the start of the process, exactly")
        elif name == "deleteTimeout" and is_time:
            reading.top["keep_jobs_s"] = ms / _MS
            why = "keep_jobs_s: real time after the end, of all jobs; it never happened before"
            reading.say(key, "changed", why)
        else:
            _unknown(reading, key, ms)


def _preferences(reading: Reading, at: str, value: Any) -> None:
    for name, each in reading.table(at, value).items():
        if name == _CONCURRENT and _DIGITS.fullmatch(str(each)):
            reading.local["slots"] = min(int(each), _MOST_SLOTS)
            reading.say(f"{at}.{name}", "taken", "local.slots")
        else:
            reading.say(f"{at}.{name}", "refused", "options of an adaptor mean nothing here")


def _callback(reading: Reading, key: str, value: Any) -> None:
    for name, each in reading.table(key, value).items():
        at = f"{key}.{name}"
        match name:
            case "basicCredentials":
                for index, one in enumerate(reading.several(at, each)):
                    read_basic(reading, f"{at}[{index}]", table_of(one))
            case "macs":
                read_macs(reading, at, each)
            case "httpClient":
                _http_client(reading, at, each)
            case "useInsecureSSL":
                _insecure(reading, at, each)
            case _:
                _unknown(reading, at, each)


def _http_client(reading: Reading, key: str, _value: Any) -> None:
    reading.say(key, "refused", "callbacks have 15 s and are tried again; see callbacks.timeout_s")


def _insecure(reading: Reading, key: str, value: Any) -> None:
    why = "certificates are always checked; add yours to those that this machine trusts"
    reading.say(key, "refused" if value else "taken", why)


def _say_what_is_new(reading: Reading) -> None:
    """Note settings that the old configuration lacks, and values that depend on each other."""
    mine = Joblauncher(enabled=True, listen=reading.dialect["listen"])
    if Settings(dialects={"joblauncher": mine}).is_on_loopback:
        why = f"requests without a key are {OWNER!r}'s, on loopback only"
    else:
        why = 'others reach it: every request needs a key, and jobs run with local.enabled = "yes"'
    reading.say("(no key)", "changed", why)
    reading.say("(no key)", "changed", "staging.roots is yours to fill: no other jobdir is taken")


def _unknown(reading: Reading, key: str, _value: Any) -> None:
    reading.say(key, "refused", "not known, or no value that it may have")


def _toml(reading: Reading) -> str:
    blocks: list[Block] = [("", reading.top), ("[dialects.joblauncher]", reading.dialect)]
    if reading.launchers and set(reading.launchers) != {"local"}:
        blocks.append(("[dialects.joblauncher.launchers]", reading.launchers))
    for name, credentials in reading.credentials.items():
        blocks += [(f"[[dialects.joblauncher.{name}]]", each) for each in credentials]
    if reading.local:
        blocks.append(("[local]", reading.local))
    return written(blocks) + _ROOTS
