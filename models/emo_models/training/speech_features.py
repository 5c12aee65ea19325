"""First-layer states and embeddings of clips under recording conditions, cached on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch

from emo_models.atomic import atomic_write
from emo_models.data import augmentation
from emo_models.data.speakers import Floats, Utterances
from emo_models.errors import DataError
from emo_models.modeling.source import file_sha256
from emo_models.modeling.speech import SpeechEncoder
from emo_models.modeling.speech_base import tensors_sha256
from emo_models.modeling.speech_states import first_states
from emo_runtime.audio.decode import load_audio
from emo_runtime.audio.log_mel import LogMel
from emo_runtime.bundle.front_ends import Level, LogMelSettings
from emo_runtime.errors import AudioError

# Change it with the computation, so that results of an older one are not read from a cache.
_VERSION = 1
_VOICES = 4
# Number of frozen layers of a network that is trained from scratch: not even the convolutions.
NOTHING_FROZEN = -1
LEVEL = Level(target_dbfs=-23.0, max_gain_db=60.0)


@dataclass(frozen=True)
class Condition:
    """A recording condition: ``clean``, ``telephone`` (8 kHz mu-law) or a ``random`` recording.

    ``number`` distinguishes several random recordings of the same clip.
    """

    name: str
    number: int = 0


CLEAN, TELEPHONE = Condition("clean"), Condition("telephone")


def conditions(copies: int) -> tuple[Condition, ...]:
    """Return the conditions of training: clean, telephone and so many random recordings."""
    return (CLEAN, TELEPHONE, *(Condition("random", number) for number in range(copies)))


def front_end_settings(encoder: SpeechEncoder) -> LogMelSettings:
    """Return the front end of an encoder: log-mel with level normalization, not padded."""
    plain = LogMelSettings(n_mels=encoder.config.n_mels)
    longest = 2 * encoder.config.positions * plain.hop_length / plain.sample_rate
    return LogMelSettings(n_mels=plain.n_mels, level=LEVEL, max_s=longest, beyond_max="windows")


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip after the encoder.

    Attributes:
        states: After the frozen layers, float16 [time, width]; empty where all are frozen. Where
            nothing is frozen, the features [frames, n_mels], two frames for each time.
        gate: Weight of each frame, float16 [time].
        embedding: Of the whole pretrained encoder, float32 [width].
    """

    states: np.ndarray
    gate: np.ndarray
    embedding: Floats


class SpeechFeatures:
    """Clips of ``utterances`` after a pretrained encoder.

    Results are files in ``folder``. Their names are hashes of the encoder, the front end, the
    condition and the bytes of the sound files, so that nothing outdated is read. Sound beyond the
    encoder's positions is cut.
    """

    def __init__(
        self,
        encoder: SpeechEncoder,
        utterances: Utterances,
        folder: Path,
        *,
        frozen: int,
        seed: int,
    ) -> None:
        self.utterances = utterances
        self.frozen = frozen
        self._encoder = encoder.eval()
        self._folder = folder
        self._seed = seed
        settings = front_end_settings(encoder)
        self._rate = settings.sample_rate
        self._front_end = LogMel(msgspec.structs.replace(settings, beyond_max="truncate"))
        state = encoder.state_dict()
        self._origin = repr(
            (_VERSION, tensors_sha256(state, state), encoder.config, settings, frozen)
        )
        self._hashes = [_sound_sha256(row.audio, row.where) for row in utterances.rows]
        self._members = {
            int(corpus): np.flatnonzero(utterances.corpus == corpus)
            for corpus in np.unique(utterances.corpus)
        }

    def embeddings(
        self, condition: Condition, on_row: Callable[[int], None] = lambda _: None
    ) -> Floats:
        """Return the embeddings [clips, width] of the pretrained encoder."""
        rows = []
        for number in range(len(self.utterances.rows)):
            rows.append(self.clip(number, condition).embedding)
            on_row(number + 1)
        return np.stack(rows)

    def clip(self, number: int, condition: Condition) -> Clip:
        """Return a clip under a condition, from the cache if it is there.

        Raises:
            DataError: Sound that can't be read; names the row.
        """
        rng = np.random.default_rng(
            [self._seed, condition.number, int(self._hashes[number][:16], 16)]
        )
        voices = self._voices(number, rng) if condition.name == "random" else []
        parts = [self._origin, repr(condition), str(self._seed), self._hashes[number]]
        key = hashlib.sha256("\n".join([*parts, *(self._hashes[v] for v in voices)]).encode())
        path = self._folder / f"{key.hexdigest()[:40]}.npz"
        if path.exists():
            with np.load(path) as kept:
                return Clip(kept["states"], kept["gate"], kept["embedding"])
        samples = self._recorded(number, condition, voices, rng)
        clip = self._encoded(samples, self.utterances.rows[number].where)
        atomic_write(path, lambda temporary: _save(temporary, clip))
        return clip

    def _voices(self, number: int, rng: np.random.Generator) -> list[int]:
        """Draw other clips of the same corpus."""
        members = self._members[int(self.utterances.corpus[number])]
        others = members[members != number]
        count = min(_VOICES, len(others))
        return [int(other) for other in rng.choice(others, count, replace=False)]

    def _recorded(
        self, number: int, condition: Condition, voices: list[int], rng: np.random.Generator
    ) -> Floats:
        samples = self._samples(number)
        if condition.name == "telephone":
            return augmentation.mu_law(samples, self._rate)
        if condition.name == "random":
            others = [self._samples(voice) for voice in voices]
            return augmentation.random_recording(samples, self._rate, others, rng)
        return samples

    def _samples(self, number: int) -> Floats:
        row = self.utterances.rows[number]
        try:
            return load_audio(str(row.audio), self._rate)
        except (AudioError, OSError) as error:
            raise DataError(f"{row.where}: {error}") from None

    @torch.inference_mode()
    def _encoded(self, samples: Floats, where: str) -> Clip:
        try:
            features = torch.from_numpy(self._front_end.whole(samples).parts[0])
        except AudioError as error:
            raise DataError(f"{where}: {error}") from None
        embedding = self._encoder(features)[0].numpy()
        if self.frozen == self._encoder.config.layers:
            nothing = np.empty(0, np.float16)
            return Clip(nothing, nothing, embedding)
        if self.frozen == NOTHING_FROZEN:
            gate = self._encoder.speech_gate(features)[:, ::2]
            return Clip(features[0].T.half().numpy(), gate[0].half().numpy(), embedding)
        states, gate = first_states(self._encoder, features, self.frozen)
        return Clip(states[0].half().numpy(), gate[0].half().numpy(), embedding)


def _sound_sha256(path: Path | None, where: str) -> str:
    if path is None:
        raise DataError(f"{where}: names no sound file.")
    try:
        return file_sha256(path)
    except OSError as error:
        raise DataError(f"{where}: {path} can't be read: {error.strerror}") from None


def _save(path: Path, clip: Clip) -> None:
    with path.open("wb") as stream:
        np.savez(stream, states=clip.states, gate=clip.gate, embedding=clip.embedding)
