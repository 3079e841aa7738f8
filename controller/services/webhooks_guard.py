"""Which addresses a webhook may reach: no tenant's URL opens a door into the network that the controller stands in (SSRF).

A URL is taken apart once and strictly.  Its host is looked up for every new connection, every address found must be permitted,
and the connection goes to one of exactly these addresses, so a name that changes its mind after the check (DNS rebinding) gains
nothing.  Refused are all addresses that are not public unicast by the IANA special-purpose registries, whatever hides them
(IPv4-mapped, NAT64), and the clouds' metadata services; ``settings.webhooks.allow_private`` makes exceptions.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses in text.  Raises OSError."""

URL_BOUND = 2048
PORT_FROM = 1024
"""Below this a public address may only be called on 443: what listens there speaks other protocols."""
ADDRESSES = 4
"""How many of a host's addresses are tried."""

_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}", re.ASCII)
_CLEAN = re.compile(r"[\x21-\x7e]+", re.ASCII)
_PUBLIC6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_REFUSED: tuple[Network, ...] = tuple(
    ip_network(network)
    for network in (
        # IANA IPv4 special-purpose address registry, multicast and reserved
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        # Azure's metadata and wire server, on an address that looks public
        "168.63.129.16/32",
        # IANA IPv6 special-purpose address registry, as far as it lies within 2000::/3
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip


class Forbidden(ValueError):
    """This URL must not be called.  The message is for its owner and names no address that was found."""


@dataclass(frozen=True)
class Target:
    """A webhook URL taken apart.  ``authority``: for the Host header; ``path``: with its query."""

    tls: bool
    host: str
    port: int
    authority: str
    path: str

    @cached_property
    def head(self) -> bytes:
        """How each request begins, up to the value of ``content-length``."""
        return f"POST {self.path} HTTP/1.1\r\nhost: {self.authority}\r\ncontent-length: ".encode()


def parse(url: str) -> Target:
    """Take a URL apart.  Raises Forbidden for what is no plain http(s) URL."""
    if len(url) > URL_BOUND or not _CLEAN.fullmatch(url) or "\\" in url:
        raise Forbidden("the URL is too long or has characters that must be percent-encoded")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Forbidden("this is no URL") from None
    if parts.scheme not in ("http", "https"):
        raise Forbidden("the URL must begin with https://")
    if "@" in parts.netloc or "#" in url:
        raise Forbidden("the URL must not hold a user name, password or fragment")
    host = parts.hostname or ""
    if not (_HOST.fullmatch(host) or _is_ip6(host)):
        raise Forbidden("the URL's host is no host name")
    tls = parts.scheme == "https"
    if port == 0:
        raise Forbidden("port 0 cannot be called")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    default = 443 if tls else 80
    shown = f"[{host}]" if ":" in host else host
    return Target(tls, host, port or default, shown if port in (None, default) else f"{shown}:{port}", path)


target_of = lru_cache(maxsize=4096)(parse)
"""The same for a URL that comes up with every fact of its call."""


def _is_ip6(host: str) -> bool:
    try:
        return isinstance(ip_address(host), IPv6Address) and "%" not in host
    except ValueError:
        return False


def unwrapped(address: str) -> Address:
    """The address that is really reached: the IPv4 one inside an IPv4-mapped or NAT64 IPv6 address."""
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return found.ipv4_mapped
        if found in _NAT64:
            return IPv4Address(int(found) & 0xFFFFFFFF)
    return found


def is_public(address: Address) -> bool:
    """True for a unicast address of the public Internet."""
    if isinstance(address, IPv6Address) and (address.scope_id or address not in _PUBLIC6):
        return False
    return not any(address in network for network in _REFUSED if network.version == address.version)


class Guard:
    """Checks targets against the rules and the installation's exceptions."""

    def __init__(self, allow_private: Sequence[str] = (), resolve: Resolve | None = None) -> None:
        self._allowed: tuple[Network, ...] = tuple(ip_network(network) for network in allow_private)
        self._resolve = resolve or self._look_up
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="webhook-dns")

    async def addresses(self, target: Target) -> list[str]:
        """The addresses that may be connected to.  Raises Forbidden when one of the host's is refused, OSError on look-up."""
        found = list(dict.fromkeys(await self._resolve(target.host, target.port)))
        if not found:
            raise OSError("the host has no address")
        for address in found:
            self.check(address, target)
        return found[:ADDRESSES]

    def check(self, address: str, target: Target) -> None:
        """Raises Forbidden when this address of the target must not be connected to."""
        real = unwrapped(address)
        if any(real in network for network in self._allowed if network.version == real.version):
            return
        if not is_public(real):
            raise Forbidden("the URL's host has an address that is not public")
        if not target.tls:
            raise Forbidden("the URL must begin with https://")
        if target.port != 443 and target.port < PORT_FROM:
            raise Forbidden(f"port {target.port} is not allowed: use 443, or one from {PORT_FROM} on")

    async def _look_up(self, host: str, port: int) -> list[str]:
        """By the system's resolver, in threads of our own: a name server that hangs holds up nobody else's files."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(
                self._threads, partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            )
        except UnicodeError:
            raise OSError("the host cannot be looked up") from None
        return [str(entry[4][0]) for entry in found]

    def close(self) -> None:
        """End the look-up threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
