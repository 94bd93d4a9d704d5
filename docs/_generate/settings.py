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

Every setting has a default, so none is needed.
Settings come from a TOML file, named with `jobwire up --config FILE` (`jobwire serve` has the
option, too) or in `JOBWIRE_CONFIG`.
The environment stands above the file, and options of the command line above both.
A setting that does not exist stops the start, with the nearest one that does.

```toml
port = 8080
public_url = "https://jobs.example.org"

[limits]
body_bytes = 2_000_000

[staging]
roots = ["/data/shared", "/home/{owner}"]
```

The same in the environment is `JOBWIRE_PORT=8080`, `JOBWIRE_PUBLIC_URL=https://jobs.example.org`
and `JOBWIRE_LIMITS__BODY_BYTES=2000000`, with two underscores between table and name.
A list is written with commas: `JOBWIRE_STAGING__ROOTS=/data/shared,/home/{owner}`.

## Secrets in files

A setting can stand in a file of its own: add `_file` to its name, `_FILE` to its variable.
That keeps passwords out of the settings and out of lists of processes.

```toml
[broker]
url_file = "/run/secrets/broker-url"
```

`JOBWIRE_BROKER__URL_FILE=/run/secrets/broker-url` is the same.
The setting is what the file holds, without blanks and line ends around it.
A setting that is given in both ways stops the start, and so does a file that cannot be read.

"""

_COMMAND_LINE = """\
## Variables of the command line

These are no settings of the service: commands read them to find it.

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
Each further site is a table of its own in the settings file, with its own limits; what it is
reached by and what starts jobs there are parts of the families `hosts` and `batch_systems`, which
[other packages](../explanation/architecture.md) may bring.
A site whose host is away keeps only its own jobs waiting.

"""

#: What stands above the table of each group of settings.
_GROUPS = {
    "broker": (
        "Broker",
        """\
With a broker the actors run in [processes of their own](../how-to/many-machines.md), and need a
database that they share.""",
    ),
    "database": (
        "Database",
        "Without a URL everything is in one SQLite file in the data folder.",
    ),
    "health": (
        "Health of other processes",
        """\
A gateway tells how it is at its own port.
Every other process of `jobwire serve` does so here.
On one machine each needs a port of its own.""",
    ),
    "limits": (
        "Limits",
        "Every limit has a clear answer when it is passed; see [errors](errors.md).",
    ),
    "local": (
        "Jobs on this machine",
        """\
These bound the [jobs that the service runs](jobs.md) on its own machine.
With `auto` they run only while the service listens on loopback, because they run as the same user
as the service.""",
    ),
    "staging": (
        "Files of jobs",
        "[Files in and out](../how-to/stage-files.md) come from these directories and no others.",
    ),
    "callbacks": (
        "Callbacks",
        "How [callbacks](../how-to/receive-callbacks.md) are sent, and where they may go.",
    ),
    "dialects": (
        "Languages of other systems",
        """\
The gateway also speaks what clients of other systems speak, below a path of its own and, for
clients that cannot take a path before their own, at the root of a port of its own.""",
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
