"""The same of everything else that can be asked for: bindings, routes of numbers, pools, lists, memories, agents, the policy,
trunks.  What reaches a verb, a prompt's path or a PBX's configuration is a word or a number; what people write for people is
one line of text, and goes into the database as a parameter and into JSON."""

import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from controller.api.binding_shapes import BindingChange, NewBinding
from controller.api.routes.agents import AgentChange, NewAgent
from controller.api.routes.lists import NewEntry
from controller.api.routes.memories import MemoryChange
from controller.api.routes.numbers import NewNumber, NumberChange, RouteIn
from controller.api.routes.policy import NewStop, PolicyChange, Question
from controller.api.routes.pools import NewPool, PoolChange
from controller.api.routes.trunks import NewTrunk, TrunkChange
from controller.config import Node, Settings, Trunk
from controller.rendering import render
from tests.api.test_hostile import NASTY, hostile, values
from tests.house import CALLEE, CALLER, SHOWN

SIP = {"host": "192.0.2.7", "username": "u", "password": "secret-of-this-one"}
WHOLE: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (NewBinding, {"mode": "axb", "a": CALLER, "b": CALLEE}),
    (BindingChange, {}),
    (RouteIn, {}),
    (NewNumber, {"kind": "x", "number": SHOWN}),
    (NumberChange, {}),
    (NewPool, {"name": "taxi"}),
    (PoolChange, {}),
    (NewEntry, {"number": "+1415"}),
    (MemoryChange, {}),
    (NewAgent, {"name": "Ann", "number": CALLER}),
    (AgentChange, {}),
    (PolicyChange, {}),
    (NewStop, {}),
    (Question, {"from": SHOWN, "to": CALLER}),
    (NewTrunk, {"name": "late", "sip": SIP}),
    (TrunkChange, {"sip": SIP}),
]
INNER = (
    "action", "to", "agent", "display", "announce", "prompt", "flow", "variables", "reference", "with", "url", "answer",
    "otherwise", "timeout_ms", "allowed", "record", "ring_timeout_s", "host", "username", "password", "from_domain", "codecs",
    "open", "close",
)  # fmt: skip
FREE = {"area", "note", "reason", "reference", "name", "variables"}
"""Text that people write for people.  The name of a pool or a trunk is a word all the same, which `plain` says first."""
OWN = {"metadata"}
"""Echoed as it came."""
WORD = re.compile(r"[A-Za-z0-9_+:.-]*", re.ASCII)
LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{0,1000}")
URL = re.compile(r"https?://[\x21-\x7e]+")
PASSWORD = re.compile(r"(?!.*(;|\$\{|\$\$))[\x21-\x7e]{1,255}")

typical = st.sampled_from(["connect", "menu", "reject", "memory", "hello", CALLEE, "22:00", "x", "axe", "dnc", True, 7, None])
simple = values | typical | st.lists(hostile | typical, max_size=2)
parts = st.dictionaries(
    st.sampled_from(INNER), simple | st.dictionaries(st.sampled_from(INNER), simple, max_size=3), max_size=4
)


def texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every text in it, with the name of the field that holds it."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield where if where in OWN else "key", str(name)
            yield from texts(item, where if where in FREE | OWN else str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item, where)
    elif isinstance(value, str):
        yield where, value


def harmless(where: str, text: str) -> bool:
    """Whether this text may stand in this field."""
    if where in FREE:
        return LINE.fullmatch(text) is not None
    shape = {"url": URL, "password": PASSWORD}.get(where, WORD)
    return where in OWN or (len(text) <= 2048 and shape.fullmatch(text) is not None)


@pytest.mark.parametrize(("model", "whole"), WHOLE, ids=lambda one: getattr(one, "__name__", ""))
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_only_words_numbers_and_lines_get_through(model: type[BaseModel], whole: dict[str, Any], data: st.DataObject) -> None:
    names = st.sampled_from(sorted(field.alias or name for name, field in model.model_fields.items()))
    change = data.draw(st.dictionaries(names, simple | parts, min_size=1, max_size=4))
    try:
        found = model.model_validate(whole | change)
    except ValidationError:
        return
    dumped = found.model_dump()
    assert [pair for pair in texts(dumped) if not harmless(*pair)] == []
    json.dumps(dumped, default=str, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize(("model", "whole"), WHOLE, ids=lambda one: getattr(one, "__name__", ""))
def test_each_nasty_text_in_each_field_is_refused_or_harmless(model: type[BaseModel], whole: dict[str, Any]) -> None:
    model.model_validate(whole)
    for name, field in model.model_fields.items():
        for text in NASTY:
            for value in (text, [text], {"host": text}, {"announce": text}, {"action": "menu", "flow": text}, {text: text}):
                try:
                    found = model.model_validate(whole | {field.alias or name: value})
                except ValidationError:
                    continue
                assert [pair for pair in texts(found.model_dump()) if not harmless(*pair)] == [], (name, text)


def test_the_property_itself_knows_what_is_not_harmless() -> None:
    for where, text in (
        ("announce", "../../etc/passwd"), ("number", "1\r\nAction: x"), ("flow", "${SHELL(id)}"), ("note", "two\nlines"),
        ("password", "a;b"), ("password", "${x}"), ("url", "http://a b"), ("key", "a b"), ("x", "1,2"),
    ):  # fmt: skip
        assert not harmless(where, text), (where, text)


NODES = (
    Node.model_validate({"name": "a1", "kind": "asterisk", "ami": {"secret": "x"}, "hook": {"token": "a-token-of-sixteen"}}),
    Node.model_validate({"name": "f1", "kind": "freeswitch", "esl": {"password": "a-long-enough-password"}}),
)


def shapes(trunk: Trunk) -> tuple[list[str], list[str]]:
    """What a PBX makes of the rendered trunk: each line's key (Asterisk), each element's name (FreeSWITCH)."""
    both = Settings(nodes=NODES, trunks=(trunk,))
    lines = render(both, NODES[0])["pjsip.conf"].splitlines()
    files = render(both, NODES[1])
    elements = [one.tag for name in sorted(files) for one in ElementTree.fromstring(files[name]).iter()]
    return [line.partition("=")[0] if "=" in line else line for line in lines], elements


def check_rendered(change: dict[str, Any]) -> None:
    """A trunk whose `sip` holds this is refused, or rendered as any other."""
    sip = {**SIP, **change}
    try:
        new = NewTrunk.model_validate({"name": "late", "sip": sip})
    except ValidationError:
        return
    plain = {**SIP, **({"from_domain": "example.org"} if sip.get("from_domain") else {})}
    expected = shapes(Trunk.model_validate({"name": "late", "sip": plain}))
    assert shapes(Trunk.model_validate(new.model_dump(exclude_none=True))) == expected


@pytest.mark.parametrize("field", ["host", "username", "password", "from_domain", "codecs"])
def test_no_nasty_text_adds_a_line_or_an_element_to_a_pbx_s_configuration(field: str) -> None:
    for text in NASTY:
        check_rendered({field: [text] if field == "codecs" else text})


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["host", "username", "password", "from_domain"]), hostile, min_size=1, max_size=2))
def test_nor_does_any_other(change: dict[str, Any]) -> None:
    check_rendered(change)
