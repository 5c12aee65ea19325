"""Checkpoints that fit are read; those that don't are refused in one line that says what to do."""

import json
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from emo_export.checkpoints.load import Checkpoints, token_ids
from emo_export.checkpoints.tokenizer import BundleTokenizer
from emo_export.checkpoints.validate import check, front_end_of
from emo_export.evaluation.rows import Evaluation
from emo_models.errors import CheckpointError
from emo_models.labels import LABELS

Load = Callable[..., Checkpoints]


@pytest.fixture
def own(tmp_path: Path) -> Callable[[Path], Path]:
    """A copy of a checkpoint that the test may damage."""
    return lambda path: Path(shutil.copytree(path, tmp_path / path.name))


def change(directory: Path, **changes: Any) -> Path:
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return directory


def test_everything_is_read(maker: Any, loaded: Load) -> None:
    encoder = maker.encoder()
    found = loaded(maker.text("mean"), encoder, maker.fusion(encoder, n_mfcc=256))
    assert found.text.labels == LABELS
    assert (found.text.pooling, found.text.temperature) == ("mean", 1.25)
    assert (found.text.hidden, found.text.heads) == (64, 4)
    assert found.text.bundle_tokenizer.max_tokens == 80
    assert not found.shared
    assert found.encoder is not None
    assert found.encoder.labels == ()
    contract = front_end_of(found)
    assert contract is not None
    assert (contract.n_mfcc, contract.n_mels) == (256, 256)
    assert {parameter.dtype for parameter in found.text.module.parameters()} == {torch.float32}
    check(found)


def test_encoder_with_the_classifiers_weights_is_shared(
    maker: Any, loaded: Load, own: Callable[[Path], Path]
) -> None:
    text = maker.text()
    assert loaded(text, own(text), maker.fusion(text)).shared
    assert loaded(text, None, maker.fusion(text)).shared


def test_tokenizer_is_written_bare_and_reads_as_transformers_does(
    maker: Any, loaded: Load, few: Evaluation
) -> None:
    directory = maker.text()
    tokenizer = loaded(directory).text.bundle_tokenizer
    document = json.loads(tokenizer.json)
    assert document["truncation"] is None
    assert document["padding"] is None
    theirs = AutoTokenizer.from_pretrained(directory)
    for text in [*few.texts, "palabra " * 200]:
        expected = theirs(text, truncation=True, max_length=80)["input_ids"]
        assert tokenizer.encode(text).tolist() == expected


def test_the_reference_reads_decomposed_accents_as_the_runtime_does(
    maker: Any, loaded: Load
) -> None:
    text = loaded(maker.text()).text
    composed, decomposed = (unicodedata.normalize(form, "pánico, niño") for form in ("NFC", "NFD"))
    document = json.loads(text.bundle_tokenizer.json)
    document["normalizer"] = None
    bare = BundleTokenizer(
        json.dumps(document), text.bundle_tokenizer.max_tokens, text.bundle_tokenizer.vocab_size
    )
    assert bare.encode(composed).tolist() != bare.encode(decomposed).tolist()
    read = token_ids(replace(text, bundle_tokenizer=bare), [composed, decomposed])
    assert read[0].tolist() == read[1].tolist()


def test_roberta_counts_positions_from_the_padding_on(maker: Any, loaded: Load) -> None:
    config = RobertaConfig(
        vocab_size=600, hidden_size=64, num_hidden_layers=1, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=82, pad_token_id=1, num_labels=6,
    )  # fmt: skip
    directory = maker.other("roberta_positions", RobertaForSequenceClassification(config))
    assert loaded(directory).text.bundle_tokenizer.max_tokens == 80


def refused(call: Callable[[], object], *parts: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        call()
    message = str(caught.value)
    for part in parts:
        assert part in message


def test_missing_parts_are_named(maker: Any, loaded: Load, own: Callable[[Path], Path]) -> None:
    refused(lambda: loaded(Path("no/where/at/all")), "neither a directory nor a Hub id")
    directory = own(maker.text())
    (directory / "config.json").unlink()
    refused(lambda: loaded(directory), "holds no config.json")
    directory = own(maker.text("mean"))
    (directory / "model.safetensors").unlink()
    refused(lambda: loaded(directory), "holds no weights", "model.safetensors, ")


def test_hub_without_network_is_one_line(loaded: Load) -> None:
    refused(lambda: loaded(Path("somebody/some-model")), "not available from the Hub")


def test_damaged_weights_are_refused(maker: Any, loaded: Load, own: Callable[[Path], Path]) -> None:
    directory = own(maker.text())
    (directory / "model.safetensors").write_bytes(b"\x00" * 100)
    refused(lambda: loaded(directory), "its weights can't be read")


def test_fusion_network_must_know_its_encoder(
    maker: Any, loaded: Load, own: Callable[[Path], Path]
) -> None:
    text, encoder = maker.text(), maker.encoder()
    fusion = maker.fusion(encoder)
    trained_on = json.loads((fusion / "config.json").read_text())["encoder_sha256"]
    refused(lambda: check(loaded(text, None, fusion)), "was trained on", trained_on, "--encoder")
    check(loaded(text, encoder, fusion))
    check(loaded(text, encoder, change(own(fusion), encoder_sha256=trained_on)))


def test_labels_must_be_the_same(maker: Any, loaded: Load, own: Callable[[Path], Path]) -> None:
    encoder = maker.encoder()
    fusion = change(own(maker.fusion(encoder)), labels=list(reversed(LABELS)))
    refused(lambda: check(loaded(maker.text(), encoder, fusion)), "order counts")
    names = {str(index): f"LABEL_{index}" for index in range(6)}
    text = change(own(maker.text()), id2label=names, label2id=None)
    refused(lambda: check(loaded(text)), "id2label", "label words")


def test_widths_must_fit(maker: Any, loaded: Load) -> None:
    encoder = maker.encoder()
    fusion = maker.fusion(encoder, hidden=32)
    refused(lambda: check(loaded(maker.text(), encoder, fusion)), "width 32", "gives 64")


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"temperature": 0.0}, "temperature 0.0"),
        ({"audio": {"n_mfcc": 56}}, "reads 128 coefficients"),
        ({"audio": {"n_mfcc": 128, "window": "kaiser"}}, "can't compute such features"),
    ],
)
def test_settings_that_no_runtime_can_serve(
    maker: Any, loaded: Load, own: Callable[[Path], Path], changes: dict[str, Any], part: str
) -> None:
    encoder = maker.encoder()
    fusion = change(own(maker.fusion(encoder)), **changes)

    def attempt() -> None:
        checkpoints = loaded(maker.text(), encoder, fusion)
        check(checkpoints)
        front_end_of(checkpoints)

    refused(attempt, part)


def test_tokenizer_of_another_model(maker: Any, loaded: Load, own: Callable[[Path], Path]) -> None:
    directory = change(own(maker.text()), vocab_size=300)
    weights = load_file(directory / "model.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    weights[name] = weights[name][:300].clone()
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    refused(lambda: loaded(directory), "the tokenizer has the id", "the network knows 300 ids")
