"""Headers and signatures, verified with the library that receivers use."""

import base64
from datetime import UTC, datetime
from email.utils import format_datetime
from time import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from controller.services.webhooks_sign import RETRY_AFTER_BOUND_S, Signer, retry_after_s
from tests.services.facts import secret

NEW, OLD, OTHER = secret(1), secret(2), secret(3)
NOW = 1_795_189_159_999


def headers(signer: Signer, body: bytes) -> dict[str, str]:
    """As sent now: the library refuses what is older than five minutes."""
    lines = signer.headers("evt_1", round(time() * 1000), body).decode().split("\r\n")
    return dict(line.split(": ", 1) for line in lines if line)


@given(st.binary(min_size=1, max_size=64), st.text(), st.integers(0, 4_000_000_000_000))
def test_a_signature_is_the_very_one_that_the_library_makes(key: bytes, text: str, at: int) -> None:
    made = "whsec_" + base64.b64encode(key).decode()
    lines = Signer([made]).headers("evt_1", at, text.encode()).decode().split("\r\n")
    assert "webhook-signature: " + Webhook(made).sign("evt_1", datetime.fromtimestamp(at // 1000, UTC), text) in lines


@given(st.binary().map(lambda data: data.hex().encode()))
def test_a_signature_is_good_for_its_body_only(body: bytes) -> None:
    sent = headers(Signer([NEW]), b'"' + body + b'"')
    Webhook(NEW).verify(b'"' + body + b'"', sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(b'"x' + body + b'"', sent)
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(b'"' + body + b'"', sent | {"webhook-id": "evt_2"})


def test_while_a_secret_is_rotated_both_are_good() -> None:
    sent = headers(Signer([NEW, OLD]), b"{}")
    assert Webhook(NEW).verify(b"{}", sent) == {}
    assert Webhook(OLD).verify(b"{}", sent) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(b"{}", sent)


def test_the_headers_say_which_event_and_when() -> None:
    lines = Signer([NEW]).headers("evt_1", NOW, b"{}").decode().split("\r\n")
    sent = dict(line.split(": ", 1) for line in lines if line)
    assert sent["webhook-id"] == "evt_1"
    assert sent["webhook-timestamp"] == str(NOW // 1000)
    assert sent["content-type"] == "application/json"


@pytest.mark.parametrize("bad", ["", "whsec_", "whsec_!", "x"])
def test_a_secret_that_is_none_is_told(bad: str) -> None:
    with pytest.raises(ValueError):
        Signer([bad])


def test_retry_after_in_both_forms() -> None:
    assert retry_after_s(None, NOW) is None
    assert retry_after_s("120", NOW) == 120
    later = datetime.fromtimestamp(NOW // 1000 + 60, UTC)
    found = retry_after_s(format_datetime(later, usegmt=True), NOW)
    assert found is not None
    assert 59 <= found <= 60
    assert retry_after_s("Thu, 01 Jan 1970 00:00:00 GMT", NOW) == 0
    assert retry_after_s("Thu, 01 Jan 1970 00:00:00 -0000", NOW) == 0
    assert retry_after_s("9" * 64, NOW) == RETRY_AFTER_BOUND_S


@given(st.text(max_size=64))
def test_no_retry_after_header_does_harm(value: str) -> None:
    found = retry_after_s(value, NOW)
    assert found is None or 0 <= found <= RETRY_AFTER_BOUND_S
