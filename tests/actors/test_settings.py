"""Settings: a file, the environment over it, and a clear word about what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobwire.actors.dialects.joblauncher.settings import Joblauncher
from jobwire.actors.runtime.configuration import load_settings
from jobwire.actors.runtime.settings import Limits, Settings
from jobwire.schemas.errors import Misconfigured


def _file(folder: Path, text: str | bytes) -> Path:
    file = folder / "jobwire.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_without_anything_the_defaults_hold() -> None:
    assert load_settings(None, {}) == Settings()


def test_a_file_sets_what_it_names(tmp_path: Path) -> None:
    file = _file(tmp_path, 'port = 99\nhost = "0.0.0.0"\n[limits]\nbody_bytes = 5\n')

    settings = load_settings(file, {})

    assert settings == Settings(port=99, host="0.0.0.0", limits=Limits(body_bytes=5))


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    file = _file(tmp_path, "port = 99\n[limits]\nbody_bytes = 5\ndata_bytes = 6\n")
    environment = {
        "JOBWIRE_PORT": "100",
        "JOBWIRE_LIMITS__BODY_BYTES": "7",
        "JOBWIRE_REAPER_INTERVAL_S": "0.5",
        "HOME": "/nowhere",
    }

    settings = load_settings(file, environment)

    limits = Limits(body_bytes=7, data_bytes=6)
    assert settings == Settings(port=100, reaper_interval_s=0.5, limits=limits)


@pytest.mark.parametrize(
    "name",
    ["JOBWIRE_URL", "JOBWIRE_API_KEY", "JOBWIRE_DATA", "JOBWIRE_FAILPOINTS", "JOBWIRE_CONFIG"],
)
def test_variables_of_the_command_line_are_no_settings(name: str) -> None:
    assert load_settings(None, {name: "x"}) == Settings()


_WRONG_FILES: dict[str, tuple[str | bytes, str]] = {
    "an unknown key": ("prot = 1", "unknown setting prot; did you mean port?"),
    "an unknown key like no other": ("zzzzzz = 1", "unknown setting zzzzzz; known: "),
    "an unknown key in a table": (
        "[limits]\nbody_byte = 1",
        "unknown setting limits.body_byte; did you mean limits.body_bytes?",
    ),
    "a text for a number": ('port = "x"', "port"),
    "a port out of range": ("port = 65536", "65535"),
    "nothing where there must be something": ("shards = 0", "shards"),
    "a value for a table": ("limits = 3", "limits"),
    "a name that no job could name its site by": (
        '[[sites]]\nname = "My Site"',
        "a lower-case letter, then such letters, digits, dashes and underscores",
    ),
    "no TOML": ("port = = 1", "is not TOML"),
    "no UTF-8": (b"host = '\xff'", "is not TOML"),
}


@pytest.mark.parametrize(("text", "word"), _WRONG_FILES.values(), ids=_WRONG_FILES.keys())
def test_a_wrong_file_is_refused_with_a_word_on_what_is_wrong(
    tmp_path: Path, text: str | bytes, word: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        load_settings(_file(tmp_path, text), {})

    assert word in caught.value.detail
    assert "^" not in caught.value.detail  # no regular expression


_WRONG_ENVIRONMENTS: dict[str, tuple[dict[str, str], str]] = {
    "an unknown variable": ({"JOBWIRE_PROT": "1"}, "did you mean port?"),
    "an unknown one in a table": ({"JOBWIRE_LIMITS__X": "1"}, "unknown setting limits.x"),
    "a text for a number": ({"JOBWIRE_PORT": "http"}, "port"),
    "nothing": ({"JOBWIRE_PORT": ""}, "port"),
    "a part of a value": ({"JOBWIRE_PORT": "1", "JOBWIRE_PORT__X": "2"}, "port"),
    "a value for a table": ({"JOBWIRE_LIMITS": "5"}, "limits"),
    "not a number": ({"JOBWIRE_ANSWER_S": "nan"}, "answer_s"),
}


@pytest.mark.parametrize(
    ("environment", "word"), _WRONG_ENVIRONMENTS.values(), ids=_WRONG_ENVIRONMENTS.keys()
)
def test_a_wrong_variable_is_refused_with_a_word_on_what_is_wrong(
    environment: dict[str, str], word: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        load_settings(None, environment)

    assert word in caught.value.detail


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"absent\.toml"):
        load_settings(tmp_path / "absent.toml", {})


def test_a_list_is_written_with_commas_in_the_environment() -> None:
    settings = load_settings(
        None,
        {
            "JOBWIRE_STAGING__ROOTS": "/data/{owner}, /scratch",
            "JOBWIRE_CALLBACKS__SCHEDULE_S": "0,1.5",
            "JOBWIRE_CALLBACKS__ALLOW": "",
        },
    )

    assert settings.staging.roots == ("/data/{owner}", "/scratch")
    assert list(settings.callbacks.schedule_s) == [0, 1.5]
    assert settings.may_call == ()


@pytest.mark.parametrize(
    ("host", "enabled", "runs"),
    [
        ("127.0.0.1", "auto", True),
        ("localhost", "auto", True),
        ("::1", "auto", True),
        ("0.0.0.0", "auto", False),
        ("jobs.example.org", "auto", False),
        ("127.0.0.1", "no", False),
        ("0.0.0.0", "yes", True),
    ],
)
def test_jobs_run_here_only_while_nobody_else_can_reach_the_service(
    host: str, enabled: str, runs: bool
) -> None:
    variables = {"JOBWIRE_HOST": host, "JOBWIRE_LOCAL__ENABLED": enabled}

    assert load_settings(None, variables).runs_jobs is runs


@pytest.mark.parametrize(
    ("host", "allow", "networks"),
    [
        ("127.0.0.1", None, ("127.0.0.0/8",)),
        ("0.0.0.0", None, ()),
        ("127.0.0.1", "10.0.0.0/8", ("10.0.0.0/8",)),
        ("127.0.0.1", "", ()),
    ],
)
def test_callbacks_reach_this_machine_only_while_nobody_else_reaches_the_service(
    host: str, allow: str | None, networks: tuple[str, ...]
) -> None:
    variables = {"JOBWIRE_HOST": host}
    if allow is not None:
        variables["JOBWIRE_CALLBACKS__ALLOW"] = allow

    assert load_settings(None, variables).may_call == networks


def test_behind_a_proxy_nothing_is_open_by_itself() -> None:
    settings = load_settings(None, {"JOBWIRE_PUBLIC_URL": "https://jobs.example.org"})

    assert (settings.runs_jobs, settings.may_call) == (False, ())


def test_a_text_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "broker-url"
    secret.write_text("amqp://a:b@broker/\n")
    file = _file(tmp_path, f'[database]\nurl_file = "{secret}"\n')

    settings = load_settings(file, {"JOBWIRE_BROKER__URL_FILE": str(secret)})

    assert settings.broker.url == settings.database.url == "amqp://a:b@broker/"


def test_a_setting_whose_own_name_ends_like_that_is_a_path(tmp_path: Path) -> None:
    settings = load_settings(None, {"JOBWIRE_SERVICE_KEYS_FILE": str(tmp_path / "keys")})

    assert settings.service_keys_file == str(tmp_path / "keys")


def test_a_url_that_is_given_where_a_file_is_meant_is_not_repeated() -> None:
    with pytest.raises(Misconfigured) as caught:
        load_settings(None, {"JOBWIRE_BROKER__URL_FILE": "amqp://me:hush@broker/"})

    assert "broker.url_file" in caught.value.detail
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff"], ids=["empty", "blank", "no text"])
def test_a_file_that_holds_nothing_to_use_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "url"
    file.write_bytes(content)

    with pytest.raises(Misconfigured, match=r"broker\.url_file"):
        load_settings(None, {"JOBWIRE_BROKER__URL_FILE": str(file)})


def test_empty_text_leaves_unset_what_has_no_default(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("mongodb://x/jobs")
    environment = {
        "JOBWIRE_BROKER__URL": "",
        "JOBWIRE_DATABASE__URL": "",
        "JOBWIRE_DATABASE__URL_FILE": str(secret),
        "JOBWIRE_API_KEY_FILE": "",
    }

    settings = load_settings(None, environment)

    assert (settings.broker.url, settings.api_key_file) == (None, None)
    assert settings.database.url == "mongodb://x/jobs"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        (
            {"JOBWIRE_BROKER__URL_FILE": "/nonexistent/url"},
            "broker.url_file: cannot read its file: No such file",
        ),
        (
            {"JOBWIRE_BROKER__URL_FILE": "/nonexistent/url", "JOBWIRE_BROKER__URL": "amqp://x/"},
            "both broker.url and broker.url_file are set",
        ),
        ({"JOBWIRE_BROKER__URI_FILE": "/x"}, "unknown setting broker.uri_file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(environment: dict[str, str], words: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        load_settings(None, environment)

    assert words in caught.value.detail


@pytest.mark.parametrize(
    ("variables", "is_private"),
    [
        ({"LISTEN": "127.0.0.1:9998"}, True),
        ({"LISTEN": "[::1]:9998"}, True),
        ({"LISTEN": "0.0.0.0:9998"}, False),
        ({"PUBLIC_URL": "https://jobs.example.org"}, False),
        ({"LISTEN": "0.0.0.0:9998", "ENABLED": "false"}, True),
    ],
)
def test_a_port_of_a_dialect_counts_when_it_is_judged_who_reaches_the_service(
    variables: dict[str, str], is_private: bool
) -> None:
    head = "JOBWIRE_DIALECTS__PIPELINEJOBS__"
    given = {head + name: value for name, value in {"ENABLED": "true", **variables}.items()}

    assert load_settings(None, given).is_private is is_private


@pytest.mark.parametrize("listen", ["9998", "127.0.0.1", "::1:9998", "here:99999", "here:port"])
def test_an_address_of_a_dialect_that_is_none_is_refused(listen: str) -> None:
    mounting = load_settings(None, {"JOBWIRE_DIALECTS__PIPELINEJOBS__LISTEN": listen})

    with pytest.raises(Misconfigured, match="host:port"):
        _ = mounting.dialects["pipelinejobs"].address


def test_secrets_of_credentials_stand_in_files_and_mistakes_in_them_are_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "key").write_text("489dks293j39\n")
    file = tmp_path / "jobwire.toml"
    table = '[[dialects.joblauncher.macs]]\nid = "a"\nscope = "http://h:1/"\n'
    file.write_text(f'{table}key_file = "{tmp_path}/key"\n')

    joblauncher = load_settings(file, {}).dialects["joblauncher"]

    assert isinstance(joblauncher, Joblauncher)
    (mac,) = joblauncher.macs

    assert (mac.id, mac.key, mac.algorithm) == ("a", "489dks293j39", "hmac-sha-1")
    file.write_text(f'{table}kye = "489dks293j39"\n')
    with pytest.raises(Misconfigured, match=r"macs\[0\]\.kye; did you mean .*key"):
        load_settings(file, {})
    file.write_text(f'{table}key = "k"\nalgorithm = "md5"\n')
    with pytest.raises(Misconfigured, match="md5"):
        load_settings(file, {})
