"""Speaker profiles: a speaker's mean audio vector, subtracted before the fusion graph."""

import base64
import binascii
import os
import tempfile
import threading
from pathlib import Path
from typing import Annotated, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from emo_runtime.errors import ArgumentError, AudioError

Floats = NDArray[np.float32]

MAX_PROFILE_BYTES = 1 << 20


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A saved profile: base64 of the little-endian float64 sum of ``count`` vectors."""

    schema: Literal["emo-speaker/1"]
    space: Annotated[str, msgspec.Meta(max_length=64)]
    count: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
    sum: str


class Speaker:
    """Count and sum of a speaker's audio vectors. Created by ``EmotionRecognizer.speaker``.

    ``recognize(..., speaker=)`` subtracts the mean of the profile from the utterance's vector and
    adds the vector to the profile after the answer. A profile describes a person's voice: it is
    personal data, and is written to disk only by ``save``. Safe to share between threads.
    """

    def __init__(self, width: int, space: str) -> None:
        self._space = space
        self._count = 0
        self._sum = np.zeros(width, np.float64)
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """Number of utterances in the profile."""
        return self._count

    @property
    def space(self) -> str:
        """Identifier of the vector space; a profile works only with bundles of the same space."""
        return self._space

    @property
    def width(self) -> int:
        """Width of the vectors."""
        return len(self._sum)

    def add(self, vector: Floats) -> None:
        """Add the audio vector [width] of one utterance. Raises ArgumentError."""
        try:
            values = np.asarray(vector, np.float64)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (self.width,) or not np.isfinite(values).all():
            raise ArgumentError(
                f"vector of type {type(vector).__name__:.40}: give {self.width} finite numbers."
            )
        with self._lock:
            self._sum = self._sum + values
            self._count += 1

    def mean(self, population: NDArray[np.float64], weight: float) -> Floats:
        """Mean vector [width] of the speaker, with ``population`` counted ``weight`` times."""
        with self._lock:
            total, count = self._sum, self._count
        mean: Floats = ((weight * population + total) / (weight + count)).astype(np.float32)
        return mean

    def copy(self) -> "Speaker":
        """Return an independent copy."""
        other = Speaker(self.width, self._space)
        with self._lock:
            other._count, other._sum = self._count, self._sum
        return other

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the profile to a file, which only the user may read. Raises AudioError."""
        with self._lock:
            values = base64.b64encode(self._sum.astype("<f8").tobytes()).decode()
            document = _Document("emo-speaker/1", self._space, self._count, values)
        try:
            target = Path(path)
            # A new file: the permissions of an existing one would be kept.
            descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            try:
                with open(descriptor, "wb") as file:
                    file.write(msgspec.json.encode(document))
                Path(temporary).replace(target)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except (OSError, TypeError, ValueError) as error:
            raise AudioError(
                f"the speaker profile can't be written: {str(error)[:200]}. Give a file's path."
            ) from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a profile that ``save`` wrote. Raises AudioError."""
        try:
            with Path(path).open("rb") as file:
                data = file.read(MAX_PROFILE_BYTES + 1)
            if len(data) > MAX_PROFILE_BYTES:
                raise ValueError(f"larger than {MAX_PROFILE_BYTES:,} bytes")
            document = msgspec.json.decode(data, type=_Document)
            values = np.frombuffer(base64.b64decode(document.sum, validate=True), "<f8")
            if not np.isfinite(values).all():
                raise ValueError("values that are not finite")
        except (
            OSError,
            TypeError,
            ValueError,
            RecursionError,
            binascii.Error,
            msgspec.MsgspecError,
        ) as error:
            raise AudioError(
                f"the speaker profile can't be read: {str(error)[:200]}. Give a file written by "
                "Speaker.save()."
            ) from None
        speaker = cls(len(values), document.space)
        speaker._count, speaker._sum = document.count, values.astype(np.float64)
        return speaker

    def __repr__(self) -> str:
        return f"<Speaker: {self._count} utterances>"
