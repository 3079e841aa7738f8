"""A node's PBX configuration, whichever kind it is."""

from collections.abc import Callable

from controller.config import Node, Settings
from controller.drivers.asterisk import render as asterisk
from controller.drivers.freeswitch import render as freeswitch

NotRenderable = (asterisk.NotRenderable, freeswitch.NotRenderable)
"""What ``render`` raises: a setting holds what the PBX's configuration cannot carry."""
_BY_KIND: dict[str, Callable[[Settings, Node], dict[str, str]]] = {
    "asterisk": asterisk.render,
    "freeswitch": freeswitch.render,
}


def render(settings: Settings, node: Node) -> dict[str, str]:
    """Every file by name, to be put into the PBX's configuration directory.  Raises NotRenderable."""
    return _BY_KIND[node.kind](settings, node)
