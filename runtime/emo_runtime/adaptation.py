"""Speaker adaptation: subtract the mean of a speaker's audio vectors from each vector."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emo_runtime.bundle.manifest import File, Manifest
from emo_runtime.errors import BundleError
from emo_runtime.speaker import Speaker

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SpeakerAdaptation:
    """Population mean [width] and its weight, as the fusion graph was trained.

    ``v - (weight * population + sum) / (weight + count)`` for a profile with the sum and the count
    of a speaker's vectors; ``v - population`` without a profile.
    """

    population: NDArray[np.float64]
    weight: float
    space: str

    @classmethod
    def load(cls, manifest: Manifest, read: Callable[[File], bytes]) -> "SpeakerAdaptation | None":
        """Read the adaptation of a bundle; None if it has none. Raises BundleError."""
        if manifest.adaptation is None:
            return None
        file = manifest.adaptation.mean
        values = np.frombuffer(read(file), "<f4")
        if not np.isfinite(values).all():
            raise BundleError(f"{file.file}: values that are not finite. Export the bundle again.")
        return cls(values.astype(np.float64), manifest.adaptation.weight, file.sha256)

    def speaker(self) -> Speaker:
        """Return an empty profile."""
        return Speaker(len(self.population), self.space)

    def __call__(self, vector: Floats, speaker: Speaker | None) -> Floats:
        """Return the adapted vector [1, width]."""
        if speaker is None:
            return vector - self.population.astype(np.float32)
        return vector - speaker.mean(self.population, self.weight)
