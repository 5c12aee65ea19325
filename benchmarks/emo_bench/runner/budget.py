"""Time limits of the scenarios, such that a whole run ends in about a given time."""

import time
from collections.abc import Callable, Iterable

# Shares of the time. A run of LoadGen ends early if it has enough samples: what it leaves goes to
# the scenarios after it.
_SHARES = {
    "SingleStream": 3.0,
    "MultiStream": 3.0,
    "Server": 4.0,
    "Offline": 1.0,
    "stream": 6.0,
    "cold": 4.0,
}


class Budget:
    """Divide the time that is left between the scenarios that have not run."""

    def __init__(
        self,
        total_s: float,
        scenarios: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._deadline_s = clock() + total_s
        self._shares = {name: _SHARES[name] for name in scenarios}

    def take(self, scenario: str) -> float:
        """Return the time limit of a scenario in seconds, at least one."""
        left_s = self._deadline_s - self._clock()
        all_shares = sum(self._shares.values())
        share = self._shares.pop(scenario)
        return max(1.0, left_s * share / all_shares)
