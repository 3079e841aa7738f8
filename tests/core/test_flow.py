"""The notation of flows: every fault is named with its node and the cure, and nothing that YAML can hold breaks the check."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.core.flow import Flow, FlowInvalid, Node, Problem, check, parse, resolve
from controller.core.notation import KINDS
from tests.core.story import FLOWS

GOOD = """
flow: good
needs: [caller, show]
defaults: {callee: "+1", wait: {long: 5s}}
start: a
nodes:
  a: {dial: caller, show: $show, ring: $wait.long, answered: b, else: end}
  b: {ask: caller, say: [one, two], 1: c, digits: b, timeout: end}
  c: {if: $show, then: d, else: end}
  d: {connect: callee, from: caller, show: $show, parted: end, else: e}
  e: {play: caller, say: sorry}
"""


def faults(text: str) -> list[str]:
    return [str(problem) for problem in check(yaml.safe_load(text))]


def test_a_good_flow_has_no_faults() -> None:
    assert faults(GOOD) == []
    good = parse(yaml.safe_load(GOOD))
    assert (good.name, good.start, good.needs) == ("good", "a", ("caller", "show"))
    assert good.nodes["b"].edges == {"1": "c", "digits": "b", "timeout": "end"}
    assert good.longest_ms == 26 * 3_600_000


@pytest.mark.parametrize("path", sorted(FLOWS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_flows_that_ship_have_no_faults(path: Any) -> None:
    assert list(check(yaml.safe_load(path.read_text()))) == []


def test_the_version_is_that_of_the_content() -> None:
    one = parse(yaml.safe_load(GOOD))
    assert one == parse(yaml.safe_load("# a comment\n" + GOOD))
    assert one.version != parse(yaml.safe_load(GOOD.replace("5s", "6s"))).version


# what is changed in the good flow, into what, and then: the node, what is wrong, the cure
NAME = "use lower-case letters, digits, `-` and `_`, a letter first"
CASES = [
    ("flow: good", "flow: Good Flow", "", "`flow` is not a name", NAME),
    ("flow: good", "", "", "`flow` is not a name", NAME),
    ("start: a", "start: a\nneed: [x]", "", "unknown key `need`", "did you mean `needs`?"),
    ("start: a", "start: z", "", "start `z` is no node", "choose from a, b, c, d, e"),
    ("start: a", "start: [a]", "", "start `['a']` is no node", "choose from a, b, c, d, e"),
    ("needs: [caller, show]", "needs: caller", "", "`needs` is no list of names", "write `needs: [caller, callee]`"),
    ("needs: [caller, show]", "needs: [1]", "", "`needs` is no list of names", "write `needs: [caller, callee]`"),
    (
        '{callee: "+1", wait: {long: 5s}}',
        "[callee, wait]",
        "",
        "`defaults` is no mapping of names",
        "write `defaults: {name: value}`",
    ),
    ("start: a", "start: a\nlongest: soon", "", "`longest: soon` is no duration", "write it like 30s, 5m or 1h"),
    ("  e:", "  End!:", "End!", "this cannot be a node's name", NAME + "; `end` is taken"),
    ("  e:", "  end:", "end", "this cannot be a node's name", NAME + "; `end` is taken"),
    ("  e:", "  1:", "1", "this cannot be a node's name", NAME + "; `end` is taken"),
    (
        "{play: caller, say: sorry}",
        "sorry",
        "e",
        "this is not a node",
        "write {KIND: LEG, ...}; kinds: dial, connect, play, ask, look_up, detect, ring, answer, refuse, hang_up, if",
    ),
    (
        "{play: caller, say: sorry}",
        "{plai: caller}",
        "e",
        "unknown kind `plai`",
        "did you mean `play`?, as the node's first key",
    ),
    ("{play: caller, say: sorry}", "{play: caller}", "e", "`play` needs `say`", "add `say:`"),
    ("play: caller", "play: Nobody!", "e", "`play` names no leg", "give the leg a name, such as `caller`"),
    ("play: caller", "play: callr", "e", "no node dials the leg `callr`", "did you mean `caller`?"),
    ("dial: caller", "dial: carol", "a", "nobody gives the number of the leg `carol`", "add `carol` to `needs` or `defaults`"),
    ("from: caller", "from: callee", "d", "no node dials the leg `callee`", "let `from` name a leg that a `dial` node made"),
    ("ring: $wait.long", "rings: 5s", "a", "`dial` has no argument or outcome `rings`", "did you mean `ring`?"),
    ("parted: end", "parted: ende", "d", "`parted` leads to `ende`, which is no node", "did you mean `end`?"),
    ("parted: end", "parted: [x]", "d", "`parted` leads to `['x']`, which is no node", "choose from a, b, c, d, e, end"),
    ("ring: $wait.long", "ring: long", "a", "`ring: long` is no duration", "write it like 30s, 5m or 1h"),
    ("ring: $wait.long", "ring: $Wait", "a", "`ring: $Wait` is no variable", "write `$name` or `$name.part`"),
    (
        "ring: $wait.long",
        "ring: $weight.x",
        "a",
        "`ring` uses $weight.x, which nobody gives",
        "add it to `needs` or `defaults`",
    ),
    ("say: [one, two]", "say: [one, $two]", "b", "`say` uses $two, which nobody gives", "add it to `needs` or `defaults`"),
    ("if: $show", "if: $shown", "c", "`if` uses $shown, which nobody gives", "add it to `needs` or `defaults`"),
    ("parted: end,", "parted: end, wait: jazz,", "d", "`wait` cannot be `jazz`", "choose from early_media, music, ringback"),
    ("parted: end,", "parted: end, warn_to: {},", "d", "`warn_to` cannot be `{}`", "choose from both, callee, caller, none"),
    (
        "parted: end,",
        'parted: end, record: "yes",',
        "d",
        "`record: yes` is neither yes nor no",
        "write `true` or `false`, without quotes",
    ),
    ("1: c,", "1: c, most: 1.5,", "b", "`most: 1.5` is no count", "write a whole number"),
    ("parted: end, else: e", "busy: e", "d", "`parted` leads nowhere", "add it, or `else:` for all the rest"),
    ("digits: b, timeout: end", "digits: b", "b", "`timeout` leads nowhere", "add it, or `else:` for all the rest"),
    ("digits: b, timeout: end", "timeout: end", "b", "`invalid` leads nowhere", "add it, or `else:` for all the rest"),
    (
        "1: c, digits: b, timeout: end",
        "timeout: c, invalid: end",
        "b",
        "`digits` leads nowhere",
        "add it, or `else:` for all the rest",
    ),
    ("then: d, else: end", "then: d", "c", "`else` leads nowhere", "add it"),
    ("else: e}", "else: end}", "e", "no edge leads here", "lead an edge to it or remove it"),
]


@pytest.mark.parametrize(("old", "new", "node", "what", "cure"), CASES, ids=[case[1] for case in CASES])
def test_each_fault_is_named_with_its_node_and_the_cure(old: str, new: str, node: str, what: str, cure: str) -> None:
    assert old in GOOD
    document = yaml.safe_load(GOOD.replace(old, new, 1))
    assert Problem(node, what, cure) in [each for one in check(document) for each in apart(one)]
    with pytest.raises(FlowInvalid) as raised:
        parse(document)
    assert raised.value.problems == list(check(document))
    assert f"{'node ' + node if node else 'flow'}: " in str(raised.value)


def apart(problem: Problem) -> list[Problem]:
    """A fault that names several outcomes as one fault for each."""
    outcomes, found, rest = problem.what.partition(" leads nowhere")
    if not found:
        return [problem]
    return [Problem(problem.node, f"{outcome} leads nowhere{rest}", problem.cure) for outcome in outcomes.split(", ")]


@pytest.mark.parametrize(
    ("text", "what"), [("[]", "this is not a mapping"), ("flow: x", "there are no nodes"), ("nodes: {}", "there are no nodes")]
)
def test_what_is_no_flow_at_all_is_told_how_to_begin(text: str, what: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith(f"flow: {what}; ")


def test_all_faults_are_told_at_once_with_the_flows_name() -> None:
    bad = GOOD.replace("ring: $wait.long", "ring: long").replace("play: caller", "play: callr")
    with pytest.raises(FlowInvalid) as raised:
        parse(yaml.safe_load(bad))
    assert len(raised.value.problems) == 2
    assert str(raised.value).startswith("good: node a: ")


ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False), st.text(max_size=4), st.dates(),
    st.sampled_from([*KINDS, "end", "else", "caller", "$caller", "$", "a", "flow", "nodes", "start", "say", "from", "1"]),
)  # fmt: skip
ANYTHING = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ATOMS, inner, max_size=4), max_leaves=12
)
KEYS = st.sampled_from([*KINDS, "say", "from", "show", "ring", "wait", "record", "most", "else", "answered", "done", "1", 1])
NODES = st.dictionaries(
    st.sampled_from(["a", "b", "c"]) | ATOMS, st.dictionaries(KEYS, ANYTHING, max_size=5) | ANYTHING, max_size=4
)
DOCUMENTS = ANYTHING | st.fixed_dictionaries(
    {"flow": st.just("x") | ANYTHING, "start": st.just("a") | ANYTHING, "nodes": NODES},
    optional={"needs": ANYTHING, "defaults": ANYTHING, "longest": ANYTHING},
)


@given(DOCUMENTS)
def test_whatever_yaml_can_hold_is_either_a_flow_or_told_what_is_wrong(document: Any) -> None:
    problems = list(check(document))
    for problem in problems:
        assert problem.what
        assert problem.cure
    if problems:
        with pytest.raises(FlowInvalid):
            parse(document)
    else:
        assert isinstance(parse(document), Flow)


def test_an_outcome_leads_by_its_edge_or_else_or_to_the_end() -> None:
    node = Node("a", "dial", "caller", {}, {"answered": "b", "else": "c"})
    assert [node.after(outcome) for outcome in ("answered", "busy")] == ["b", "c"]
    assert Node("a", "dial", "caller").after("busy") == "end"
    assert Node("a", "play", "caller", {}, {"done": "b"}).after("failed") == "b"
    assert Node("a", "play", "caller", {}, {"done": "b", "failed": "c"}).after("failed") == "c"


def test_variables_come_from_the_call_and_then_from_the_flow() -> None:
    assert resolve("$a.b", {"a": {"b": 1}}, {"a": {"b": 2}}) == 1
    assert resolve("$a.b", {"a": {}}, {"a": {"b": 2}}) == 2
    assert resolve("$a.b", {"a": "text"}, {}) is None
    assert resolve(["$a", "b", 3], {"a": 1}, {}) == [1, "b", 3]
