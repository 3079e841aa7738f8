"""Which port of a lab is for what."""

from dataclasses import dataclass, replace

from controller.lab.claim import BLOCK, Claim, is_free

RTP_BLOCKS = 6  # 600 ports: two a leg, so 150 callbacks at once


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one lab, all on loopback.

    ``media_base``: the block of the phones' RTP ports, a multiple of 100; ``phones_sip``: where the PBX calls the phones;
    ``phones_control``: where they take orders; ``sip`` and ``rtp_first`` to ``rtp_last``: the PBX's.  In a lab with two PBXes
    these are Asterisk's, and the ``other_`` ones FreeSWITCH's; with one PBX they are 0.
    """

    media_base: int
    sip: int
    ami: int
    hook: int
    esl: int
    api: int
    phones_sip: int
    phones_control: int
    rtp_first: int
    rtp_last: int
    other_sip: int = 0
    other_rtp_first: int = 0
    other_rtp_last: int = 0


def claim_ports(rtp_blocks: int = RTP_BLOCKS, two: bool = False) -> tuple[Ports, Claim]:
    """Ports for one lab, and the claim that keeps them ours: keep it, and release it last.  Raises claim.NoPorts."""
    claim = Claim(2 + rtp_blocks * (2 if two else 1), _media_is_free)
    base = claim.first
    claim.skip(BLOCK)
    sip, ami, hook, esl, api, phones_sip, phones_control = (claim.free() for _ in range(7))
    rtp = base + 2 * BLOCK
    rtp_last = rtp + rtp_blocks * BLOCK - 1
    ports = Ports(base, sip, ami, hook, esl, api, phones_sip, phones_control, rtp, rtp_last)
    if two:
        ports = replace(ports, other_sip=claim.free(), other_rtp_first=rtp_last + 1, other_rtp_last=claim.last)
    return ports, claim


def _media_is_free(first: int) -> bool:
    """The phones' RTP ports are where their numbers say: the whole block must be free of strangers."""
    return all(is_free(port) for port in range(first, first + BLOCK))
