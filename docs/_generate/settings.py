"""`reference/settings.md`: every setting, read from the records that define them."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.inspect import StructType

from _generate.dialects import plugins
from _generate.fields import default, fields, kind, meanings
from _generate.markdown import note, table
from jobwire.actors.runtime.settings import Settings, SiteSettings

_INTRODUCTION = """\
# Settings

Every setting has a default, so you can start without any.
Settings are read from a TOML file: `jobwire up --config FILE`, `jobwire serve --config FILE`, or \
the variable `JOBWIRE_CONFIG`.
The environment takes precedence over the file, and options of the command line over both.
With an unknown setting the service does not start; the message names the nearest known one.

```toml
port = 8080
public_url = "https://jobs.example.org"

[limits]
body_bytes = 2_000_000

[staging]
roots = ["/data/shared", "/home/{owner}"]
```

The same in the environment is `JOBWIRE_PORT=8080`, `JOBWIRE_PUBLIC_URL=https://jobs.example.org` \
and `JOBWIRE_LIMITS__BODY_BYTES=2000000`, with two underscores between table and name.
A list is written with commas: `JOBWIRE_STAGING__ROOTS=/data/shared,/home/{owner}`.

## Secrets in files

Any text setting can be read from a separate file: add `_file` to its name, or `_FILE` to its \
variable.
This keeps passwords out of the settings and out of lists of processes.

```toml
[broker]
url_file = "/run/secrets/broker-url"
```

`JOBWIRE_BROKER__URL_FILE=/run/secrets/broker-url` is the same.
The value is the content of the file, without blanks and line ends around it.
If a setting is given in both ways, or the file cannot be read, the service does not start.

"""

_COMMAND_LINE = """\
## Variables of the command line

These are not settings of the service: commands use them to find it.

| variable | meaning |
| --- | --- |
| `JOBWIRE_DATA` | data folder; default `$XDG_DATA_HOME/jobwire`, else `~/.local/share/jobwire` |
| `JOBWIRE_CONFIG` | settings file of `jobwire up` and `jobwire serve` |
| `JOBWIRE_URL` | base URL of a service; default: the one that runs on the data folder |
| `JOBWIRE_API_KEY` | API key; default: the first key in the data folder |
"""


_SITES = """\
## Further sites (tables `[[sites]]`)

Jobs run at the site `local` unless their `spec.site` names another one.
Each further site is a table of its own in the settings file, with its own folder and limits.
It is on this machine, and runs jobs only where `local` does, unless a plug-in for another host is \
installed ([more sites](../how-to/run-jobs.md#more-sites)).
A site whose host is away keeps only its own jobs waiting.

"""

#: What stands above the table of each group of settings.
_GROUPS = {
    "broker": (
        "Broker",
        """\
With a broker the actors run as [separate processes](../how-to/many-machines.md), which need a \
shared database.""",
    ),
    "database": (
        "Database",
        "Without a URL the store is one SQLite file in the data folder.",
    ),
    "health": (
        "Health of other processes",
        """\
A gateway reports its health on its own port.
Every other process of `jobwire serve` reports it here.
On one machine each process needs a different port.""",
    ),
    "limits": (
        "Limits",
        "A request that exceeds a limit gets a clear answer; see [errors](errors.md).",
    ),
    "local": (
        "Jobs on this machine",
        """\
These settings limit the [jobs that the service runs](jobs.md) on its own machine.
With `auto` they run only while the service listens on loopback, because they run as the same user \
as the service.""",
    ),
    "staging": (
        "Files of jobs",
        "[Files are staged](../how-to/stage-files.md) from and to these directories only.",
    ),
    "callbacks": (
        "Callbacks",
        "How [callbacks](../how-to/receive-callbacks.md) are sent, and where they may go.",
    ),
    "dialects": (
        "Compatible interfaces",
        """\
The gateway can also serve the HTTP interfaces of other systems: below `/compat/` and, for clients \
that cannot put a path before their own, at the root of a separate port.""",
    ),
}


def settings_page() -> str:
    """Write the page."""
    groups = [
        _group(field.name, field.type.cls)
        for field in fields(Settings)
        if isinstance(field.type, StructType)
    ]
    return "\n".join(
        [
            note("actors/runtime/settings.py"),
            _INTRODUCTION + "## The service\n\n" + _table(Settings, ""),
            *groups,
            _SITES + _table_of_sites(),
            _dialects(),
            _COMMAND_LINE,
        ]
    )


def _group(name: str, record: type[Struct]) -> str:
    return _head(name) + _table(record, f"{name}.")


def _dialects() -> str:
    tables = [
        f"### {each.title} (table `[dialects.{each.name}]`)\n\n"
        + _table(each.settings, f"dialects.{each.name}.")
        for each in plugins()
    ]
    return _head("dialects") + "\n".join(tables)


def _table_of_sites() -> str:
    rows = ([name, *rest] for name, _, *rest in _rows(SiteSettings, ""))
    return table(["setting", "type", "default", "meaning"], rows)


def _head(name: str) -> str:
    title, text = _GROUPS[name]
    return f"## {title} (table `[{name}]`)\n\n{text}\n\n"


def _table(record: type[Struct], prefix: str) -> str:
    rows = list(_rows(record, prefix))
    return table(["setting", "environment", "type", "default", "meaning"], rows)


def _rows(record: type[Struct], prefix: str) -> Iterator[list[str]]:
    texts = dict(meanings(record))
    for field in fields(record):
        if isinstance(field.type, StructType) or (prefix, field.name) == ("", "dialects"):
            continue
        variable = "JOBWIRE_" + (prefix + field.name).upper().replace(".", "__")
        yield [
            f"`{prefix}{field.name}`",
            f"`{variable}`",
            kind(field.type),
            default(field),
            texts[field.name],
        ]
