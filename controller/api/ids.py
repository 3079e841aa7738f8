"""New ids: ULIDs (48 bits of milliseconds, 80 random bits, Crockford base 32), so that sorting by id is sorting by time."""

import random
import secrets
from functools import lru_cache

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in ALPHABET for low in ALPHABET)

# Ids are no secrets, so one seed from the system is enough; asking it for each id costs more than the rest of a request.
_random = random.Random(secrets.randbits(256))


def random_bits(count: int) -> int:
    """So many random bits for a name."""
    return _random.getrandbits(count)


def new_id(now_ms: int) -> str:
    """26 characters, unique."""
    chance = random_bits(80)
    return _time_part(now_ms) + "".join([_PAIRS[chance >> shift & 0x3FF] for shift in (70, 60, 50, 40, 30, 20, 10, 0)])


@lru_cache(maxsize=16)
def _time_part(now_ms: int) -> str:
    return "".join(_PAIRS[now_ms >> shift & 0x3FF] for shift in (40, 30, 20, 10, 0))
