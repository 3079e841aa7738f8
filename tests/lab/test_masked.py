"""The eye that looks for leaks: it finds a number planted anywhere, in any notation, and takes no random id for one."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.masked import check_masked, leaks, numbers_in, sent_to
from tests.lab.stage import written

OWN, DISPLAY, OTHER = "+14155550134", "+14155552165", "+14155550101"
KNOWN = {OWN, DISPLAY, OTHER, "+14155550102", *(f"+1415555{last}" for last in range(2000, 3000))}
HEADERS = {
    "Via": "SIP/2.0/UDP 127.0.0.1:5060;rport;branch=z9hG4bKPj6c1f0a52-3c4d-4e0e-9e57-1f2ab4155dd1",
    "From": f'"{DISPLAY}" <sip:{DISPLAY}@127.0.0.1:5060>;tag=0c5552165a-1b',
    "To": f"<sip:{OWN}@127.0.0.1:5070>",
    "Contact": "<sip:asterisk@127.0.0.1:5060>",
    "Call-ID": "5f2165aa-5550-134c-8d5d-a05552165b3e",
    "CSeq": "15552165 INVITE",
    "User-Agent": "Asterisk PBX 22.10.1",
    "X-Id": "01JD3Y8Q5552165T0M6W9RB2XHCVE",
    "Reason": "Q.850;cause=16",
}
SDP = "v=0\r\no=- 1755501012 1755521654 IN IP4 127.0.0.1\r\ns=Asterisk\r\nc=IN IP4 127.0.0.1\r\nm=audio 15550 RTP/AVP 0\r\n"


def call() -> dict[str, Any]:
    """What a phone was sent that must not complain: ids full of digits, and the two numbers that it may see."""
    invite = {"start": f"INVITE sip:{OWN}@127.0.0.1:5070 SIP/2.0", "headers": dict(HEADERS), "sdp": SDP}
    bye = {"start": "BYE sip:phone@127.0.0.1:5070 SIP/2.0", "headers": dict(HEADERS), "sdp": ""}
    return {"headers": dict(HEADERS), "received": [invite, bye]}


def plant(place: str, what: str) -> dict[str, Any]:
    """The same with something more in one place."""
    told = copy.deepcopy(call())
    message = told["received"][0]
    if place in ("start", "sdp"):
        message[place] += what
    else:
        message["headers"][place] = message["headers"].get(place, "") + what
    return told


def test_ids_of_digits_are_no_numbers() -> None:
    check_masked(call(), OWN, DISPLAY, KNOWN)
    assert {number for _, text in sent_to(call()) for number in numbers_in(text)} == {OWN, DISPLAY}


FORMS: dict[str, Callable[[str], str]] = {
    "URI": lambda way: f"<sip:{way}@10.0.0.1>",
    "parameter": lambda way: f";user={way};x=1",
    "host of an id": lambda way: f"@{way}.example.org",
    "word": lambda way: f" {way} ",
    "quoted": lambda way: f'"{way}"',
    "in a line of SDP": lambda way: f"\r\na=x:{way}\r\n",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", [*HEADERS, "start", "sdp", "P-Asserted-Identity", "X-Anything"])
def test_a_number_planted_anywhere_is_found_in_every_notation(place: str, form: str) -> None:
    for way in sorted(written(OTHER)):
        told = plant(place, FORMS[form](way))
        assert leaks(told, {OWN, DISPLAY}, KNOWN) == [(place if place != "sdp" else "SDP", OTHER)], way
        with pytest.raises(AssertionError):
            check_masked(told, OWN, DISPLAY, KNOWN)


@pytest.mark.parametrize("way", ["14155550101", "4155550101", "0014155550101", "01114155550101"])
@pytest.mark.parametrize("around", ["x{}y", "tel:+{}", "z9hG4bK{}q", "%2B{}", "a-{}-b", "_{}_"])
def test_a_whole_number_is_found_within_letters_too(way: str, around: str) -> None:
    assert numbers_in(around.format(way)) == {OTHER}


def test_a_phone_is_not_to_see_its_own_number_as_the_callers() -> None:
    for name in ("Contact", "P-Asserted-Identity"):
        with pytest.raises(AssertionError):
            check_masked(plant(name, f"<sip:{OWN}@10.0.0.1>"), OWN, DISPLAY, KNOWN)


@given(st.uuids(), st.integers(0, 2**32 - 1), st.text("0123456789abcdef", min_size=8, max_size=40))
def test_random_ids_are_no_numbers(uuid: object, session: int, branch: str) -> None:
    """A decimal id can be a number only as a whole; by chance that happens once in millions, and never within a longer one."""
    assert numbers_in(f"z9hG4bKPj{uuid};tag={uuid}") == set()
    assert numbers_in(f"o=- 9{session:010d} 9{session:010d} IN IP4") == set()
    assert numbers_in(f"z9hG4bK{branch}q") <= numbers_in(branch) | _whole(branch)


def _whole(branch: str) -> set[str]:
    """Ten digits of a number in a row: no chance that tests will live to see."""
    return {f"+1{branch[at : at + 10]}" for at in range(len(branch)) if branch[at : at + 6] == "415555"}
