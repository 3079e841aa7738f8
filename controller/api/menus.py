"""Menus that are configured beforehand: whether they can be carried out is said when they are set, not when a caller waits."""

from collections.abc import Collection

from controller.api.house import House
from controller.api.problems import Problem
from controller.services.answers import Menu, Unfit
from controller.services.routed import check_menu

MASKED = ("caller", "called", "callee", "callee_display")
"""What every masked call knows."""


def fits(house: House, menu: Menu, given: Collection[str], param: str) -> None:
    """Whether calls that come in can walk this menu; ``given``: what they know already.  Raises Problem."""
    try:
        check_menu(menu, house.flows.latest(menu.flow), given)
    except KeyError:
        raise Problem("invalid_request", "there is no such flow", param + ".flow") from None
    except Unfit as fault:
        where, _, what = str(fault).partition(": ")
        raise Problem("invalid_request", what, f"{param}.{where}") from None
