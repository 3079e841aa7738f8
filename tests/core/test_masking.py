"""Whom a call to an X reaches: held against a plain reading of the modes, for any bindings, callers and times."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.masking import (
    ANYONE,
    BY_PIN,
    NEVER,
    AskFor,
    Binding,
    Connect,
    Decision,
    Dialled,
    Direction,
    Hit,
    Mode,
    Refuse,
    claims,
    party_of,
    route,
    told,
)

PEOPLE = [f"+141555501{number:02d}" for number in range(6)]
NUMBERS = [f"+141555509{number:02d}" for number in range(3)]
NOW = 1000
MODES: tuple[Mode, ...] = ("axb", "ax", "axn", "axe", "axyb")


@st.composite
def bindings(draw: st.DrawFn) -> Binding:
    """Any binding that the API lets in."""
    a, b, other = draw(st.permutations(PEOPLE))[:3]
    x, y = draw(st.permutations(NUMBERS))[:2]
    mode = draw(st.sampled_from(MODES))
    pairs = mode in ("axb", "axyb")
    return Binding(
        id=draw(st.uuids()).hex, tenant="t", mode=mode, a=a, created_at=0, x=x, y=y if mode == "axyb" else "",
        b=b if pairs else draw(st.sampled_from([b, ""])),
        extension=draw(st.sampled_from(["1", "22"])) if mode == "axe" else "",
        a_pin=draw(st.sampled_from(["", "4711"])) if pairs else "", b_pin=draw(st.sampled_from(["", "4712"])) if pairs else "",
        temporary="" if pairs else draw(st.sampled_from(["", other])), temporary_until=draw(st.sampled_from([0, NOW, NOW + 1])),
        a_to_b=Direction(allowed=draw(st.booleans())), b_to_a=Direction(allowed=draw(st.booleans())),
        block=tuple(draw(st.lists(st.sampled_from(PEOPLE), max_size=2))),
        allow=tuple(draw(st.lists(st.sampled_from(PEOPLE), max_size=2))),
        expires_at=draw(st.sampled_from([NEVER, NOW, NOW + 1])), state=draw(st.sampled_from(["active", "released", "expired"])),
    )  # fmt: skip


def together(several: list[Binding]) -> list[Binding]:
    """Of these as many as the database would let in: no claim twice, one use of each X."""
    taken: set[tuple[str, str, str]] = set()
    uses: dict[str, str] = {}
    kept = []
    for binding in several:
        keys = {(claim.x, claim.party, claim.extension) for claim in claims(binding)}
        if not keys & taken and all(uses.get(x, binding.use) == binding.use for x, _, _ in keys):
            taken |= keys
            uses |= {x: binding.use for x, _, _ in keys}
            kept.append(binding)
    return kept


def found(several: list[Binding], x: str, party: set[str], extension: str = "") -> list[Hit]:
    """What the store's look-up finds."""
    return [
        Hit(binding, claim.party, claim.side)
        for binding in several
        for claim in claims(binding)
        if claim.x == x and claim.party in party and claim.extension == extension
    ]


def dialled(several: list[Binding], x: str, **fields: object) -> Dialled:
    """The X with the use that its bindings give it."""
    uses = {binding.use for binding in several if x in (binding.x, binding.y)}
    return replace(Dialled(x, "t", use=uses.pop() if uses else None), **fields)  # type: ignore[arg-type]


def asked(several: list[Binding], x: str, caller: str, blocked: bool = False) -> Decision:
    """What becomes of a call."""
    return route(dialled(several, x), found(several, x, {party_of(caller), ANYONE}), caller, NOW, blocked=blocked)


def meant(several: list[Binding], x: str, caller: str) -> set[tuple[str, str, str]]:
    """By a plain reading of the modes: (binding, whom it reaches, what that phone shows), rules and lists left out."""
    expected = set()
    for one in several:
        if not (one.state == "active" and one.expires_at > NOW):
            continue
        if one.mode in ("axb", "axyb"):
            y = one.y or one.x
            if (x, caller) == (one.x, one.a):
                expected.add((one.id, one.b, y))
            if (x, caller) == (y, one.b):
                expected.add((one.id, one.a, one.x))
        elif x == one.x and caller == one.a:
            expected.add((one.id, one.temporary if one.temporary and one.temporary_until > NOW else one.b, x))
        elif x == one.x and one.mode != "axe":
            expected.add((one.id, one.a, x))
    return expected


@settings(max_examples=500)
@given(st.lists(bindings(), max_size=8), st.sampled_from(NUMBERS), st.sampled_from([*PEOPLE, "", "anonymous", "#"]))
def test_a_call_reaches_whom_the_mode_says_and_nobody_else(several: list[Binding], x: str, caller: str) -> None:
    several = together(several)
    decision, expected = asked(several, x, caller), meant(several, x, caller)
    assert len(expected) <= 1, "two could be meant"
    if isinstance(decision, Connect):
        assert {(decision.binding.id, decision.to, decision.display)} == expected
        assert decision.rules.allowed
        assert decision.rules == (decision.binding.a_to_b if decision.way == "a_to_b" else decision.binding.b_to_a)
        assert caller not in decision.binding.block
    elif not expected:
        assert decision == AskFor("extension") or decision == Refuse("unknown")
    else:
        assert isinstance(decision, Refuse)
        assert decision.why in ("not_allowed", "blocked", "no_callee")


@given(st.lists(bindings(), max_size=8), st.sampled_from(NUMBERS), st.sampled_from(PEOPLE))
def test_nobody_is_shown_a_real_number_or_connected_with_himself(several: list[Binding], x: str, caller: str) -> None:
    decision = asked(together(several), x, caller)
    if isinstance(decision, Connect):
        assert decision.display in NUMBERS
        assert decision.to in PEOPLE
        assert decision.to != caller


@given(st.lists(bindings(), max_size=8), st.sampled_from(NUMBERS), st.sampled_from(["1", "22", "333"]), st.sampled_from(PEOPLE))
def test_an_extension_reaches_the_one_whose_it_is(several: list[Binding], x: str, keys: str, caller: str) -> None:
    several = together(several)
    decision = route(dialled(several, x), found(several, x, {ANYONE}, keys), caller, NOW, keyed=True)
    owners = [one for one in several if one.mode == "axe" and (one.x, one.extension) == (x, keys) and one.lives(NOW)]
    if isinstance(decision, Connect):
        assert [decision.binding] == owners
        assert (decision.to, decision.display, decision.way) == (owners[0].a, x, "b_to_a")
    elif not owners:
        assert decision == Refuse("wrong_key")


@given(st.lists(bindings(), max_size=8), st.sampled_from(NUMBERS), st.sampled_from(["4711", "4712", "9999"]))
def test_a_pin_is_as_good_as_the_phone_whose_it_is(several: list[Binding], x: str, pin: str) -> None:
    several = together(several)
    decision = route(dialled(several, x, unknown="pin"), found(several, x, {BY_PIN}, pin), "+14155550177", NOW, keyed=True)
    if isinstance(decision, Connect):
        own = decision.binding.a if pin == "4711" else decision.binding.b
        assert asked(several, x, own) in (decision, Refuse("blocked"))
    else:
        assert isinstance(decision, Refuse)


@given(bindings())
def test_claims_come_in_one_order_and_cover_every_way_in(binding: Binding) -> None:
    taken = claims(binding)
    assert list(taken) == sorted(taken, key=lambda claim: (claim.x, claim.party, claim.extension))
    pins = bool(binding.a_pin) + bool(binding.b_pin)
    assert len({(claim.x, claim.party, claim.extension) for claim in taken}) == len(taken) == 2 + pins


@given(bindings())
def test_what_is_told_and_shown_has_no_real_number(binding: Binding) -> None:
    text = repr(binding) + str(told(binding)) + repr(claims(binding)) + repr(Hit(binding, binding.a))
    assert not any(number in text for number in PEOPLE)
    assert not any(number in repr(asked([binding], binding.x, binding.a)) for number in PEOPLE + NUMBERS)


PAIR = Binding("1", "t", "axb", PEOPLE[0], 0, b=PEOPLE[1], x=NUMBERS[0])
OPEN = Binding("2", "t", "ax", PEOPLE[0], 0, b=PEOPLE[1], x=NUMBERS[0])


def test_each_side_of_axyb_sees_its_own_number() -> None:
    both = replace(PAIR, mode="axyb", y=NUMBERS[1])
    reached = {(x, caller): asked([both], x, caller) for x in NUMBERS[:2] for caller in PEOPLE[:2]}
    ways = {key: (one.to, one.display) for key, one in reached.items() if isinstance(one, Connect)}
    assert ways == {(NUMBERS[0], PEOPLE[0]): (PEOPLE[1], NUMBERS[1]), (NUMBERS[1], PEOPLE[1]): (PEOPLE[0], NUMBERS[0])}


@pytest.mark.parametrize(("until", "reaches"), [(NOW - 1, PEOPLE[1]), (NOW, PEOPLE[1]), (NOW + 1, PEOPLE[2])])
def test_a_temporary_callee_is_reached_until_its_time_is_over(until: int, reaches: str) -> None:
    decision = asked([replace(OPEN, temporary=PEOPLE[2], temporary_until=until)], NUMBERS[0], PEOPLE[0])
    assert isinstance(decision, Connect)
    assert decision.to == reaches


def test_a_frozen_x_connects_nobody() -> None:
    for one in (PAIR, OPEN):
        hits = found([one], NUMBERS[0], {PEOPLE[0], ANYONE})
        assert route(dialled([one], NUMBERS[0], state="frozen"), hits, PEOPLE[0], NOW) == Refuse("frozen")


def test_another_tenants_binding_connects_nobody() -> None:
    hits = found([PAIR], NUMBERS[0], {PEOPLE[0]})
    assert route(dialled([PAIR], NUMBERS[0], tenant="u"), hits, PEOPLE[0], NOW) == Refuse("blocked")


@pytest.mark.parametrize(
    ("unknown", "decision"),
    [("reject", Refuse("unknown")), ("prompt", Refuse("unknown", "sorry")), ("pin", AskFor("pin", "sorry"))],
)
def test_a_phone_that_is_not_known_is_refused_told_or_asked(unknown: str, decision: Decision) -> None:
    number = dialled([PAIR], NUMBERS[0], unknown=unknown, prompt="sorry")
    assert route(number, [], PEOPLE[5], NOW) == decision
    assert route(number, [], PEOPLE[5], NOW, blocked=True) == Refuse("blocked")


@pytest.mark.parametrize(
    ("binding", "caller", "blocked", "reaches"),
    [
        (PAIR, PEOPLE[0], True, False),
        (replace(PAIR, allow=(PEOPLE[0],)), PEOPLE[0], True, True),
        (replace(PAIR, block=(PEOPLE[0],), allow=(PEOPLE[0],)), PEOPLE[0], False, False),
        (replace(PAIR, allow=(PEOPLE[5],)), PEOPLE[0], False, True),
        (replace(OPEN, allow=(PEOPLE[5],)), PEOPLE[5], False, True),
        (replace(OPEN, allow=(PEOPLE[5],)), PEOPLE[4], False, False),
        (replace(OPEN, allow=(PEOPLE[5],)), "", False, False),
        (replace(OPEN, allow=(PEOPLE[5],)), PEOPLE[0], False, True),
        (OPEN, PEOPLE[4], True, False),
    ],
)
def test_lists_of_the_binding_go_before_the_tenants(binding: Binding, caller: str, blocked: bool, reaches: bool) -> None:
    decision = asked([binding], NUMBERS[0], caller, blocked)
    assert isinstance(decision, Connect) is reaches, decision


@pytest.mark.parametrize("caller", ["", "anonymous", "#", "*", "+1415;x", "sip:a@b", "' OR 1", "a" * 99])
def test_a_caller_that_is_no_number_is_nobody_in_particular(caller: str) -> None:
    assert party_of(caller) == ANYONE
    assert party_of(PEOPLE[0]) == PEOPLE[0]
