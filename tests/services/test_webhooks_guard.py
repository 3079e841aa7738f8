"""SSRF: a tenant's URL opens no door into the network that the controller stands in."""

import asyncio

import pytest

from controller.services.webhooks_guard import Forbidden, Guard, is_public, parse, unwrapped
from controller.services.webhooks_http import Client
from tests.services.receiver import CLOSE, Receiver

PRIVATE = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255", "100.100.100.200", "168.63.129.16",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1",
    "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:a00:1::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254",
    "fe80::1", "fe80::1%1", "2606:4700::1%1", "fec0::1", "ff02::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808"]


def guard(*addresses: str, allow: tuple[str, ...] = ()) -> Guard:
    """A guard whose name server knows these addresses for every host."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return Guard(allow, resolve)


@pytest.mark.parametrize("address", PRIVATE)
async def test_an_address_that_is_not_public_is_refused_whatever_hides_it(address: str) -> None:
    assert not is_public(unwrapped(address))
    with pytest.raises(Forbidden, match="not public"):
        await guard(address).addresses(parse("https://example.com/"))


@pytest.mark.parametrize("address", PUBLIC)
async def test_a_public_address_may_be_called(address: str) -> None:
    assert await guard(address).addresses(parse("https://example.com/")) == [address]


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    with pytest.raises(Forbidden):
        await guard("8.8.8.8", "10.0.0.1").addresses(parse("https://example.com/"))


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]"])
async def test_loopback_in_disguise_is_refused_by_the_real_resolver(host: str) -> None:
    checked = Guard()
    with pytest.raises((Forbidden, OSError)):
        await checked.addresses(parse(f"https://{host}/"))
    checked.close()


async def test_an_exception_of_the_installation_covers_http_and_any_port_and_mapped_forms() -> None:
    allowed = guard("::ffff:10.1.2.3", allow=("10.1.0.0/16",))
    assert await allowed.addresses(parse("http://crm.internal:81/")) == ["::ffff:10.1.2.3"]
    with pytest.raises(Forbidden):
        await guard("10.2.0.1", allow=("10.1.0.0/16",)).addresses(parse("http://crm.internal/"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/", "https"),
        ("https://example.com:22/", "port 22"),
        ("https://example.com:80/", "port 80"),
        ("https://example.com:1023/", "port 1023"),
    ],
)
async def test_public_addresses_are_called_only_over_tls_and_only_on_fitting_ports(url: str, why: str) -> None:
    with pytest.raises(Forbidden, match=why):
        await guard("8.8.8.8").addresses(parse(url))


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "//example.com", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "https:///x",
        "https://user@example.com/", "https://user:pw@example.com/", "https://example.com@10.0.0.1/", "https://example.com#@x/",
        "https://example.com\\@10.0.0.1/", "https://exa mple.com/", "https://example.com/\r\nx: y", "https://example.com/\n",
        "https://example.com/\x00", "https://example.com:0/", "https://example.com:99999/", "https://example.com:x/",
        "https://exämple.com/", "https://exa%6dple.com/", "https://[::1/", "https://[fe80::1%25eth0]/", "https://[1.2.3.4]/",
        "https://" + "a" * 300 + "/", "https://example.com/" + "a" * 2048,
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(Forbidden):
        parse(url)


def test_a_url_is_taken_apart() -> None:
    target = parse("https://Example.com:8443/hook?a=b")
    assert (target.host, target.port, target.authority) == ("example.com", 8443, "example.com:8443")
    assert (target.tls, target.path) == (True, "/hook?a=b")
    assert parse("https://[2606:4700::1111]").authority == "[2606:4700::1111]"
    assert parse("http://example.com?x").path == "/?x"


async def test_a_name_that_changes_its_mind_after_the_check_gains_nothing() -> None:
    """DNS rebinding: the first look-up says a permitted address, all later ones the one that must stay out of reach."""
    async with Receiver(lambda _request: CLOSE, "127.0.0.2") as internal:
        answers = iter([["127.0.0.1"]])
        looked_up = 0

        async def resolve(_host: str, _port: int) -> list[str]:
            nonlocal looked_up
            looked_up += 1
            return next(answers, ["127.0.0.2"])

        outside = Receiver()
        outside.port = internal.port
        async with outside:
            client = Client(Guard(("127.0.0.1/32",), resolve), 5, 5)
            target = parse(f"http://receiver.example:{internal.port}/")
            assert (await client.post(target, b"", b"{}")).status == 204
            assert (await client.post(target, b"", b"{}")).status == 204
            assert (looked_up, outside.connections) == (1, 1)
            await outside.stop()
            with pytest.raises(Forbidden):
                await client.post(target, b"", b"{}")
            assert looked_up == 2
            client.close()
        assert internal.connections == 0


async def test_a_name_server_that_hangs_counts_as_no_connection() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    client = Client(Guard((), resolve), 0.05, 5)
    with pytest.raises(Exception, match="no connection within"):
        await client.post(parse("https://example.com/"), b"", b"{}")
    client.close()
