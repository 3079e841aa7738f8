"""Verb to exchange: what each verb does to the channels.  Where a real PBX would refuse it raises Refused and does nothing."""

from collections.abc import Callable
from typing import Any

from controller.core import verbs as v
from controller.drivers.simulator.channel import Channel
from controller.drivers.simulator.exchange import Exchange, Refused, Tape


def do(exchange: Exchange, verb: v.Verb) -> None:
    """Carry a verb out."""
    COMMANDS[type(verb)](exchange, verb)


def _channel(exchange: Exchange, leg: str) -> Channel:
    channel = exchange.channels.get(leg)
    if channel is None:
        raise Refused("there is no such leg")
    return channel


def _talking(exchange: Exchange, leg: str) -> Channel:
    channel = _channel(exchange, leg)
    if not channel.bridged:
        raise Refused("the leg is not bridged")
    return channel


def _dial(exchange: Exchange, verb: v.Dial) -> None:
    exchange.dial(verb, verb.leg)


def _connect(exchange: Exchange, verb: v.Connect) -> None:
    near = _channel(exchange, verb.leg)
    if exchange.began(near, verb):
        return
    exchange.must_be_idle(near)
    far = exchange.dial(verb, verb.far)
    near.idle, near.native, near.peer = False, verb, far
    near.step, near.result, near.data = verb.id, "", ""
    far.peer = near


def _join(exchange: Exchange, verb: v.Join) -> None:
    one = _channel(exchange, verb.leg)
    if exchange.began(one, verb):
        return
    other = _channel(exchange, verb.other)
    exchange.must_be_idle(one)
    exchange.must_be_idle(other)
    for channel in (one, other):
        channel.step, channel.result, channel.data = verb.id, "", ""
    other.known = False  # the verb is the first leg's: the other one knocks when it is free again
    exchange.bridge(one, other)


def _part(exchange: Exchange, verb: v.Part) -> None:
    near = _talking(exchange, verb.leg)
    far = near.peer
    assert far is not None
    if near.native is not None and near.native.record:
        exchange.tapes[near.native.record].stopped_at = exchange.now
    near.peer, near.native, near.bridged, near.known = None, None, False, False
    far.peer, far.bridged = None, False
    exchange.end(far, "platform")
    exchange.hold(near)


def _hangup(exchange: Exchange, verb: v.Hangup) -> None:
    channel = exchange.channels.get(verb.leg)
    if channel is not None:
        exchange.end(channel, "platform", None, verb.cause)


def _play(exchange: Exchange, verb: v.Play | v.Ask) -> None:
    exchange.play(_channel(exchange, verb.leg), verb)


def _detect(exchange: Exchange, verb: v.Detect) -> None:
    exchange.detect(_channel(exchange, verb.leg), verb)


def _record(exchange: Exchange, verb: v.Record) -> None:
    exchange.record(_talking(exchange, verb.leg), verb)


def _tape(exchange: Exchange, recording: str) -> Tape:
    tape = exchange.tapes.get(recording)
    if tape is None:
        raise Refused("nothing is being recorded")
    return tape


def _pause(exchange: Exchange, verb: v.PauseRecord) -> None:
    _tape(exchange, verb.recording).paused = verb.on


def _stop(exchange: Exchange, verb: v.StopRecord) -> None:
    if verb.recording in exchange.notices:
        exchange.notices.discard(verb.recording)
        return
    tape = _tape(exchange, verb.recording)
    tape.stopped_at = tape.stopped_at or exchange.now


def _in_a_talk(exchange: Exchange, verb: v.Mute | v.Whisper) -> None:
    _talking(exchange, verb.leg)


def _inbound(exchange: Exchange, verb: v.Ring | v.Answer) -> None:
    raise Refused("no call comes in here")


COMMANDS: dict[type[v.Verb], Callable[[Exchange, Any], None]] = {
    v.Dial: _dial,
    v.Connect: _connect,
    v.Join: _join,
    v.Ring: _inbound,
    v.Answer: _inbound,
    v.Play: _play,
    v.Ask: _play,
    v.Detect: _detect,
    v.Record: _record,
    v.PauseRecord: _pause,
    v.StopRecord: _stop,
    v.Mute: _in_a_talk,
    v.Whisper: _in_a_talk,
    v.Part: _part,
    v.Hangup: _hangup,
}
