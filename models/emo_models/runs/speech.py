"""``emo-train speech``: from tables of clips to a speech checkpoint with its metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from emo_models.checkpoint import save_speech
from emo_models.data.corpora import TableFormat
from emo_models.data.speakers import Floats, Ints, Profile, Utterances, read_utterances
from emo_models.errors import DataError
from emo_models.evaluation.leave_one_corpus_out import (
    Predict,
    folds,
    mean_over_corpora,
    report,
    shared_temperature,
)
from emo_models.modeling.speech import SpeechEmotionModel
from emo_models.modeling.speech_base import tensors_sha256
from emo_models.modeling.whisper import PretrainedWhisper, load_whisper_encoder, new_encoder
from emo_models.recipes import SpeechRecipe
from emo_models.runs.progress import epoch_bar, row_bar
from emo_models.runs.state import begin_run, finish_run, rows_sha256
from emo_models.runs.text import CHECKPOINT
from emo_models.training.loop import History
from emo_models.training.speech import head_of, train_speech, tuned_embeddings
from emo_models.training.speech_features import (
    CLEAN,
    NOTHING_FROZEN,
    TELEPHONE,
    Condition,
    SpeechFeatures,
    conditions,
    front_end_settings,
)

_EVALUATED = (CLEAN, TELEPHONE)
NOT_CALIBRATED = (
    "temperature 1: the network is not calibrated, because no corpus was left out (--leave-one-out)"
)


@dataclass(frozen=True)
class SpeechRun:
    """A run's settings beside its recipe.

    Attributes:
        train: Tables of clips with speakers; each is a corpus.
        encoder: Directory or Hub id of a Whisper checkpoint; None: train from scratch.
        output: Directory of the run.
        test: Tables to report on.
        base: Hub id that the checkpoint names for the tensors that training left unchanged; they
            are then not written. A Hub id as ``encoder`` needs none.
        leave_one_out: Also train without each corpus in turn, and report on it.
        cache: Folder of encoded clips.
        layout: How tables are read.
        labels: Label set; empty: the labels of the training rows.
        options: All options, which a state must agree with to be resumed.
    """

    train: tuple[Path, ...]
    encoder: str | None
    output: Path
    test: tuple[Path, ...] = ()
    base: str | None = None
    leave_one_out: bool = False
    cache: Path | None = None
    layout: TableFormat = field(default_factory=TableFormat)
    labels: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def run_speech(
    run: SpeechRun, recipe: SpeechRecipe, on_ready: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Train, measure and write ``output/checkpoint``; returns its metrics.

    Raises:
        DataError: Bad tables or sound, or a state of another run.
        CheckpointError: The encoder is not available or incomplete.
    """
    utterances = read_utterances(run.train, run.layout, run.labels, recipe.soft_share)
    if run.encoder is None:
        recipe = replace(recipe, fine_tune=recipe.layers)
    _check(run, recipe, utterances)
    tests = {path.stem: read_utterances([path], run.layout, utterances.labels) for path in run.test}
    whisper = _encoder(run, recipe, utterances.labels)
    identity = {
        "options": dict(run.options),
        "encoder weights": tensors_sha256(whisper.weights, whisper.weights),
        "labels": list(utterances.labels),
        "rows": rows_sha256(utterances.rows),
    }
    identity = begin_run(run.output, identity, on_ready)
    session = _Session(run, recipe, whisper, identity)
    features = session.features(utterances)
    for condition in conditions(recipe.copies):
        with row_bar(f"sound ({condition.name})", len(utterances.rows)) as on_row:
            features.embeddings(condition, on_row)
    held_out = session.leave_one_out(features) if run.leave_one_out else {}
    temperature = (
        shared_temperature([(found[CLEAN], clips) for found, clips in held_out.values()])
        if held_out
        else 1.0
    )
    everything = np.arange(len(utterances.rows))
    network, history = session.train(features, everything, "all")
    tested = {
        name: (session.predictors(network, session.features(clips)), clips)
        for name, clips in tests.items()
    }
    metrics = {
        "task": "speech",
        "labels": list(utterances.labels),
        "recipe": asdict(recipe),
        "notes": [] if held_out else [NOT_CALIBRATED],
        "rows": {
            name: int((utterances.corpus == number).sum())
            for number, name in enumerate(utterances.names)
        },
        "speakers": len(np.unique(utterances.speaker)),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "epochs": {"loss": history.losses, "training": history.scores},
        "temperature": temperature,
        "leave_one_corpus_out": _table(held_out, temperature),
        "test": _table(tested, temperature),
    }
    base = run.base
    if base is None and run.encoder is not None and not Path(run.encoder).is_dir():
        base = run.encoder
    save_speech(
        run.output / CHECKPOINT,
        network,
        front_end_settings(whisper.encoder),
        temperature=temperature,
        adaptation_weight=recipe.adaptation_weight,
        metrics=metrics,
        base=None if base is None else (base, whisper.weights),
    )
    finish_run(run.output)
    return metrics


_Tested = tuple[dict[Condition, Predict], Utterances]


@dataclass(frozen=True, eq=False)
class _Session:
    """The parts that all trainings of a run share."""

    run: SpeechRun
    recipe: SpeechRecipe
    whisper: PretrainedWhisper
    identity: Mapping[str, Any]

    def features(self, utterances: Utterances) -> SpeechFeatures:
        """Return the clips after the pretrained encoder."""
        return SpeechFeatures(
            self.whisper.encoder,
            utterances,
            self.run.cache or self.run.output / "features",
            frozen=self._frozen,
            seed=self.recipe.seed,
        )

    def train(
        self, features: SpeechFeatures, numbers: Ints, name: str
    ) -> tuple[SpeechEmotionModel, History]:
        """Train on some of the clips; the resumable state has the name in its file's name."""
        with epoch_bar(f"epoch ({name})", self.recipe.epochs) as on_epoch:
            return train_speech(
                self.whisper.encoder,
                features,
                numbers,
                conditions(self.recipe.copies),
                self.recipe,
                state_path=self.run.output / f"state-{_file_name(name)}.pt",
                identity={"run": dict(self.identity), "part": name, "recipe": asdict(self.recipe)},
                on_epoch=on_epoch,
            )

    def leave_one_out(self, features: SpeechFeatures) -> dict[str, _Tested]:
        """Train without each corpus in turn; return predictions on it by its name."""
        found = {}
        for name, (training, held_out) in folds(features.utterances).items():
            network, _ = self.train(features, training, f"without {name}")
            clips = features.utterances.take(held_out)
            found[name] = self.predictors(network, features, held_out), clips
        return found

    def predictors(
        self, network: SpeechEmotionModel, features: SpeechFeatures, numbers: Ints | None = None
    ) -> dict[Condition, Predict]:
        """Return the predictions of a network on clips (by default all), by condition."""
        if numbers is None:
            numbers = np.arange(len(features.utterances.rows))
        clips, head = features.utterances.take(numbers), head_of(network, self._weight)
        found: dict[Condition, Predict] = {}
        for condition in _EVALUATED:
            embeddings = tuned_embeddings(network, features, numbers, condition)

            def predict(profile: Profile, seed: int, rows: Floats = embeddings) -> Floats:
                return head.logits(rows, clips, profile, seed)

            found[condition] = predict
        return found

    @property
    def _frozen(self) -> int:
        if self.run.encoder is None:
            return NOTHING_FROZEN
        return self.recipe.layers - self.recipe.fine_tune

    @property
    def _weight(self) -> float:
        return self.recipe.adaptation_weight


def _encoder(run: SpeechRun, recipe: SpeechRecipe, labels: tuple[str, ...]) -> PretrainedWhisper:
    if run.encoder is not None:
        return load_whisper_encoder(run.encoder, layers=recipe.layers, labels=labels)
    return new_encoder(
        layers=recipe.layers,
        width=recipe.width,
        heads=recipe.heads,
        labels=labels,
        seed=recipe.seed,
    )


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _table(tested: Mapping[str, _Tested], temperature: float) -> dict[str, Any]:
    """Return the figures by condition, then corpus, then profile."""
    table: dict[str, Any] = {}
    for condition in _EVALUATED if tested else ():
        reports = {
            name: report(found[condition], clips, temperature)
            for name, (found, clips) in tested.items()
        }
        table[condition.name] = {**reports, "mean": mean_over_corpora(reports)}
    return table


def _check(run: SpeechRun, recipe: SpeechRecipe, utterances: Utterances) -> None:
    if recipe.fine_tune > recipe.layers:
        raise DataError(
            f"--fine-tune {recipe.fine_tune}: the network has {recipe.layers} layers (--layers)."
        )
    if len(np.unique(utterances.label)) < 2:
        raise DataError(
            f"all clips have the label {utterances.rows[0].label!r}: a classifier needs clips of "
            "two or more labels."
        )
    if run.leave_one_out and len(run.train) < 2:
        raise DataError("--leave-one-out needs two or more tables: each table is a corpus.")
    known = {row.audio for row in utterances.rows}
    for path in run.test:
        for row in read_utterances([path], run.layout, utterances.labels).rows:
            if row.audio in known:
                raise DataError(f"{row.where}: {row.audio} is also a training clip.")
    if "mean" in {path.stem for path in (*run.train, *run.test)}:
        raise DataError("mean: not allowed as the name of a corpus. Rename the table.")
