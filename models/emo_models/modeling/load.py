"""Reader of text checkpoints, shared by training, evaluation and export.

Weights are never lost silently: missing weights, unexpected weights and weights of another shape
raise an error that lists them.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_MAPPING,
)
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from emo_models.errors import CheckpointError, first_line
from emo_models.modeling.positions import max_tokens
from emo_models.modeling.source import (
    CONFIG,
    checkpoint_directory,
    read_config,
    weight_files,
    weights_sha256,
)
from emo_models.modeling.text_classifier import CLASSES
from emo_models.modeling.tokenizer import read_tokenizer
from emo_runtime.bundle.text_preparation import RULES, TextPreparation

MULTI_LABEL = "multi_label_classification"  # problem_type of config.json
# Parts of a checkpoint that an encoder does not need: heads of other tasks, and their poolers.
HEADS = frozenset(
    {
        "classifier", "cls", "decoder", "discriminator_predictions", "dropout", "generator_lm_head",
        "generator_predictions", "head", "lm_head", "lm_predictions", "logits_proj",
        "mask_predictions", "ngrams", "pooler", "pre_classifier", "predictions", "qa_outputs",
        "score", "sequence_summary", "sop_classifier", "vocab_layer_norm", "vocab_projector",
        "vocab_transform",
    }
)  # fmt: skip
_REFUSED = {
    "longformer": "its attention works on windows of fixed size, which no graph of this runtime "
    "has. Use a model with full attention",
    "big_bird": "its attention works on blocks, which no graph of this runtime has. Use a model "
    "with full attention",
}
_SHOWN = 4


@dataclass(frozen=True, eq=False)
class TextCheckpoint:
    """A classifier or an encoder with all of its weights.

    Attributes:
        directory: local directory of the files.
        module: the transformers model, float32, in evaluation mode.
        tokenizer: its fast transformers tokenizer.
        config: config.json as it is in the directory.
        sha256: hash of the weights (``weights_sha256``).
        max_tokens: maximum number of tokens, special tokens included.
        labels: labels in class order; empty for an encoder.
    """

    directory: Path
    module: Any
    tokenizer: Any
    config: dict[str, Any]
    sha256: str
    max_tokens: int
    labels: tuple[str, ...]

    @property
    def hidden(self) -> int:
        """Width of the last hidden state."""
        return int(self.module.config.hidden_size)

    @property
    def heads(self) -> int:
        """Number of attention heads of a layer."""
        return int(self.module.config.num_attention_heads)

    @property
    def vocab_size(self) -> int:
        """Number of token ids in the network's vocabulary."""
        return int(self.module.config.vocab_size)

    @property
    def pooling(self) -> str:
        """Pooling of the last hidden state for the classifier: ``cls`` or ``mean``."""
        return str(self.config.get("pooling", "cls"))

    @property
    def temperature(self) -> float:
        """Divisor of the logits before the activation."""
        return float(self.config.get("temperature", 1.0))

    @property
    def preparation(self) -> TextPreparation:
        """Changes to a transcript before it is tokenized (``text_preparation`` in config.json).

        Raises:
            CheckpointError: a preparation that the runtime does not know.
        """
        declared = self.config.get("text_preparation", {})
        try:
            found = msgspec.convert(declared, TextPreparation)
        except msgspec.ValidationError as error:
            raise CheckpointError(
                f"{self.directory}/{CONFIG}: text_preparation: {error}. Known rules: "
                f"{', '.join(RULES)}."
            ) from None
        strip = found.strip or bool(self.config.get("strip_text", False))
        return msgspec.structs.replace(found, strip=strip)

    @property
    def fusion_preparation(self) -> TextPreparation:
        """``preparation`` for the text side of a fusion network, which is always stripped.

        Leading and trailing spaces are removed as in the paper (section 4.2.2).
        """
        return msgspec.structs.replace(self.preparation, strip=True)

    @property
    def multi_label(self) -> bool:
        """True for sigmoid tasks: an utterance can have several labels."""
        return self.config.get("problem_type") == MULTI_LABEL


def load_text(source: Path | str) -> TextCheckpoint:
    """Read a text classifier with all of its weights.

    The class follows ``pooling`` in config.json: ``cls`` (the default) is the architecture's own
    classifier, ``mean`` is this package's.

    Args:
        source: a directory or a Hub id.

    Raises:
        CheckpointError: not a classifier, or one whose weights don't fit its config.json.
    """
    directory = checkpoint_directory(source)
    config = model_config(directory)
    values = read_config(directory)
    pooling = values.get("pooling", "cls")
    if pooling not in CLASSES:
        raise CheckpointError(
            f"{directory}/{CONFIG}: pooling is {pooling!r}; expected one of: {', '.join(CLASSES)}."
        )
    refuse_regression(directory, values, config)
    module, info = read_weights(classifier_class(config, pooling), directory, config)
    unused = {"pooler"} - {name.split(".")[0] for name in _inner_names(module)}
    refuse_lost_weights(directory, info, module, unused_parts=unused)
    names: dict[int, str] = config.id2label
    labels = tuple(names[index] for index in sorted(names))
    return _checkpoint(directory, module, config, values, labels)


def load_encoder(source: Path | str) -> TextCheckpoint:
    """Read a text network without its head; heads of any task in the checkpoint are ignored.

    Args:
        source: a directory or a Hub id.

    Raises:
        CheckpointError: not a text network, or one whose weights don't fit its config.json.
    """
    directory = checkpoint_directory(source)
    config = model_config(directory)
    network = MODEL_MAPPING[type(config)]
    more = {"add_pooling_layer": False} if _takes_pooling(network) else {}
    module, info = read_weights(network, directory, config, **more)
    refuse_lost_weights(directory, info, module, unused_parts=HEADS)
    return _checkpoint(directory, module, config, read_config(directory), ())


def model_config(directory: Path) -> Any:
    """Return the transformers configuration of a checkpoint.

    Without ``model_type`` in config.json (as in BETO's), ``architectures`` decides, else BERT is
    assumed.

    Raises:
        CheckpointError: unknown or unsupported architecture.
    """
    values = read_config(directory)
    kind = values.get("model_type") or _model_type(values)
    if kind in _REFUSED:
        raise CheckpointError(f"{directory}: {kind} is not supported: {_REFUSED[kind]}.")
    if (
        not isinstance(kind, str)
        or kind not in CONFIG_MAPPING
        or CONFIG_MAPPING[kind] not in MODEL_MAPPING
    ):
        raise CheckpointError(
            f"{directory}/{CONFIG}: model_type {kind!r} is not a text network that this version of "
            "transformers knows."
        )
    with quiet():
        config = CONFIG_MAPPING[kind].from_dict({**values, "model_type": kind})
    needed = ("hidden_size", "num_attention_heads", "vocab_size", "max_position_embeddings")
    if missing := [name for name in needed if not isinstance(getattr(config, name, None), int)]:
        raise CheckpointError(
            f"{directory}/{CONFIG}: model_type {kind!r} has no {', '.join(missing)}. Give a text "
            "encoder (BERT, RoBERTa and the like) or a classifier made of one."
        )
    return config


def read_weights(
    network: Any, directory: Path, config: Any, **more: Any
) -> tuple[Any, dict[str, Any]]:
    """Return a network with a checkpoint's weights, and transformers' loading report.

    Pickled files are read as plain tensors only: no code in them is run.

    Raises:
        CheckpointError: no weights, or unreadable files.
    """
    weight_files(directory)
    try:
        with quiet():
            module, info = network.from_pretrained(
                directory,
                config=config,
                torch_dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refuse_lost_weights lists them
                **more,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if "state dictionary" in str(error):  # transformers: no name has the network's prefix
            raise CheckpointError(
                f"{directory}: its weights are not those of a {network.__name__}: no name begins "
                f"with {network.base_model_prefix!r}. Give a checkpoint that transformers wrote."
            ) from error
        raise CheckpointError(f"{directory}: its weights can't be read: {_root(error)}") from error
    return module.eval(), info


def refuse_regression(directory: Path, values: Mapping[str, Any], config: Any) -> None:
    """Refuse a head that gives one number.

    Args:
        directory: directory of the checkpoint, for the message.
        values: its config.json.
        config: its transformers configuration.

    Raises:
        CheckpointError: the head is for regression.
    """
    if values.get("problem_type") == "regression" or config.num_labels == 1:
        raise CheckpointError(
            f"{directory}/{CONFIG}: a regression head (one number, no labels). Give a classifier "
            "with two or more labels."
        )


def refuse_lost_weights(
    directory: Path,
    info: dict[str, Any],
    module: Any,
    *,
    fresh: Collection[str] = (),
    unused_parts: Collection[str] = (),
) -> None:
    """Refuse a checkpoint whose weights were not all loaded unchanged.

    Args:
        directory: directory of the checkpoint, for the message.
        info: transformers' loading report.
        module: the network.
        fresh: parts (``classifier``) of the network that may be missing or of another shape.
        unused_parts: parts of the checkpoint that the network may lack.

    Raises:
        CheckpointError: names the weights.
    """
    prefix = f"{module.base_model_prefix}."

    def part(name: str) -> str:
        return name.removeprefix(prefix).split(".")[0]

    missing = [name for name in info["missing_keys"] if part(name) not in fresh]
    mismatched = [
        name for name in info["mismatched_keys"] if part(name) not in {*fresh, *unused_parts}
    ]
    # Old versions of transformers saved the constant 0, 1, 2, ... with the weights.
    unexpected = [
        name
        for name in info["unexpected_keys"]
        if part(name) not in unused_parts and not name.endswith("position_ids")
    ]
    kinds = (("missing", missing), ("of another shape", mismatched), ("unexpected", unexpected))
    faults = [f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds if names]
    if faults:
        raise CheckpointError(
            f"{directory}: its weights are not those of a {type(module).__name__} as {CONFIG} "
            f"describes it: {'; '.join(faults)}. Give a complete checkpoint of this kind."
        )


def _checkpoint(
    directory: Path, module: Any, config: Any, values: dict[str, Any], labels: tuple[str, ...]
) -> TextCheckpoint:
    with quiet():
        tokenizer = read_tokenizer(directory, config)
    return TextCheckpoint(
        directory=directory,
        module=module,
        tokenizer=tokenizer,
        config=values,
        sha256=weights_sha256(directory),
        max_tokens=max_tokens(config),
        labels=labels,
    )


def classifier_class(config: Any, pooling: str) -> Any:
    """Return the classifier class for an architecture and a pooling.

    Raises:
        CheckpointError: the architecture has no classifier with that pooling.
    """
    if config.model_type == "bert":
        return CLASSES[pooling]
    if pooling != "cls":
        raise CheckpointError(
            f"pooling {pooling!r} is for BERT; {config.model_type!r} has the classifier of its own "
            "architecture ('cls')."
        )
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise CheckpointError(f"transformers has no text classifier for {config.model_type!r}.")
    return MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]


def _takes_pooling(network: Any) -> bool:
    return "add_pooling_layer" in inspect.signature(network.__init__).parameters


def _inner_names(module: Any) -> Iterator[str]:
    """Return the parameter names relative to the encoder and to the whole network."""
    prefix = f"{module.base_model_prefix}."
    for name, _ in module.named_parameters():
        yield name.removeprefix(prefix)


def _model_type(values: dict[str, Any]) -> str | None:
    """Infer the architecture from the class name, else BERT if the config has BERT's fields."""
    classes = values.get("architectures") or [""]
    stems: dict[str, str] = {
        names.removesuffix("Model"): kind
        for kind, names in MODEL_MAPPING_NAMES.items()
        if isinstance(names, str)
    }
    known = [stem for stem in stems if str(classes[0]).startswith(stem)]
    if known:
        return stems[max(known, key=len)]
    shape = {"hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"}
    return "bert" if shape <= values.keys() else None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(sorted(names)[:_SHOWN]) + more


def _root(error: BaseException) -> str:
    """Return the root cause in one line: transformers wraps it in advice that is wrong here."""
    while error.__cause__ is not None or (error.__context__ and not error.__suppress_context__):
        error = error.__cause__ or error.__context__ or error
    return first_line(error)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' warnings about weights: ``refuse_lost_weights`` checks them."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
