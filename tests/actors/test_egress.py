"""The guard of outbound HTTP: which addresses may be called, in every spelling."""

from __future__ import annotations

from ipaddress import ip_address

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from jobwire.actors.runtime.egress import Denied, Egress
from jobwire.schemas.errors import Invalid, Misconfigured
from tests.support.receiver import receiving, with_headers
from tests.support.teller import LOOPBACK, Leading

_PUBLIC = Egress(())

_FORBIDDEN = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "192.88.99.1",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::808:808",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "2001:0:7f00:1::1",
    "2001:db8::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "100::1",
    "5f00::1",
]
_ALLOWED = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


@pytest.mark.parametrize("address", _FORBIDDEN)
def test_an_address_that_is_not_public_is_not_called(address: str) -> None:
    assert not _PUBLIC.admits(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(Invalid) as refused:
        _PUBLIC.check_url(f"https://{host}/hook", "/callbacks/0/url")
    assert refused.value.code == "forbidden_address"
    assert refused.value.pointer == "/callbacks/0/url"


@pytest.mark.parametrize("address", _ALLOWED)
def test_a_public_address_is_called(address: str) -> None:
    assert _PUBLIC.admits(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    assert _PUBLIC.check_url(f"https://{host}/hook", "/url").path == "/hook"


def test_a_network_that_was_opened_is_called_and_no_other() -> None:
    egress = Egress(("127.0.0.0/8", "fd00::/8"))

    assert egress.admits(ip_address("127.0.0.1"))
    assert egress.admits(ip_address("::ffff:127.0.0.1"))
    assert egress.admits(ip_address("fd12::1"))
    assert not egress.admits(ip_address("10.0.0.1"))
    assert not egress.admits(ip_address("::1"))


def test_what_is_no_network_stops_the_start() -> None:
    with pytest.raises(Misconfigured, match=r"127\.0\.0\.1/8"):
        Egress(("127.0.0.1/8",))


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "127.0.0.01",
        "\uff11\uff12\uff17.0.0.1",
        "\u2460\u2461\u2466.0.0.1",
        "127\u30020\u30020\u30021",
        "0x7f000001.",
        "1.2.3.0x4",
        "08.8.8.8",
        "8.8.8",
        "999.1.1.1",
        "%31%32%37.0.0.1",
    ],
)
def test_an_address_in_an_odd_spelling_is_refused_even_where_its_network_is_open(host: str) -> None:
    for egress in (_PUBLIC, Egress(LOOPBACK)):
        with pytest.raises(Invalid) as refused:
            egress.check_url(f"http://{host}/{host}", "/url")
        assert refused.value.code == "forbidden_address"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook",
        "/hook",
        "//example.org/hook",
        "http://",
        "http:///hook",
        "http:example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "javascript:alert(1)",
        "unix:///run/socket",
        "http://user@example.org/",
        "http://user:word@example.org/",
        "http://@example.org/",
        "http://:@example.org/",
        "http://example.org\\@127.0.0.1/",
        "http://example.org/\r\nX: y",
        "http://example.org/\nX",
        "http://exa mple.org/",
        "http://example.org/a b",
        "\thttp://example.org/",
        " http://example.org/",
        "http://example.org/\x00",
        "http://example.org/\x7f",
        "http://example.org/\u2028",
        "http://[::1",
        "http://[fe80::1%25eth0]/",
        "http://[zz::1]/",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://example.org:port/",
        "http://exa%6dple.org/",
        "http://a..b/",
        "http://-a.example.org/",
        "http://" + "a" * 64 + ".org/",
        "http://" + "a." * 130 + "org/",
        "http://xn--/",
    ],
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        _PUBLIC.check_url(url, "/url")

    assert refused.value.code == "bad_url"
    assert refused.value.pointer == "/url"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook?a=b&c=d@e#part",
        "http://example.org:8080/hook",
        "HTTP://EXAMPLE.ORG/",
        "http://example.org./",
        "http://localhost:9000/",
        "http://my_host/",
        "http://b\u00fccher.example/",
        "http://1password.example/",
    ],
)
def test_a_name_is_judged_when_it_is_called(url: str) -> None:
    assert _PUBLIC.check_url(url, "/url").host


@given(st.text(max_size=40))
def test_whatever_is_written_is_a_url_or_is_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"http://{text}/"):
        try:
            checked = _PUBLIC.check_url(url, "/url")
        except Invalid:
            continue
        assert checked.raw_host


async def test_a_number_is_refused_where_a_socket_is_made() -> None:
    async with (
        receiving() as receiver,
        Egress(()).session(connections=1, timeout_s=5) as session,
    ):
        with pytest.raises(aiohttp.ClientConnectorError) as refused:
            await session.get(receiver.url, allow_redirects=False)

    assert isinstance(refused.value.os_error, Denied)
    assert receiver.received == []


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
async def test_a_name_that_leads_inside_is_refused_where_a_socket_is_made(address: str) -> None:
    leading = Leading(address)
    async with (
        receiving() as receiver,
        Egress((), leading).session(connections=1, timeout_s=5) as session,
    ):
        with pytest.raises(aiohttp.ClientConnectorError) as refused:
            await session.get(f"http://example.org:{receiver.port}/", allow_redirects=False)

    assert isinstance(refused.value.os_error, Denied)
    assert leading.asked == ["example.org"]
    assert receiver.received == []


async def test_a_name_of_this_machine_is_called_where_that_is_open() -> None:
    async with (
        receiving() as receiver,
        Egress(LOOPBACK).session(connections=1, timeout_s=5) as session,
    ):
        url = f"http://localhost:{receiver.port}/"
        async with session.get(url, allow_redirects=False) as answer:
            assert answer.status == 200


async def test_a_name_that_nobody_knows_is_an_error_of_the_name() -> None:
    async with Egress(LOOPBACK).session(connections=1, timeout_s=5) as session:
        with pytest.raises(aiohttp.ClientConnectorDNSError):
            await session.get("http://nobody.invalid/", allow_redirects=False)


async def test_a_session_keeps_no_cookies_and_asks_no_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with (
        receiving() as receiver,
        Egress(LOOPBACK).session(connections=1, timeout_s=5) as session,
    ):
        receiver.always = with_headers(200, Set_Cookie="a=b")
        for _ in range(2):
            async with session.get(URL(receiver.url), allow_redirects=False) as answer:
                await answer.read()

    assert ["cookie" in each.headers for each in receiver.received] == [False, False]
