"""Training of a speech network: a linear head, then the encoder's last layers with it.

From scratch, these are all layers and the convolutions before them.

Speaker adaptation is part of the training: each clip's embedding minus the mean of a random number
of other clips of its speaker, shrunk towards the population mean as the runtime does it. The
embeddings of the other clips are those of the last step that computed them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from emo_models.data.speakers import (
    RANDOM_PROFILE,
    Floats,
    Ints,
    Utterances,
    adapt_one,
    balanced_weights,
    choose,
    population_mean,
)
from emo_models.evaluation.metrics import macro_f1
from emo_models.modeling.speech import SpeechEmotionModel, SpeechEncoder
from emo_models.modeling.speech_states import Convolutions, last_embedding
from emo_models.recipes import SpeechRecipe
from emo_models.training.loop import History, check_finite, train_epochs
from emo_models.training.spec_augment import spec_augment
from emo_models.training.speech_features import NOTHING_FROZEN, Clip, Condition, SpeechFeatures
from emo_models.training.speech_head import LinearHead, train_head
from emo_runtime.adaptation import SpeakerAdaptation

_FRAME_S = 0.02
_WARM_UP_STEPS = 50
_CROP_TRIES = 10


def train_speech(
    encoder: SpeechEncoder,
    features: SpeechFeatures,
    numbers: Ints,
    conditions: Sequence[Condition],
    recipe: SpeechRecipe,
    *,
    state_path: Path | None = None,
    identity: dict[str, Any] | None = None,
    on_epoch: Callable[[History], None] = lambda _: None,
) -> tuple[SpeechEmotionModel, History]:
    """Train a network on some of the clips.

    The figure of an epoch is macro-F1 on the training clips, only to follow the run: the last
    epoch is kept. Nothing is chosen by a held-out corpus.

    Args:
        encoder: Pretrained, or new where the features have nothing frozen; not changed.
        features: Clips after the encoder.
        numbers: Numbers of the training clips in ``features``.
        conditions: Recording conditions of the training.
        recipe: Hyper-parameters.
        state_path: Resumable state of the fine-tuning.
        identity: What must be equal for a state to be resumed.
        on_epoch: Called after each epoch of the fine-tuning.
    """
    utterances = features.utterances.take(numbers)
    bank = [features.embeddings(condition)[numbers] for condition in conditions]
    head = train_head(bank, utterances, recipe)
    if not recipe.fine_tune:
        return _assembled(encoder, head), History()
    torch.manual_seed(recipe.seed)
    tuning = _Tuning(encoder, head, np.stack(bank), first=features.frozen)
    optimizer = torch.optim.AdamW(
        [
            {"params": tuning.encoder_parameters(), "weight_decay": recipe.weight_decay},
            {"params": list(tuning.head.parameters()), "weight_decay": 10 * recipe.weight_decay},
        ],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
    )
    weights = balanced_weights(utterances.label, utterances.corpus, recipe.balance_power)
    steps = max(1, len(numbers) // recipe.batch_size)

    def run_epoch(epoch: int) -> float:
        rng = np.random.default_rng([recipe.seed, epoch])
        if epoch:
            tuning.set_mean(utterances)
        total = 0.0
        for step in range(steps):
            rows = rng.choice(len(numbers), recipe.batch_size, p=weights)
            kinds = rng.integers(len(conditions), size=len(rows))
            clips = [
                _augmented(features.clip(int(numbers[row]), conditions[kind]), recipe, rng)
                for row, kind in zip(rows, kinds, strict=True)
            ]
            done = epoch * steps + step
            rate = min(1.0, (done + 1) / _WARM_UP_STEPS)
            rate *= 0.5 * (1 + float(np.cos(np.pi * done / (recipe.epochs * steps))))
            optimizer.param_groups[0]["lr"] = rate * recipe.learning_rate
            optimizer.param_groups[1]["lr"] = rate * recipe.head_learning_rate
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
                embedding = tuning.embed(clips)
            embedding = embedding.float()
            centre = tuning.speaker_means(utterances, rows, kinds, recipe, rng)
            inputs = functional.dropout((embedding - centre) / tuning.scale, recipe.dropout)
            loss = functional.cross_entropy(
                tuning.head(inputs),
                torch.from_numpy(utterances.targets[rows]),
                label_smoothing=recipe.label_smoothing,
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(tuning.encoder_parameters(), 1.0)
            optimizer.step()
            tuning.remember(rows, kinds, embedding.detach(), recipe.averaging)
            total += check_finite(float(loss.detach()), epoch)
        return total / steps

    def validate() -> float:
        rows = (tuning.bank[0] - tuning.mean) / tuning.scale
        with torch.no_grad():
            predicted = tuning.averaged_head(rows).argmax(1).numpy()
        return macro_f1(utterances.label, predicted, len(utterances.labels))

    history = train_epochs(
        tuning,
        optimizer,
        epochs=recipe.epochs,
        seed=recipe.seed,
        run_epoch=run_epoch,
        validate=validate,
        keep_last=True,
        state_path=state_path,
        identity=identity,
        on_epoch=on_epoch,
    )
    return tuning.assembled(encoder, recipe.adaptation_weight), history


@torch.inference_mode()
def tuned_embeddings(
    network: SpeechEmotionModel, features: SpeechFeatures, numbers: Ints, condition: Condition
) -> Floats:
    """Return the embeddings [clips, width] of a trained network, from the frozen layers' states."""
    clips = [features.clip(int(number), condition) for number in numbers]
    if features.frozen == network.config.layers:
        return np.stack([clip.embedding for clip in clips])
    first = features.frozen
    layers = list(network.encoder.layers)[max(first, 0) :]
    front = Convolutions(network.encoder) if first == NOTHING_FROZEN else None
    rows = [_embed(layers, [clip], network.encoder, first, front) for clip in clips]
    embeddings: Floats = torch.cat(rows).numpy()
    return embeddings


def head_of(network: SpeechEmotionModel, adaptation_weight: float) -> LinearHead:
    """Return the head and the adaptation of a network."""
    if network.head is None:
        raise ValueError("the network has no head")
    mean = network.population_mean.numpy().astype(np.float64)
    return LinearHead(
        network.head.weight.detach().numpy().T,
        network.head.bias.detach().numpy(),
        SpeakerAdaptation(mean, adaptation_weight, ""),
    )


def cropped(clip: Clip, duration_s: float, rng: np.random.Generator) -> Clip:
    """Return a random part of a clip with at least half of the speech that fits into it."""
    length = max(1, round(duration_s / _FRAME_S))
    if len(clip.gate) <= length:
        return clip
    speech = np.concatenate([[0.0], np.cumsum(clip.gate, dtype=np.float64)])
    start = 0
    for _ in range(_CROP_TRIES):
        start = int(rng.integers(len(clip.gate) - length + 1))
        if speech[start + length] - speech[start] > 0.5 * min(length, speech[-1]):
            break
    gate = clip.gate[start : start + length]
    # Features have two frames for each value of the gate.
    each = 2 if len(clip.states) > len(clip.gate) else 1
    return Clip(clip.states[each * start : each * (start + length)], gate, clip.embedding)


def _augmented(clip: Clip, recipe: SpeechRecipe, rng: np.random.Generator) -> Clip:
    part = cropped(clip, recipe.crop_s, rng)
    if not (recipe.time_mask or recipe.channel_mask):
        return part
    return replace(
        part, states=spec_augment(part.states, recipe.time_mask, recipe.channel_mask, rng)
    )


class _Tuning(nn.Module):
    """Layers and head that are trained, their moving averages, and the last known embeddings."""

    scale: Tensor
    mean: Tensor
    bank: Tensor

    def __init__(
        self, encoder: SpeechEncoder, head: LinearHead, bank: Floats, *, first: int
    ) -> None:
        super().__init__()
        self._encoder = [encoder]  # in a list: not a part of the state
        self._first = first
        scale = bank.reshape(-1, bank.shape[2]).std(0) + 1e-6
        self.layers = nn.ModuleList(copy.deepcopy(list(encoder.layers)[max(first, 0) :]))
        self.front = Convolutions(encoder) if first == NOTHING_FROZEN else None
        if self.front is not None:
            self.front.embed_positions.requires_grad_(False)
        self.head = nn.Linear(*head.weight.shape)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head.weight.T * scale))
            self.head.bias.copy_(torch.from_numpy(head.bias))
        self.averaged_layers = copy.deepcopy(self.layers).requires_grad_(False)
        self.averaged_front = copy.deepcopy(self.front)
        self.averaged_head = copy.deepcopy(self.head).requires_grad_(False)
        self.register_buffer("scale", torch.from_numpy(scale))
        self.register_buffer("mean", torch.from_numpy(head.adaptation.population).float())
        self.register_buffer("bank", torch.from_numpy(bank))

    def embed(self, clips: Sequence[Clip]) -> Tensor:
        """Return the embeddings [clips, width] of the layers that are trained."""
        return _embed(list(self.layers), clips, self._encoder[0], self._first, self.front)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the encoder that are trained."""
        front = [] if self.front is None else list(self.front.parameters())
        return [*self.layers.parameters(), *(item for item in front if item.requires_grad)]

    def set_mean(self, utterances: Utterances) -> None:
        """Set the population mean to that of the last known embeddings."""
        means = [population_mean(part.numpy(), utterances) for part in self.bank]
        self.mean.copy_(torch.from_numpy(np.mean(means, axis=0)))

    def speaker_means(
        self,
        utterances: Utterances,
        rows: Ints,
        kinds: Ints,
        recipe: SpeechRecipe,
        rng: np.random.Generator,
    ) -> Tensor:
        """Return the shrunken mean of each clip's speaker over random other clips."""
        population = self.mean.numpy().astype(np.float64)
        adaptation = SpeakerAdaptation(population, recipe.adaptation_weight, "")
        nothing = np.zeros(len(population), np.float32)
        means = []
        for row, kind in zip(rows, kinds, strict=True):
            members = np.flatnonzero(utterances.speaker == utterances.speaker[row])
            others = choose(utterances.label, members[members != row], RANDOM_PROFILE, rng)
            known = self.bank[kind].numpy()[others]
            means.append(-adapt_one(nothing, known, adaptation))
        return torch.from_numpy(np.stack(means))

    @torch.no_grad()
    def remember(self, rows: Ints, kinds: Ints, embedding: Tensor, rate: float) -> None:
        """Keep the embeddings of a step, and update the moving averages."""
        self.bank[torch.from_numpy(kinds), torch.from_numpy(rows)] = embedding
        pairs: list[tuple[nn.Module, nn.Module]] = [
            (self.averaged_layers, self.layers),
            (self.averaged_head, self.head),
        ]
        if self.front is not None and self.averaged_front is not None:
            pairs.append((self.averaged_front, self.front))
        for averages, trained in pairs:
            for average, value in zip(averages.parameters(), trained.parameters(), strict=True):
                average.lerp_(value, rate)

    def assembled(self, encoder: SpeechEncoder, adaptation_weight: float) -> SpeechEmotionModel:
        """Return the network of the averaged weights."""
        weight = (self.averaged_head.weight / self.scale).T.numpy()
        mean = self.mean.numpy().astype(np.float64)
        head = LinearHead(
            weight, self.averaged_head.bias.numpy(), SpeakerAdaptation(mean, adaptation_weight, "")
        )
        network = _assembled(encoder, head)
        for number, layer in enumerate(self.averaged_layers, max(self._first, 0)):
            network.encoder.layers[number].load_state_dict(layer.state_dict())
        if self.averaged_front is not None:
            network.encoder.load_state_dict(self.averaged_front.state_dict(), strict=False)
        return network


def _assembled(encoder: SpeechEncoder, head: LinearHead) -> SpeechEmotionModel:
    network = SpeechEmotionModel(encoder.config)
    network.encoder.load_state_dict(encoder.state_dict())
    if network.head is None:
        raise ValueError("the network has no labels")
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(head.weight.T))
        network.head.bias.copy_(torch.from_numpy(head.bias))
    network.population_mean.copy_(torch.from_numpy(head.adaptation.population))
    return network.eval()


def _embed(
    layers: Sequence[nn.Module],
    clips: Sequence[Clip],
    encoder: SpeechEncoder,
    first: int,
    front: nn.Module | None,
) -> Tensor:
    longest = max(len(clip.gate) for clip in clips)
    states = torch.zeros(len(clips), longest, encoder.config.width)
    if front is not None:
        states = _convolved(clips, front)
    gate = torch.zeros(len(clips), longest)
    padding = torch.ones(len(clips), longest, dtype=torch.bool)
    for number, clip in enumerate(clips):
        length = len(clip.gate)
        if front is None:
            states[number, :length] = torch.from_numpy(clip.states)
        gate[number, :length] = torch.from_numpy(clip.gate)
        padding[number, :length] = False
    return last_embedding(
        layers,
        states,
        gate,
        padding,
        first=max(first, 0),
        pooled_layers=encoder.config.pooled_layers,
    )


def _convolved(clips: Sequence[Clip], front: nn.Module) -> Tensor:
    lengths = [len(clip.states) for clip in clips]
    features = torch.zeros(len(clips), clips[0].states.shape[1], max(lengths))
    for number, clip in enumerate(clips):
        features[number, :, : lengths[number]] = torch.from_numpy(clip.states.T)
    states: Tensor = front(features, torch.tensor(lengths))
    return states
