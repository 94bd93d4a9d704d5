"""`reference/settings.md`: every setting, read from the records that define them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.inspect import FloatType, IntType, NoneType, StrType, StructType, Type, UnionType

from _generate.markdown import note, table
from actors.runtime.settings import Limits, Settings

_INTRODUCTION = """\
# Settings

Every setting has a default, so none is needed.
Settings come from a TOML file, named with `jobwire up --config FILE` or in `JOBWIRE_CONFIG`.
The environment stands above the file, and options of the command line above both.
A setting that does not exist stops the start, with the nearest one that does.

```toml
port = 8080
public_url = "https://jobs.example.org"

[limits]
body_bytes = 2_000_000
```

The same in the environment is `JOBWIRE_PORT=8080`, `JOBWIRE_PUBLIC_URL=https://jobs.example.org`
and `JOBWIRE_LIMITS__BODY_BYTES=2000000`, with two underscores between table and name.

"""

_COMMAND_LINE = """\
## Variables of the command line

These are no settings of the service: commands read them to find it.

| variable | meaning |
| --- | --- |
| `JOBWIRE_DATA` | data folder; default `$XDG_DATA_HOME/jobwire`, else `~/.local/share/jobwire` |
| `JOBWIRE_CONFIG` | settings file of `jobwire up` |
| `JOBWIRE_URL` | base URL of a service; default: the one that runs on the data folder |
| `JOBWIRE_API_KEY` | API key; default: the first key in the data folder |
"""


def settings_page() -> str:
    """Write the page."""
    return (
        note("actors/runtime/settings.py")
        + "\n"
        + _INTRODUCTION
        + "## The service\n\n"
        + _table(Settings, "")
        + "\n## Limits (table `[limits]`)\n\n"
        + "Every limit has a clear answer when it is passed; see [errors](errors.md).\n\n"
        + _table(Limits, "limits.")
        + "\n"
        + _COMMAND_LINE
    )


def _table(record: type[Struct], prefix: str) -> str:
    meanings = dict(_meanings(record))
    info = msgspec.inspect.type_info(record)
    assert isinstance(info, StructType)
    rows = []
    for field in info.fields:
        if isinstance(field.type, StructType):
            continue
        variable = "JOBWIRE_" + (prefix + field.name).upper().replace(".", "__")
        rows.append(
            [
                f"`{prefix}{field.name}`",
                f"`{variable}`",
                _kind(field.type),
                "" if field.default in (None, NODEFAULT) else f"`{field.default}`",
                meanings[field.name],
            ]
        )
    return table(["setting", "environment", "type", "default", "meaning"], rows)


def _meanings(record: type[Struct]) -> Iterator[tuple[str, str]]:
    """Give the text that stands below each field."""
    body = ast.parse(inspect.getsource(record)).body[0]
    assert isinstance(body, ast.ClassDef)
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(value=ast.Constant(str(words))):
                yield name, " ".join(words.split())


def _kind(kind: Type) -> str:
    match kind:
        case IntType(ge=int(least), le=int(most)):
            return f"integer, {least} to {most}"
        case IntType(ge=int(least)):
            return f"integer, at least {least}"
        case FloatType(ge=float() | int() as least):
            return f"number, at least {least:g}"
        case FloatType(gt=float() | int() as bound):
            return f"number, over {bound:g}"
        case StrType():
            return "text"
        case UnionType(types):
            return _kind(next(each for each in types if not isinstance(each, NoneType)))
        case _:
            message = f"the page does not know how to write the type {kind!r}"
            raise TypeError(message)
