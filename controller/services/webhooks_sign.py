"""What goes with a webhook's body: Standard Webhooks' headers (https://www.standardwebhooks.com, version 1).

The signature covers id, timestamp and body, not the URL, so it survives proxies.  With several secrets there are several
signatures, which lets a tenant rotate its secret without a gap.  Receivers verify with the library ``standardwebhooks``, and so
do the tests; to sign with it would cost 10 us where one HMAC costs 2, twelve times for each callback.
"""

import base64
import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

RETRY_AFTER_BOUND_S = 86_400
"""The longest ``Retry-After`` that is honoured."""


class Signer:
    """Signs for one endpoint.  Raises ValueError for a secret that is not ``whsec_`` and base64."""

    def __init__(self, valid: Sequence[str]) -> None:
        self._keys = [hmac.new(_key(secret), digestmod="sha256") for secret in valid]

    def headers(self, event_id: str, at: int, body: bytes) -> bytes:
        """The header lines of one try, made at ``at`` (ms)."""
        said = b"%b.%d.%b" % (event_id.encode(), at // 1000, body)
        signatures = b" ".join(b"v1," + base64.b64encode(_sum(key, said)) for key in self._keys)
        return (
            b"webhook-id: %b\r\nwebhook-timestamp: %d\r\nwebhook-signature: %b\r\n"
            b"content-type: application/json\r\nuser-agent: Patchbay\r\n"
        ) % (event_id.encode(), at // 1000, signatures)


def new_secret() -> str:
    """As Standard Webhooks wants it: 24 to 64 random bytes, base64, behind ``whsec_``."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _sum(key: hmac.HMAC, said: bytes) -> bytes:
    """The HMAC.  A copy of a ready one lets go of the interpreter's lock for long messages only; ``hmac.digest`` does for each,
    and then waits for the thread that writes the database."""
    mine = key.copy()
    mine.update(said)
    return mine.digest()


def _key(secret: str) -> bytes:
    """The bytes of a secret, as the standard writes it."""
    key = base64.b64decode(secret.removeprefix("whsec_") + "==")
    if not key:
        raise ValueError("a signing secret is empty")
    return key


def retry_after_s(value: str | None, now: int) -> float | None:
    """A ``Retry-After`` header (RFC 9110 10.2.3: seconds or a date) as seconds from ``now`` (ms), bounded; None if unclear."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(min(int(value), RETRY_AFTER_BOUND_S))
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max(0.0, when.timestamp() - now / 1000), RETRY_AFTER_BOUND_S)
