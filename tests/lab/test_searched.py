"""The search of a whole run finds what was planted, in any message of any call, and nothing else."""

from pathlib import Path

import pytest

from tests.lab.searched import numbers_logged, search
from tests.lab.stage import written
from tests.lab.test_masked import DISPLAY, KNOWN, OTHER, OWN, SDP

PHONES = {OWN, OTHER}


def message(sent: bool, start: str, headers: str, body: str = "") -> str:
    """One message as SIPp writes it."""
    text = "\r\n".join([start, *headers.splitlines(), "", body])
    word = f"sent ({len(text)} bytes):" if sent else f"received [{len(text)}] bytes :"
    return f"----------------------------------------------- 2026-11-20 19:00:00.123456\nUDP message {word}\n\n{text}\n"


def incoming(number: str = DISPLAY, more: str = "", body: str = SDP, late: str = "") -> str:
    """A call to the phone, and its end."""
    same = f"To: <sip:{OWN}@127.0.0.1:5070>\nCall-ID: 5f2165aa-5550-134c\nCSeq: 5550101 INVITE"
    invite = f'Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK5550101\nFrom: "{number}" <sip:{number}@127.0.0.1>;tag=a\n{same}'
    return (
        message(False, f"INVITE sip:{OWN}@127.0.0.1:5070 SIP/2.0", invite + more, body)
        + message(True, "SIP/2.0 200 OK", invite + f"\nContact: <sip:{OTHER}@127.0.0.1>")  # it may say so
        + message(False, "BYE sip:phone@127.0.0.1:5070 SIP/2.0", same + late)
    )


def outgoing(answer: str = "") -> str:
    """A call of the phone to the display number, and what it was answered."""
    head = f"From: <sip:{OWN}@127.0.0.1>;tag=a\nTo: <sip:{DISPLAY}@127.0.0.1>\nCall-ID: x-1\nCSeq: 1 INVITE"
    return message(True, f"INVITE sip:{DISPLAY}@127.0.0.1 SIP/2.0", head) + message(False, "SIP/2.0 180 Ringing", head + answer)


def searched(folder: Path, *logs: str) -> list[str]:
    """What is found in such logs, a file each."""
    (folder / "messages").mkdir(parents=True)
    for nth, text in enumerate(logs):
        (folder / "messages" / f"phones-{nth}.log").write_bytes(text.encode())
    done = search(folder, KNOWN, PHONES)
    assert done.calls == len(logs)
    return done.found


def test_calls_that_are_masked_are_passed(tmp_path: Path) -> None:
    assert searched(tmp_path, incoming(), outgoing()) == []


@pytest.mark.parametrize("way", sorted(written(OTHER)))
@pytest.mark.parametrize(
    "name",
    ["P-Asserted-Identity", "Remote-Party-ID", "Diversion", "History-Info", "User-to-User", "X-Other", "Contact", "Call-Info"],
)
def test_a_number_planted_in_any_header_of_any_message_is_found(tmp_path: Path, name: str, way: str) -> None:
    planted = f"\n{name}: <sip:{way}@127.0.0.1>"
    for nth, log in enumerate((incoming(more=planted), incoming(late=planted), outgoing(answer=planted))):
        assert searched(tmp_path / str(nth), log) == [f"phones-0.log: {name}: {OTHER}"]


def test_a_number_in_the_sdp_or_as_the_host_of_the_call_id_is_found(tmp_path: Path) -> None:
    assert searched(tmp_path / "sdp", incoming(body=SDP + "s=4155550101\r\n")) == [f"phones-0.log: counts: {OTHER}"]
    assert searched(tmp_path / "line", incoming(body=SDP + "a=x:5550101\r\n")) == [f"phones-0.log: SDP: {OTHER}"]
    host = incoming().replace("134c\r\n", "134c@14155550101\r\n", 1).replace("[", "[", 1)
    grown = len("@14155550101")
    size = int(host.split("received [")[1].split("]")[0])
    found = searched(tmp_path / "host", host.replace(f"received [{size}]", f"received [{size + grown}]", 1))
    assert f"phones-0.log: Call-ID: {OTHER}" in found


def test_a_caller_whose_own_number_is_shown_is_found(tmp_path: Path) -> None:
    assert searched(tmp_path, incoming(OTHER)) == ["phones-0.log: From is a phone's own number"]


def test_numbers_are_found_in_logs_and_counts_are_not(tmp_path: Path) -> None:
    log = tmp_path / "controller.log"
    log.write_text("took 5550101 us, 1795555.0101 s, id 415-5550-0101a\n")
    assert numbers_logged(tmp_path, KNOWN) == []
    for way in sorted(written(OTHER)):
        log.write_text(f"fine\nringing {way} now\n")
        assert numbers_logged(tmp_path, KNOWN) == [f"{log}:2: ringing {way} now"], way
