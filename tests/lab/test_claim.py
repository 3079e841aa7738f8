"""Ports: claimed by one lab, kept from others, given back by the kernel."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from controller.lab.claim import BLOCK, Claim, NoPorts, is_free
from controller.lab.ports import RTP_BLOCKS, claim_ports

ROOT = Path(__file__).resolve().parents[2]


def test_two_claims_never_overlap_and_a_released_one_can_be_had_again() -> None:
    first, second = Claim(2), Claim(3)
    assert first.first % BLOCK == second.first % BLOCK == 0
    assert not set(range(first.first, first.last + 1)) & set(range(second.first, second.last + 1))
    again = first.first
    first.release()
    third = Claim(2)
    second.release()
    third.release()
    assert third.first <= again


def test_a_claim_ends_with_its_process_however_that_ends() -> None:
    words = "from controller.lab.claim import Claim; c = Claim(1); print(c.first, flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", words], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    theirs = int(holder.stdout.readline())
    ours = Claim(1)
    assert ours.first != theirs
    holder.send_signal(signal.SIGKILL)
    holder.communicate(timeout=10)
    with socket.socket(socket.AF_UNIX) as lock:
        lock.bind(f"\0patchbay-lab-{theirs}")
    ours.release()


def test_a_port_that_a_stranger_uses_is_not_given_out() -> None:
    claim = Claim(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", claim.first))
        assert not is_free(claim.first)
        assert claim.free() == claim.first + 1
    claim.release()


def test_more_than_there_is_cannot_be_claimed() -> None:
    with pytest.raises(NoPorts):
        Claim(1000)


@pytest.mark.parametrize("two", [False, True])
def test_a_labs_ports_differ_and_its_media_begins_at_a_hundred(two: bool) -> None:
    ports, claim = claim_ports(two=two)
    values = [port for name in ports.__slots__ if (port := getattr(ports, name))]
    assert len(values) == (13 if two else 10)
    assert len(set(values)) == len(values)
    assert ports.media_base % 100 == 0
    assert all(ports.media_base + 100 <= value <= claim.last for value in values if value != ports.media_base)
    assert ports.rtp_last - ports.rtp_first == 100 * RTP_BLOCKS - 1
    if two:
        assert (ports.other_rtp_first, ports.other_rtp_last) == (ports.rtp_last + 1, claim.last)
    claim.release()


def test_a_lab_does_without_a_block_in_which_a_stranger_has_a_port() -> None:
    ports, claim = claim_ports()
    claim.release()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", ports.media_base + 57))
        others, claim = claim_ports()
        claim.release()
    assert others.media_base != ports.media_base
