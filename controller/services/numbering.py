"""What the numbering plans say of a number: its kind, whether it is an emergency number, its time zones (``phonenumbers``).

Asked before every dial, so what was found is remembered: a first look costs some 100 us, and the first number of a country a
few ms more, because its plan is loaded then.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from phonenumbers import PhoneNumberType, shortnumberinfo
from phonenumbers.shortnumberinfo import SUPPORTED_SHORT_REGIONS as REGIONS
from phonenumbers.timezone import time_zones_for_number

from controller.core.numbers import E164
from controller.core.policy import Kind

REMEMBERED = 65_536
SATELLITE = frozenset((870, 881, 882, 883))
"""Country codes of Inmarsat, the satellite systems, and the international networks, many of them satellites."""
INTERNATIONAL_PREMIUM = 979
KINDS: dict[int, Kind] = {
    PhoneNumberType.PREMIUM_RATE: "premium",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.PERSONAL_NUMBER: "personal",
}
LONGEST_SHORT = 6
"""Digits of the longest emergency number there is."""


@dataclass(frozen=True, slots=True)
class About:
    """``zones``: names of the time zones that the number may be in; empty: not known."""

    emergency: bool = False
    kinds: frozenset[Kind] = frozenset()
    zones: tuple[str, ...] = ()


@lru_cache(maxsize=REMEMBERED)
def about(number: str) -> About:
    """What is known of a number: E.164 with ``+``, or digits as a trunk takes them."""
    if _is_short_emergency(number.removeprefix("+")):
        return About(emergency=True)
    if not number.startswith("+"):
        return About()
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return About()
    kinds: set[Kind] = set()
    if (kind := KINDS.get(phonenumbers.number_type(parsed))) is not None:
        kinds.add(kind)
    if parsed.country_code in SATELLITE:
        kinds.add("satellite")
    if parsed.country_code == INTERNATIONAL_PREMIUM:
        kinds.add("premium")
    zones = tuple(zone for zone in time_zones_for_number(parsed) if zone != "Etc/Unknown")
    return About(_leads_to_emergency(parsed), frozenset(kinds), zones)


@lru_cache(maxsize=16_384)
def is_possible(number: str) -> bool:
    """True for an E.164 number whose country exists and whose length is possible there."""
    if E164.fullmatch(number) is None:
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return False


def is_emergency(number: str) -> bool:
    """An emergency number, in any of the ways in which one may be written."""
    return about(number).emergency


def _is_short_emergency(digits: str) -> bool:
    """Digits that are an emergency number somewhere: from which country they are dialled is not known here."""
    return len(digits) <= LONGEST_SHORT and any(shortnumberinfo.is_emergency_number(digits, region) for region in REGIONS)


def _leads_to_emergency(number: phonenumbers.PhoneNumber) -> bool:
    """An emergency number behind its country code (+1 911), and what may reach it where the digits after it are not heard.

    An ordinary number may begin like one (+33 1 12 34 56 78): a valid number is none."""
    national = phonenumbers.national_significant_number(number)
    if len(national) > LONGEST_SHORT and phonenumbers.is_valid_number(number):
        return False
    regions = phonenumbers.region_codes_for_country_code(number.country_code or 0)
    return any(shortnumberinfo.connects_to_emergency_number(national, region) for region in regions if region in REGIONS)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return None


@lru_cache(maxsize=4096)
def _clocks(names: tuple[str, ...], minute: int) -> tuple[tuple[int, int], ...] | None:
    shown = set()
    for name in names:
        zone = _zone(name)
        if zone is None:
            return None
        there = datetime.fromtimestamp(minute * 60, zone)
        shown.add((there.weekday(), there.hour * 60 + there.minute))
    return tuple(sorted(shown)) or None


def clocks(names: Iterable[str], at: int) -> tuple[tuple[int, int], ...] | None:
    """Weekday (0 is Monday) and minute of the day in each of these zones at a time (ms); None: one is not known, or none is."""
    return _clocks(tuple(names), at // 60_000)


def warm() -> None:
    """Load what every first look would load.  Takes some 100 ms: not for the event loop."""
    _is_short_emergency("0")  # looks at every country
    about("+14155550100")
