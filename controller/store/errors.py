"""What can go wrong with the database, beyond ``ports.NotSaved`` and ``ports.LeaseLost``."""

from controller.ports import LeaseLost, NotSaved


class Unavailable(Exception):
    """The database cannot be read now."""


class Overtaken(LeaseLost):
    """The unit was decided from a call that is no longer the stored one: somebody else wrote it since."""


class KeyTaken(NotSaved):
    """There is an answer to a request with this Idempotency-Key already, or (``status`` 0) one is in flight."""

    def __init__(self, fingerprint: str = "", status: int = 0, response: bytes = b"") -> None:
        super().__init__("the idempotency key is taken")
        self.fingerprint = fingerprint
        self.status = status
        self.response = response


class Taken(NotSaved):
    """What was to be added is there already, here or with another tenant."""


class NumberConflict(NotSaved):
    """The number that was asked for (``param``: x or y) is taken for one of the parties, or by another use."""

    def __init__(self, param: str) -> None:
        super().__init__("the number is taken")
        self.param = param


class NumberUnknown(NotSaved):
    """The number that was asked for (``param``: x or y) is no X of this tenant."""

    def __init__(self, param: str) -> None:
        super().__init__("the number is no X of this tenant")
        self.param = param


class PoolExhausted(NotSaved):
    """No number of the pool is free for these parties."""

    def __init__(self) -> None:
        super().__init__("no number of the pool is free")


class TooMany(NotSaved):
    """There may be no more of these."""
