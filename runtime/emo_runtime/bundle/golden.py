"""golden.json: inputs with reference answers, and their comparison with those of this machine.

The reference is the checkpoint in PyTorch, in float32, with the bundle's temperatures. A larger
difference than the tolerances below has a cause: a damaged or replaced file, labels in another
order, or a processor whose int8 kernels saturate.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from emo_runtime.bundle.manifest import Manifest, Precision, TaskName
from emo_runtime.errors import BundleError, SelfTestError

SCHEMA = "emo-golden/1"
MAX_GOLDEN_BYTES = 8 << 20

FLOAT32_TOLERANCE = 1e-4
REDUCED_TOLERANCE = 0.05


class GoldenAudio(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mono sound: base64 of little-endian 16-bit samples, at ``sample_rate`` Hz."""

    sample_rate: Annotated[int, msgspec.Meta(ge=1, le=192_000)]
    pcm_s16le: str

    @classmethod
    def of(cls, samples: NDArray[np.int16], sample_rate: int) -> "GoldenAudio":
        """Encode int16 samples [time]."""
        encoded = base64.b64encode(samples.astype("<i2").tobytes())
        return cls(sample_rate=sample_rate, pcm_s16le=encoded.decode("ascii"))

    def samples(self) -> NDArray[np.float32]:
        """Return float32 samples [time] in [-1, 1)."""
        try:
            data = base64.b64decode(self.pcm_s16le, validate=True)
            return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
        except (binascii.Error, ValueError) as error:
            raise BundleError(
                f"golden.json: sound that is not base64 of 16-bit PCM: {error}. Copy the bundle "
                "again."
            ) from None


class GoldenCase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input, and the reference's probabilities for it in the order of ``Golden.labels``."""

    task: TaskName
    probabilities: list[float]
    text: str | None = None
    audio: GoldenAudio | None = None


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of golden.json."""

    schema: Literal["emo-golden/1"]
    labels: list[str]
    cases: Annotated[list[GoldenCase], msgspec.Meta(min_length=1, max_length=64)]


def parse_golden(data: bytes, manifest: Manifest) -> Golden:
    """Read golden.json and check it against its manifest. Raises BundleError."""
    if len(data) > MAX_GOLDEN_BYTES:
        raise BundleError(
            f"golden.json: {len(data):,} bytes, at most {MAX_GOLDEN_BYTES:,} allowed."
        )
    try:
        golden = msgspec.json.decode(data, type=Golden)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(
            f"golden.json: {error}. Copy the bundle again or run emo-export."
        ) from None
    if golden.labels != manifest.labels:
        raise BundleError(
            f"golden.json: its labels {golden.labels} are not the manifest's {manifest.labels}. "
            "Copy the bundle again or run emo-export."
        )
    for number, case in enumerate(golden.cases):
        where = f"golden.json: case {number} ({case.task})"
        if case.task not in manifest.tasks:
            raise BundleError(f"{where}: the bundle has no such task. Copy the bundle again.")
        if len(case.probabilities) != len(golden.labels):
            raise BundleError(
                f"{where}: {len(case.probabilities)} probabilities for {len(golden.labels)} labels."
            )
        if (case.text is None and case.task != "audio") or (case.audio is None) != (
            case.task == "text"
        ):
            raise BundleError(f"{where}: its inputs don't fit the task.")
    return golden


def encode_golden(golden: Golden) -> bytes:
    """Return the canonical bytes of golden.json."""
    return msgspec.json.format(msgspec.json.encode(golden), indent=1) + b"\n"


def compare(case: GoldenCase, found: Sequence[float], precisions: frozenset[Precision]) -> float:
    """Return the largest difference between the reference's probabilities and ``found``.

    Within the tolerance of 0.05 the label is the reference's wherever its margin exceeds 0.1.

    Args:
        case: The input and the reference's probabilities.
        found: This machine's probabilities.
        precisions: Precisions of the graphs that ran.

    Raises:
        SelfTestError: float32 differs by more than 1e-4, a reduced precision by more than 0.05.
    """
    expected = np.asarray(case.probabilities)
    answer = np.asarray(found)
    tolerance = FLOAT32_TOLERANCE if precisions == {"fp32"} else REDUCED_TOLERANCE
    difference = float(np.abs(expected - answer).max())
    if not difference <= tolerance:  # rejects NaN too
        raise SelfTestError(
            f"self-test of task {case.task!r}: probabilities differ from the reference by "
            f"{difference:.2g} (allowed {tolerance:g}). Run `emo-bundle verify`, try another "
            "variant (variant='fp32') or provider, or export the bundle again."
        )
    return difference
