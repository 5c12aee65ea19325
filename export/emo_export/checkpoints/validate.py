"""Second step: compare the checkpoints of a bundle with each other."""

from pathlib import Path
from typing import NoReturn

import msgspec

from emo_export.checkpoints.load import Checkpoints, FusionCheckpoint
from emo_models.errors import CheckpointError
from emo_runtime.bundle.front_ends import FrontEndSettings, MeanMfccSettings


def check(checkpoints: Checkpoints) -> None:
    """Check that the parts of a bundle match, before any graph is built.

    Raises:
        CheckpointError: Mismatch of labels (names or order), widths or temperatures, or other
            encoders than those that the fusion network was trained on.
    """
    speech = checkpoints.speech if checkpoints.audio_by_speech else None
    for part in (checkpoints.text, checkpoints.fusion, speech):
        if part is None:
            continue
        _check_labels(part.directory, part.labels)
        if part.labels != checkpoints.labels:
            _refuse(
                part.directory,
                f"its labels {list(part.labels)} are not those of the other parts, "
                f"{list(checkpoints.labels)} (the order counts)",
            )
        if not 0.01 <= part.temperature <= 100:
            _refuse(part.directory, f"temperature {part.temperature} is not within 0.01 to 100")
    if not checkpoints.tasks:
        where = checkpoints.speech.directory if checkpoints.speech else "checkpoints"
        _refuse(where, "a speech encoder without a head answers no task. Give --fusion as well")
    if checkpoints.fusion is not None:
        _check_fusion(checkpoints, checkpoints.fusion)


def _check_labels(directory: Path, labels: tuple[str, ...]) -> None:
    if len(set(labels)) != len(labels) or len(labels) < 2:
        _refuse(
            directory,
            f"id2label of config.json names {list(labels)}; two or more different labels are "
            "needed",
        )
    if all(label.startswith("LABEL_") for label in labels):
        _refuse(directory, "config.json has no id2label: write the label words into it")


def _check_fusion(checkpoints: Checkpoints, fusion: FusionCheckpoint) -> None:
    encoder, speech = checkpoints.encoder, checkpoints.speech
    if checkpoints.text is not None and checkpoints.text.multi_label:
        _refuse(
            checkpoints.text.directory,
            "it is a multi-label classifier, a fusion network is not: export it without --fusion",
        )
    if encoder is None:
        _refuse(fusion.directory, "it reads text embeddings. Give --encoder or --text as well")
    if fusion.hidden != encoder.hidden:
        _refuse(
            fusion.directory,
            f"it reads text embeddings of width {fusion.hidden}, the encoder "
            f"{encoder.directory} gives {encoder.hidden}",
        )
    if speech is not None and fusion.audio_width != speech.width:
        _refuse(
            fusion.directory,
            f"it reads audio vectors of width {fusion.audio_width}, the speech encoder "
            f"{speech.directory} gives {speech.width}",
        )
    if speech is None and "n_mfcc" not in fusion.config:
        _refuse(fusion.directory, "it reads speech embeddings. Give its encoder with --speech")
    trained = {"encoder_sha256": (encoder, "--encoder"), "speech_sha256": (speech, "--speech")}
    for key, (part, option) in trained.items():
        expected = fusion.config.get(key)
        if expected and part is not None and expected != part.sha256:
            _refuse(
                fusion.directory,
                f"it was trained on an encoder with weights {expected}, but "
                f"{part.directory} has {part.sha256}; give the right one with {option}",
            )


def _refuse(where: object, what: str) -> NoReturn:
    raise CheckpointError(f"{where}: {what}.")


def front_end_of(checkpoints: Checkpoints) -> FrontEndSettings | None:
    """Return the front end of the bundle; None without a task that reads sound.

    Raises:
        CheckpointError: The fusion network's audio settings do not match its width.
    """
    fusion = checkpoints.fusion
    if checkpoints.speech is not None:
        return checkpoints.speech.front_end
    if fusion is None:
        return None
    where = f"{fusion.directory}/config.json"
    n_mfcc = fusion.audio_width
    try:
        contract = msgspec.convert(
            fusion.config.get("audio", {"n_mfcc": n_mfcc, "n_mels": max(128, n_mfcc)}),
            MeanMfccSettings,
        )
    except msgspec.ValidationError as error:
        raise CheckpointError(
            f"{where}: audio: {error}. This runtime can't compute such features."
        ) from error
    if contract.n_mfcc != n_mfcc:
        raise CheckpointError(
            f"{where}: the network reads {n_mfcc} coefficients, its audio contract gives "
            f"{contract.n_mfcc} of {contract.n_mels} mel bands."
        )
    return contract
