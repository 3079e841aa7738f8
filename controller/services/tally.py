"""What happened since the start, in numbers: for the metrics."""

from collections import Counter
from collections.abc import Sequence

from controller.core.call import Call
from controller.core.facts import Fact


class Tally:
    """Counts what was committed (a watcher of ``Calls``).  ``ended``: calls by kind and disposition."""

    def __init__(self) -> None:
        self.units = 0
        self.facts = 0
        self.ended: Counter[tuple[str, str]] = Counter()

    def committed(self, before: Call, after: Call, facts: Sequence[Fact]) -> None:
        """A unit was committed."""
        self.units += 1
        self.facts += len(facts)
        if after.ended and not before.ended:
            self.ended[after.kind, after.disposition or ""] += 1
