"""
Reads the settings: a TOML file, then the environment; an unknown key is an error with a suggestion.

`JOBWIRE_PORT=8080` sets `port`; `JOBWIRE_LIMITS__BODY_BYTES=2000000` sets `body_bytes` in
`[limits]`. A text can stand in a file of its own, as secrets do: `JOBWIRE_BROKER__URL_FILE=/path`,
or `url_file = "/path"` in `[broker]`, sets `url` in `[broker]` to what the file holds. A text that
has no default, as `url` there, stays unset where it is given empty.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec
from msgspec import Struct, defstruct, field

from jobwire.actors.runtime import plugins
from jobwire.actors.runtime.mounting import NATIVE, Mounting
from jobwire.actors.runtime.settings import Settings
from jobwire.schemas.codec import in_words
from jobwire.schemas.errors import Misconfigured

_PREFIX = "JOBWIRE_"
_IN_FILE = "_file"

#: Variables that speak to the command line or to tests, not to the settings.
_NOT_SETTINGS = {
    "JOBWIRE_URL",
    "JOBWIRE_API_KEY",
    "JOBWIRE_DATA",
    "JOBWIRE_FAILPOINTS",
    "JOBWIRE_CONFIG",
    "JOBWIRE_TEST_RABBITMQ",
    "JOBWIRE_TEST_MONGODB",
}


def load_settings(file: Path | None, environment: Mapping[str, str]) -> Settings:
    """
    Read the settings: the file first, the environment over it.

    Raises:
        Misconfigured: an unknown key (with the nearest known one), or a value of the wrong kind.

    """
    values = _read_toml(file) if file else {}
    for variable, text in environment.items():
        if variable.startswith(_PREFIX) and variable not in _NOT_SETTINGS:
            _place(values, variable.removeprefix(_PREFIX).lower().split("__"), text)
    shape = _shape(values)
    _drop_empty(values, shape)
    _read_files(values, shape, "")
    _check_keys(values, shape, "")
    _split_lists(values, shape)
    try:
        found = msgspec.convert(values, shape, strict=False)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"setting: {in_words(error)}") from error
    fields = {name: getattr(found, name) for name in Settings.__struct_fields__}
    fields["dialects"] = {
        name: getattr(found.dialects, name) for name in values.get("dialects", {})
    }
    return Settings(**fields)


def _shape(values: Mapping[str, Any]) -> type[Any]:  # made here, so nobody else knows its type
    """
    Return the settings with a record for each installed dialect in the place of the mapping.

    Only dialects that `values` name are loaded: no other one can keep the service from starting.
    """
    given = values.get("dialects")
    named = given if isinstance(given, dict) else {}
    records = {
        name: _record_of(name) if name in named else Mounting
        for name in plugins.names("dialects")
        if name != NATIVE and name.isidentifier()
    }
    dialects = defstruct(
        "Dialects",
        [(name, record, field(default_factory=record)) for name, record in records.items()],
        kw_only=True,
        forbid_unknown_fields=True,
    )
    return defstruct(
        "NamedSettings",
        [("dialects", dialects, field(default_factory=dialects))],
        bases=(Settings,),
        kw_only=True,
        frozen=True,
        forbid_unknown_fields=True,
    )


def _record_of(name: str) -> type[Mounting]:
    record = getattr(plugins.load("dialects", name), "settings", None)
    if not (isinstance(record, type) and issubclass(record, Mounting)):
        raise Misconfigured(f"what {name!r} of the family dialects leads to is not a dialect")
    return record


def _drop_empty(values: dict[str, Any], record: type[Struct]) -> None:
    """Leave unset what is given as empty text: so templates write what nobody filled in."""
    for each in msgspec.structs.fields(record):
        value = values.get(each.name)
        if isinstance(value, dict) and isinstance(each.type, type):
            _drop_empty(value, each.type)
        elif value == "" and _is_text_or_nothing(each.type):
            del values[each.name]


def _is_text_or_nothing(kind: object) -> bool:
    text, *nothing = get_args(kind) or (None,)
    plain = get_args(text)[0] if get_origin(text) is Annotated else text
    return plain is str and nothing == [type(None)]


def _read_files(values: dict[str, Any], record: type[Struct], prefix: str) -> None:
    """Put what files hold in the place of their names."""
    kinds = {each.name: each.type for each in msgspec.structs.fields(record)}
    for key, value in list(values.items()):
        kind = kinds.get(key)
        if isinstance(value, dict) and isinstance(kind, type):
            _read_files(value, kind, f"{prefix}{key}.")
        for index, (each, inner) in enumerate(_records(value, kind)):
            _read_files(each, inner, f"{prefix}{key}[{index}].")
        stem = key.removesuffix(_IN_FILE)
        if key not in kinds and stem in kinds and stem != key:
            if stem in values:
                detail = f"setting: both {prefix}{stem} and {prefix}{key} are set; remove one"
                raise Misconfigured(detail)
            values[stem] = _read_text(values.pop(key), f"{prefix}{key}")


def _read_text(file: object, setting: str) -> str:
    """Read what a file holds; its name is not repeated, for it may be the secret itself."""
    try:
        text = Path(str(file)).read_text().strip()
    except OSError as error:
        why = f"cannot read its file: {error.strerror}"
    except ValueError:
        why = "what it names is no file of UTF-8 text"
    else:
        if text:
            return text
        why = "its file is empty"
    raise Misconfigured(f"setting {setting}: {why}")


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return msgspec.toml.decode(file.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise Misconfigured(f"cannot read the settings file {file}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the settings file {file} is not TOML: {error}") from error


def _place(values: dict[str, Any], path: list[str], text: str) -> None:
    *tables, last = path
    for table in tables:
        inner: object = values.setdefault(table, {})
        if not isinstance(inner, dict):
            raise Misconfigured(f"setting: {table} is a value, so it has no field {last}")
        values = inner
    values[last] = text


def _check_keys(values: Mapping[str, Any], record: type[Struct], prefix: str) -> None:
    known = {f.name: f.type for f in msgspec.structs.fields(record)}
    for key, value in values.items():
        if key not in known:
            nearest = difflib.get_close_matches(key, known, n=1)
            hint = (
                f"; did you mean {prefix}{nearest[0]}?"
                if nearest
                else f"; known: {', '.join(sorted(known))}"
            )
            raise Misconfigured(f"unknown setting {prefix}{key}{hint}")
        nested = known[key]
        if isinstance(value, dict) and isinstance(nested, type) and issubclass(nested, Struct):
            _check_keys(value, nested, f"{prefix}{key}.")
        for index, (each, inner) in enumerate(_records(value, nested)):
            _check_keys(each, inner, f"{prefix}{key}[{index}].")


def _records(value: object, kind: object) -> Iterator[tuple[dict[str, Any], type[Struct]]]:
    """Yield the tables of a list of tables, each with what it is a record of."""
    inner = get_args(kind)[0] if get_origin(kind) is tuple else None
    if isinstance(value, list) and isinstance(inner, type) and issubclass(inner, Struct):
        yield from ((each, inner) for each in value if isinstance(each, dict))


def _split_lists(values: dict[str, Any], record: type[Struct]) -> None:
    """Read lists as the environment writes them: `a,b`."""
    for each in msgspec.structs.fields(record):
        value = values.get(each.name)
        if isinstance(value, dict) and isinstance(each.type, type):
            _split_lists(value, each.type)
        elif isinstance(value, str) and _is_list(each.type):
            values[each.name] = [item.strip() for item in value.split(",") if item.strip()]


def _is_list(kind: object) -> bool:
    return get_origin(kind) is tuple or any(get_origin(part) is tuple for part in get_args(kind))
