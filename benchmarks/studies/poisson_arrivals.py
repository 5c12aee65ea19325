"""Arrival times of an open loop: requests come as a Poisson process, whatever the server does.

The Server scenario of ``emo_bench.worker.loadgen`` has the same arrivals, made by MLPerf's LoadGen.
"""

import numpy as np
from numpy.typing import NDArray


def poisson_arrivals(rate: float, count: int, seed: int = 0) -> NDArray[np.float64]:
    """Return ``count`` times in seconds, ``rate`` per second on average, ascending from 0."""
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))
