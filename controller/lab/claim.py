"""Ports for labs that stand side by side.

Ports 10000 to 32699 (below Linux's ephemeral ones) are shared out in blocks of 100.  A block is claimed by an abstract
Unix socket of its name (unix(7)): the kernel gives it to one process only, and takes it back whenever that process
ends, however it ends.
"""

import socket
from collections.abc import Callable, Iterator

BLOCK = 100
FIRST, LAST = 10000, 32700


class NoPorts(RuntimeError):
    """Every block is taken: too many labs on this machine."""


class Claim:
    """Neighbouring blocks of ports, ours until `release` or the end of this process."""

    def __init__(self, blocks: int, usable: Callable[[int], bool] = lambda _first: True) -> None:
        """``usable``: whether the blocks from ``first`` on will do; strangers use ports too.  Raises NoPorts."""
        self._locks: list[socket.socket] = []
        self.first = self._find(blocks, usable)
        self.last = self.first + blocks * BLOCK - 1
        self._next = self.first

    def _find(self, blocks: int, usable: Callable[[int], bool]) -> int:
        for first in range(FIRST, LAST - blocks * BLOCK + 1, BLOCK):
            locks = [lock for port in range(first, first + blocks * BLOCK, BLOCK) if (lock := _lock(port))]
            if len(locks) == blocks and usable(first):
                self._locks = locks
                return first
            for lock in locks:
                lock.close()
        raise NoPorts(f"no {blocks * BLOCK} ports left between {FIRST} and {LAST}; end another lab first")

    def skip(self, ports: int) -> None:
        """Let `free` begin so many ports further on."""
        self._next += ports

    def free(self) -> int:
        """The next port of ours that nobody uses, over TCP and UDP on loopback, each once.  Raises NoPorts."""
        while self._next <= self.last:
            self._next += 1
            if is_free(self._next - 1):
                return self._next - 1
        raise NoPorts(f"no port left between {self.first} and {self.last}")

    def release(self) -> None:
        """Let others have the ports."""
        for lock in self._locks:
            lock.close()
        self._locks = []


def _lock(port: int) -> socket.socket | None:
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        lock.bind(f"\0patchbay-lab-{port}")
    except OSError:
        lock.close()
        return None
    return lock


def _probes(port: int) -> Iterator[bool]:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == socket.SOCK_STREAM))
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                yield False
            else:
                yield True


def is_free(port: int) -> bool:
    """Whether a port of 127.0.0.1 can be bound, over TCP and UDP."""
    return all(_probes(port))
