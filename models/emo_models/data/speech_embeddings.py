"""Embeddings of clips by a speech network, cached on disk, and their adaptation to speakers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from emo_models.atomic import atomic_write
from emo_models.checkpoint import SPEECH_MODEL_TYPE, load_speech
from emo_models.data.corpora import Row
from emo_models.data.datasets import targets_of
from emo_models.data.speakers import Profile, Utterances, adapted
from emo_models.data.splits import corpus_of
from emo_models.errors import CheckpointError, DataError
from emo_models.modeling.source import CONFIG, file_sha256, read_config, weights_sha256
from emo_models.modeling.speech import SpeechEmotionModel
from emo_runtime.adaptation import SpeakerAdaptation
from emo_runtime.audio.decode import load_audio
from emo_runtime.audio.features import average_windows
from emo_runtime.audio.front_end import FrontEnd, make_front_end
from emo_runtime.bundle.front_ends import FrontEndSettings
from emo_runtime.errors import AudioError

Floats = NDArray[np.float32]

# Change it with the computation, so that embeddings of an older one are not read from a cache.
_VERSION = 1


@dataclass(frozen=True, eq=False)
class SpeechSource:
    """A speech network whose embeddings are the audio vectors of a fusion network.

    Attributes:
        directory: where it was read from.
        network: the network, float32, evaluation mode.
        front_end: settings of its front end.
        sha256: hash of its weights.
        temperature: divisor of its logits.
        adaptation: its speaker adaptation; None if it was not trained for one.
    """

    directory: Path
    network: SpeechEmotionModel
    front_end: FrontEndSettings
    sha256: str
    temperature: float
    adaptation: SpeakerAdaptation | None

    @property
    def width(self) -> int:
        """Width of the embedding."""
        return self.network.config.embedding_width


def read_speech_source(directory: Path) -> SpeechSource:
    """Read a speech network that ``emo-train speech`` wrote.

    Raises:
        CheckpointError: another kind of checkpoint, or an incomplete one.
    """
    config = read_config(directory)
    if config.get("model_type") != SPEECH_MODEL_TYPE:
        raise CheckpointError(
            f"{directory}/{CONFIG}: not a speech network of emo-train (model_type "
            f"{config.get('model_type')!r}). Give the checkpoint of a run of `emo-train speech`."
        )
    network = load_speech(directory)
    try:
        front_end = msgspec.convert(config.get("front_end"), FrontEndSettings)
    except msgspec.ValidationError as error:
        raise CheckpointError(f"{directory}/{CONFIG}: front_end: {error}.") from None
    weight = config.get("adaptation_weight")
    sha256 = weights_sha256(directory)
    population = network.population_mean.numpy().astype(np.float64)
    return SpeechSource(
        directory=directory,
        network=network,
        front_end=front_end,
        sha256=sha256,
        temperature=float(config.get("temperature", 1.0)),
        adaptation=None if weight is None else SpeakerAdaptation(population, float(weight), ""),
    )


def speech_embeddings(
    rows: Sequence[Row],
    source: SpeechSource,
    cache: Path,
    on_row: Callable[[int], None] = lambda _: None,
) -> Floats:
    """Return the embeddings of the rows' sound, float32 [rows, width], as the runtime has them.

    Args:
        rows: rows with audio.
        source: the speech network.
        cache: folder of one file per clip, named by a hash of the network, of the front end and of
            the sound file.
        on_row: called with the number of rows done.

    Raises:
        DataError: unreadable sound; names the row.
    """
    front_end = make_front_end(source.front_end)
    origin = repr((_VERSION, source.sha256, source.front_end))
    result = np.empty((len(rows), source.width), np.float32)
    for index, row in enumerate(rows):
        try:
            sound = file_sha256(row.audio or Path())
        except OSError as error:
            raise DataError(f"{row.where}: {row.audio} can't be read: {error.strerror}") from None
        path = cache / f"{hashlib.sha256(f'{origin}{sound}'.encode()).hexdigest()[:40]}.npy"
        if path.exists():
            result[index] = np.load(path)
        else:
            result[index] = _embedding(row, source, front_end)
            atomic_write(path, partial(_save, values=result[index]))
        on_row(index + 1)
    return result


def adapted_embeddings(
    embeddings: Floats,
    rows: Sequence[Row],
    labels: Sequence[str],
    source: SpeechSource,
    *,
    profile: Profile,
    seed: Sequence[int],
) -> Floats:
    """Return the embeddings minus the means of their speakers, as the runtime computes them.

    The profile of each clip is drawn from the other clips of its speaker (of its group in its
    table). A clip without speaker, and every clip with a profile of 0 utterances, is adapted with
    the population mean alone. Without a trained adaptation, the embeddings are returned as they
    are.
    """
    if source.adaptation is None:
        return embeddings
    keys = [f"{corpus_of(row)}:{row.group}" if row.group else row.where for row in rows]
    utterances = Utterances(
        rows=tuple(rows),
        label=targets_of(rows, labels),
        speaker=np.unique(keys, return_inverse=True)[1].astype(np.int64),
        corpus=np.zeros(len(rows), np.int64),
        names=("",),
        labels=tuple(labels),
    )
    rng = np.random.default_rng(list(seed))
    return adapted(embeddings, utterances, source.adaptation, profile, rng)


@torch.inference_mode()
def _embedding(row: Row, source: SpeechSource, front_end: FrontEnd) -> Floats:
    try:
        samples = load_audio(str(row.audio), source.front_end.sample_rate)
        features = front_end.whole(samples)
    except (AudioError, OSError) as error:
        raise DataError(f"{row.where}: {error}") from None
    parts = [source.network.encoder(torch.from_numpy(part)).numpy() for part in features.parts]
    embedding: Floats = average_windows(np.concatenate(parts), features.lengths)[0]
    return embedding


def _save(path: Path, values: Floats) -> None:
    with path.open("wb") as stream:
        np.save(stream, values)
