"""Recipes of ``emo-train text-mixture``: TOML files with several corpora and their weights."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from emo_models.errors import DataError
from emo_runtime.bundle.text_preparation import TextPreparation

_Count = Annotated[int, msgspec.Meta(ge=1)]
_Number = Annotated[int, msgspec.Meta(ge=0)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_NotNegative = Annotated[float, msgspec.Meta(ge=0)]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_ShareBelowOne = Annotated[float, msgspec.Meta(ge=0, lt=1)]

Builtin = Literal["synthetic", "written"]


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A corpus of a mixture: where its rows come from, how they are split, how they count.

    Exactly one of ``path`` and ``builtin`` is given. Rows of one group (of equal text, in a table
    without groups) are in one fold, which is the hash of the group modulo ``folds``.

    Attributes:
        path: table with texts and labels.
        builtin: this project's own sentences: ``synthetic`` (made from templates) or ``written``.
        generator_seed: seed of the synthetic sentences.
        text_column: see ``--text-column`` of the other recipes; likewise the next five.
        label_column: column of the label.
        id_column: column of the id.
        delimiter: delimiter of the table.
        encoding: encoding of the table.
        label_map: labels by words of the table.
        group_column: column of the group (video, speaker).
        videos: MEACorpus folder, which names the video of the table's rows.
        strip: characters to remove at both ends of a text.
        train_split: value of the column ``split`` of the training rows.
        validation_split: value of that column of the validation rows.
        folds: number of folds.
        validation_folds: folds whose rows are for validation.
        test_folds: folds whose rows are a test set.
        similar_to: another source. Training rows whose embedding is more similar to one of its
            held-out rows than ``largest_similarity`` (cosine) are left out: translations.
        largest_similarity: see ``similar_to``.
        weight: weight of each row in the loss.
        smoothing: share of the target spread over all labels (noisy labels need more).
        cap: largest number of rows of a label in an epoch; other rows are in later epochs.
        label_caps: ``cap`` by label, where it differs.
        join: share of the rows followed by one to three others of the same label, so that a corpus
            of short sentences trains longer utterances too.
        calibrate: the validation rows are used for the temperature and the score of an epoch.
    """

    path: str | None = None
    builtin: Builtin | None = None
    generator_seed: _Number = 0
    text_column: str | None = None
    label_column: str | None = None
    id_column: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    label_map: dict[str, str] = {}
    group_column: str | None = None
    videos: str | None = None
    strip: str = ""
    train_split: str | None = None
    validation_split: str | None = None
    folds: _Count = 10
    validation_folds: tuple[_Number, ...] = ()
    test_folds: tuple[_Number, ...] = ()
    similar_to: str | None = None
    largest_similarity: Annotated[float, msgspec.Meta(ge=-1, le=1)] = 0.9
    weight: _Positive = 1.0
    smoothing: _ShareBelowOne = 0.05
    cap: _Count = 1_000_000
    label_caps: dict[str, _Count] = {}
    join: _Share = 0.0
    calibrate: bool = True

    def limit(self, label: str) -> int:
        """Return the largest number of rows of a label in an epoch."""
        return self.label_caps.get(label, self.cap)


class TextAugmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Shares of the texts that are written as speech recognizers and hurried writers do.

    Attributes:
        recognizer: lower case, without punctuation.
        no_opening_marks: without ``¿`` and ``¡``.
        no_accents: without accents and tildes.
        lower: lower case.
        no_final_mark: without a final full stop or exclamation mark.
    """

    recognizer: _Share = 0.2
    no_opening_marks: _Share = 0.15
    no_accents: _Share = 0.1
    lower: _Share = 0.1
    no_final_mark: _Share = 0.1


class SoftLabels(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Probabilities of a teacher for texts of the sources.

    Attributes:
        tables: tables with the columns text and score_LABEL, as ``emo-predict --scores`` writes.
        share: share of the target that comes from the teacher.
    """

    tables: tuple[str, ...] = ()
    share: _Share = 0.5


class MixtureRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Fine-tuning of a mean-pooled BERT classifier on several corpora at once.

    Attributes:
        sources: the corpora by name.
        tests: test tables by name. Their rows are never trained on, by id and by text.
        exclude: more tables whose rows are never trained on. Synthetic sentences that are similar
            to one of their texts are left out too.
        labels: label set and order; empty: the labels of the training rows, sorted.
        layers: number of first layers of the encoder to use; null: all.
        epochs: passes over the rows (``cap`` limits the rows of a pass).
        learning_rate: of AdamW, for the last layer.
        head_rate: learning rate of the classifier, as a multiple of ``learning_rate``.
        layer_decay: factor of the learning rate from a layer to the one below.
        weight_decay: of the layers.
        warmup_share: share of all steps with a rising rate; then it falls linearly to 0.
        row_limit: largest number of rows in a step.
        token_limit: largest number of tokens in a step, padding included.
        rows_per_step: the summed loss of a step is divided by this constant, so that every row
            has the same weight whatever the size of its step.
        max_tokens: longer texts are cut.
        token_masking: share of tokens that become the mask token.
        dropout: of the pooled state.
        class_weight_power: class weights are inverse frequencies to this power.
        ema: decay of the moving average of the weights, per step; the average is what is written.
        frozen_layers: number of first layers that are not trained.
        bf16: compute in bfloat16 (weights stay float32).
        seed: of order, augmentation and dropout.
        augmentation: changes to training texts.
        preparation: changes to every text, in training and in the runtime.
        soft: soft labels of a teacher.
    """

    sources: dict[str, Source]
    tests: dict[str, str] = {}
    exclude: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    layers: _Count | None = None
    epochs: _Count = 3
    learning_rate: _Positive = 1e-4
    head_rate: _Positive = 5.0
    layer_decay: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.9
    weight_decay: _NotNegative = 0.01
    warmup_share: _ShareBelowOne = 0.06
    row_limit: _Count = 64
    token_limit: _Count = 1536
    rows_per_step: _Count = 40
    max_tokens: Annotated[int, msgspec.Meta(ge=8)] = 96
    token_masking: _ShareBelowOne = 0.08
    dropout: _ShareBelowOne = 0.1
    class_weight_power: _NotNegative = 0.5
    ema: _ShareBelowOne = 0.995
    frozen_layers: _Number = 0
    bf16: bool = True
    seed: _Number = 0
    augmentation: TextAugmentation = msgspec.field(default_factory=TextAugmentation)
    preparation: TextPreparation = msgspec.field(default_factory=TextPreparation)
    soft: SoftLabels = msgspec.field(default_factory=SoftLabels)


def read_mixture_recipe(path: Path) -> MixtureRecipe:
    """Read a recipe from a TOML file. Relative paths in it start at the working directory.

    Raises:
        DataError: not a TOML file, an unknown key, or a value of a wrong type or range.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a TOML file: {error}") from None
    try:
        recipe = msgspec.convert(document, MixtureRecipe)
    except msgspec.ValidationError as error:
        raise DataError(f"{path}: {error}. The keys are in docs/models/text-mixture.md.") from None
    _check(path, recipe)
    return recipe


def _check(path: Path, recipe: MixtureRecipe) -> None:
    if not recipe.sources:
        raise DataError(f"{path}: no corpus. Add a table [sources.NAME] with a path.")
    for name, source in recipe.sources.items():
        where = f"{path}: [sources.{name}]"
        if (source.path is None) == (source.builtin is None):
            raise DataError(f"{where}: give either path or builtin.")
        if (source.train_split is None) != (source.validation_split is None):
            raise DataError(f"{where}: train_split and validation_split need each other.")
        held = (*source.validation_folds, *source.test_folds)
        if len(set(held)) < len(held) or any(fold >= source.folds for fold in held):
            raise DataError(
                f"{where}: validation_folds and test_folds must be different numbers below folds "
                f"({source.folds})."
            )
        if source.similar_to is not None and source.similar_to not in recipe.sources:
            raise DataError(f"{where}: similar_to names no source: {source.similar_to!r}.")
