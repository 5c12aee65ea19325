"""Second step: do the checkpoints fit each other, and can a bundle say what they are?"""

from typing import NoReturn

import msgspec

from emo_export.checkpoints.load import Checkpoints
from emo_models.errors import CheckpointError
from emo_runtime.bundle.manifest import (
    Audio,
)

POOLINGS = ("cls", "mean")


def check(checkpoints: Checkpoints) -> None:
    """Raise CheckpointError where the parts of a bundle contradict each other.

    Labels (names and order), embedding width, the encoder that the fusion network was trained on,
    pooling and temperatures are compared before any graph is made.
    """
    text, encoder, fusion = checkpoints.text, checkpoints.encoder, checkpoints.fusion
    if len(set(text.labels)) != len(text.labels) or len(text.labels) < 2:
        _refuse(
            text.directory,
            f"id2label of config.json names {list(text.labels)}; two or more "
            "different labels are needed",
        )
    if all(label.startswith("LABEL_") for label in text.labels):
        _refuse(text.directory, "config.json has no id2label: write the label words into it")
    if text.pooling not in POOLINGS:
        _refuse(text.directory, f"pooling {text.pooling!r} is unknown; known: {POOLINGS}")
    if not 0.01 <= text.temperature <= 100:
        _refuse(text.directory, f"temperature {text.temperature} is not within 0.01 to 100")
    if fusion is None or encoder is None:
        return
    if fusion.labels != text.labels:
        _refuse(
            fusion.directory,
            f"its labels {list(fusion.labels)} are not those of the text "
            f"classifier, {list(text.labels)} (order counts)",
        )
    if fusion.hidden != encoder.hidden:
        _refuse(
            fusion.directory,
            f"it reads text embeddings of width {fusion.hidden}, the encoder "
            f"{encoder.directory} gives {encoder.hidden}",
        )
    if not 0.01 <= fusion.temperature <= 100:
        _refuse(fusion.directory, f"temperature {fusion.temperature} is not within 0.01 to 100")
    trained_on = fusion.config.get("encoder_sha256")
    if trained_on is not None and trained_on != encoder.sha256:
        _refuse(
            fusion.directory,
            f"it was trained on an encoder with weights {trained_on}, but "
            f"{encoder.directory} has {encoder.sha256}; give the right one "
            "with --encoder",
        )


def _refuse(where: object, what: str) -> NoReturn:
    raise CheckpointError(f"{where}: {what}.")


def audio_contract(checkpoints: Checkpoints) -> Audio | None:
    """The audio features that the fusion network was trained on. Raises CheckpointError."""
    fusion = checkpoints.fusion
    if fusion is None:
        return None
    where = f"{fusion.directory}/config.json"
    try:
        contract = msgspec.convert(
            fusion.config.get(
                "audio", {"n_mfcc": fusion.n_mfcc, "n_mels": max(128, fusion.n_mfcc)}
            ),
            Audio,
        )
    except msgspec.ValidationError as error:
        raise CheckpointError(
            f"{where}: audio: {error}. This runtime can't compute such features."
        ) from error
    if contract.n_mfcc != fusion.n_mfcc or contract.n_mels < contract.n_mfcc:
        raise CheckpointError(
            f"{where}: the network reads {fusion.n_mfcc} coefficients, its audio contract gives "
            f"{contract.n_mfcc} of {contract.n_mels} mel bands."
        )
    return contract
