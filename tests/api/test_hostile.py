"""No value of any field gets through as anything but itself: into AMI, ESL, a dialplan, a path, SQL, a log or a header.

What is let in is put into verbs for the PBX as it is, so here it must be proved that only harmless values are let in."""

import asyncio
import json
import re
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.api.fields import is_possible
from controller.api.paging import PeriodQuery
from controller.api.routes.callbacks import NewCallback, variables
from controller.api.routes.calls import Action, AllCallsQuery
from controller.api.routes.numbers import NewNumber
from controller.api.routes.webhooks import NewWebhook
from controller.core.numbers import is_dialable
from tests.house import CALLEE, CALLER, SHOWN, SHOWN_TOO, Standing, body

NASTY = [
    "\r\nAction: Originate", "\nEvent-Name: CHANNEL_HANGUP", "%0AEvent-Name: x", "${SHELL(id)}", "$[1+1]",
    "${caller_id_number}", "; DROP TABLE call;--", "' OR '1'='1", "../../etc/passwd", "..\\..\\x", "a&b", "a|b", "a,b",
    "a;b", "(b)", "<b>", "\x00", "\x1b[2J", "\u2028", "\u202e", "\ufeff", "١٢٣٤", "１２３", "+１４１５５５５０１０１",
    "+1415555०१०१", "\ud800", "A" * 5000, "", " ", "+", "=1+1", "PJSIP/100@trunk", "sip:a@b", "Local/x@default",
    "+14155550101\n", "+14155550101\r", " +14155550101", "+14155550101 ", "+14155550101;ext=1", "tel:+14155550101",
    "+1 415 555 0101", "{origination_uuid=x}+14155550101",
]  # fmt: skip
hostile = (
    st.sampled_from(NASTY)
    | st.text(max_size=60)
    | st.builds(lambda a, b: a + b, st.sampled_from([CALLER, "callback"]), st.sampled_from(NASTY))
)
values = st.recursive(
    hostile | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile, inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted(NewCallback.model_fields)
PLAIN = re.compile(r"[A-Za-z0-9_+-]*", re.ASCII)


def plain(value: Any) -> bool:
    """True for what may stand anywhere: words, numbers, truth values, and these inside lists and mappings."""
    if isinstance(value, dict):
        return all(plain(key) and plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(plain(item) for item in value)
    return value is None or isinstance(value, bool | int) or (isinstance(value, str) and PLAIN.fullmatch(value) is not None)


@settings(max_examples=600, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), values, min_size=1, max_size=4))
def test_only_words_and_numbers_reach_the_verbs(change: dict[str, Any]) -> None:
    try:
        new = NewCallback.model_validate(body(**change))
    except ValidationError:
        return
    found = variables(new)
    assert plain(found), found
    for name in ("caller", "callee", "caller_display", "callee_display"):
        assert is_dialable(found[name])
        assert found[name].isascii()
    assert new.reference is None or not re.search(r"[\x00-\x1f\x7f]", new.reference)
    json.dumps([new.reference, new.metadata], ensure_ascii=False, allow_nan=False).encode()


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["hangup", "mute", "play", "record", "transfer"]),
    st.dictionaries(st.sampled_from(["action", "leg", "prompts", "to", "display", "keep"]), values, max_size=3),
)
def test_only_words_and_numbers_reach_an_action(action: str, change: dict[str, Any]) -> None:
    from pydantic import TypeAdapter

    whole = {"action": action, "prompts": ["hello"], "to": CALLER, "display": SHOWN}
    wanted = {"play": ("action", "prompts"), "transfer": ("action", "to", "display")}.get(action, ("action",))
    try:
        found = TypeAdapter(Action).validate_python({name: whole[name] for name in wanted} | change)
    except ValidationError:
        return
    assert plain(found.model_dump())


@settings(max_examples=300, deadline=None)
@given(hostile)
def test_a_number_is_a_plus_and_ascii_digits(text: str) -> None:
    if is_possible(text):
        assert re.fullmatch(r"\+[1-9][0-9]{6,14}", text, re.ASCII)
        assert text.isascii()
    else:
        with pytest.raises(ValidationError):
            NewNumber.model_validate({"number": text})


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["limit", "after", "from", "to", "number", "reference", "status", "kind", "binding_id"]),
        hostile,
        min_size=1,
    )
)
def test_a_filter_is_bounded_and_of_its_kind(query: dict[str, str]) -> None:
    try:
        found = AllCallsQuery.model_validate(query)
    except ValidationError:
        return
    where = found.where(found.kind, found.status)
    assert found.limit <= 200
    assert where.number is None or is_dialable(where.number)
    assert found.bare_after() is None or re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", found.bare_after() or "")
    assert isinstance(found, PeriodQuery)


@settings(max_examples=200, deadline=None)
@given(hostile | st.builds(lambda text: "http://" + text, hostile))
def test_a_webhook_url_has_no_blank_or_control(url: str) -> None:
    try:
        found = NewWebhook.model_validate({"url": url})
    except ValidationError:
        return
    assert re.fullmatch(r"https?://[\x21-\x7e]+", found.url)


PATHS = [
    ("POST", "/v1/callbacks"), ("POST", "/v1/webhooks"), ("POST", "/v1/numbers"), ("POST", "/v1/keys"), ("POST", "/v1/tenants"),
    ("PATCH", "/v1/nodes/pbx1"), ("POST", "/v1/flows/callback/check"), ("POST", "/v1/trunks"), ("POST", "/v1/bindings"),
    ("POST", "/v1/pools"), ("POST", "/v1/agents"), ("POST", "/v1/lists/dnc"), ("POST", "/v1/policy/explain"),
]  # fmt: skip
FIELD_NAMES = st.sampled_from(
    [*FIELDS, "url", "events", "number", "name", "scopes", "tenant", "id", "state", "yaml", "action", "to", "a", "b", "x",
     "mode", "kind", "route", "pool", "area", "note", "from", "sip", "prefixes", "a_to_b"]
)  # fmt: skip


@pytest.mark.asyncio(loop_scope="session")
async def test_nothing_that_is_sent_makes_a_fault(shared: Standing) -> None:
    """Over real HTTP: whatever the fields hold, the answer is a success or a refusal of ours, and the house stands."""
    loop = asyncio.get_running_loop()

    async def send(method: str, path: str, sent: dict[str, Any], header: str) -> httpx2.Response:
        whole = body(**sent) if path == "/v1/callbacks" else sent
        content = json.dumps(whole).encode("utf-8", "surrogatepass")
        printable = bytes(byte for byte in header.encode("utf-8", "replace") if byte >= 0x20 and byte != 0x7F)  # else no HTTP
        headers = {"Content-Type": "application/json", "X-Request-Id": printable[:4000].strip()}
        return await shared.http.request(method, path, content=content, headers=headers)

    @settings(
        max_examples=250, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(st.sampled_from(PATHS), st.dictionaries(FIELD_NAMES, values, max_size=4), hostile)
    def storm(where: tuple[str, str], sent: dict[str, Any], header: str) -> None:
        answer = asyncio.run_coroutine_threadsafe(send(*where, sent, header), loop).result(10)
        assert answer.status_code < 500, answer.text
        assert answer.status_code < 400 or answer.json()["code"]
        assert re.fullmatch(r"[A-Za-z0-9._:/+=-]{1,128}", answer.headers["x-request-id"])

    await asyncio.to_thread(storm)
    assert (await shared.http.get("/readyz")).status_code == 200


IDS = (
    "calls/{}", "callbacks/call_{}", "recordings/rec_{}/media", "webhooks/whk_{}/deliveries", "nodes/{}", "flows/{}", "keys/{}",
    "trunks/{}", "queues/{}", "queues/{}/calls", "numbers/num_{}", "lists/block/lst_{}", "bindings/bind_{}/events",
    "agents/agt_{}", "memories/{}", "tenants/{}",
)  # fmt: skip
QUERIES = {
    "calls": ("after", "number", "reference", "from", "to", "status", "kind", "disposition", "binding_id", "limit"),
    "bindings": ("after", "number", "x", "reference", "from", "to", "status"),
    "cdrs": ("after", "number", "format"),
    "numbers": ("after", "kind", "pool"),
    "recordings": ("after", "call_id", "status", "from"),
    "lists/block": ("after", "number"),
    "agents": ("after", "state"),
    "audit": ("after", "actor", "target", "from"),
    "trunks": ("after", "limit"),
    "flows": ("after", "limit"),
}


@pytest.mark.asyncio(loop_scope="session")
async def test_no_path_makes_a_fault(shared: Standing) -> None:
    for text in NASTY:
        quoted = "".join(f"%{byte:02x}" for byte in text[:300].encode("utf-8", "surrogatepass"))
        for path in IDS:
            answer = await shared.http.get("/v1/" + path.format(quoted))
            assert answer.status_code in (200, 404), (path, text)
        for path, queries in QUERIES.items():
            for query in queries:
                answer = await shared.http.get(f"/v1/{path}?{query}={quoted}")
                assert answer.status_code in (200, 422), (path, query, text)


def test_these_are_the_numbers_that_the_tests_count_as_harmless() -> None:
    assert all(is_possible(number) for number in (CALLER, CALLEE, SHOWN, SHOWN_TOO))
