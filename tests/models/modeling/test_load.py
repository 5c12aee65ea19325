"""Text checkpoints in every layout of the Hub, and the ones that must be refused."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    LongformerConfig,
    RobertaConfig,
    RobertaForMaskedLM,
)

from emo_models.checkpoint import save_text
from emo_models.errors import CheckpointError
from emo_models.modeling.encoders import Head, new_classifier
from emo_models.modeling.load import load_encoder, load_text
from emo_models.modeling.source import checkpoint_directory, weights_sha256
from helpers.hub_cache import snapshot

SIZE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
}


@pytest.fixture(scope="session")
def classifier(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock BERT classifier of three labels."""
    model, tokenizer = new_classifier(str(encoder), Head(labels=("yes", "no", "maybe")), seed=3)
    directory = tmp_path_factory.mktemp("classifier") / "text"
    save_text(directory, model, tokenizer)
    return directory


@pytest.fixture
def own(classifier: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return Path(shutil.copytree(classifier, tmp_path / "own"))


def state(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "model.safetensors")


def write(directory: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def change(directory: Path, **changes: Any) -> None:
    path = directory / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def as_pickle(directory: Path) -> None:
    torch.save(state(directory), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()


def as_shards(directory: Path, stem: str, index: str, save: Callable[[Any, Path], None]) -> None:
    tensors = state(directory)
    names = list(tensors)
    parts = (names[::2], names[1::2])
    weight_map = {}
    for number, part in enumerate(parts, start=1):
        file = stem.format(number)
        save({name: tensors[name] for name in part}, directory / file)
        weight_map |= dict.fromkeys(part, file)
    (directory / "model.safetensors").unlink()
    (directory / index).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def as_sharded_safetensors(directory: Path) -> None:
    as_shards(
        directory,
        "model-{:05}-of-00002.safetensors",
        "model.safetensors.index.json",
        lambda tensors, path: save_file(tensors, path, metadata={"format": "pt"}),
    )


def as_sharded_pickles(directory: Path) -> None:
    as_shards(
        directory, "pytorch_model-{:05}-of-00002.bin", "pytorch_model.bin.index.json", torch.save
    )


@pytest.mark.parametrize("layout", [as_pickle, as_sharded_safetensors, as_sharded_pickles])
def test_every_layout_of_weights(
    own: Path, classifier: Path, layout: Callable[[Path], None]
) -> None:
    layout(own)
    expected, found = load_text(classifier), load_text(own)
    for name, tensor in expected.module.state_dict().items():
        assert torch.equal(found.module.state_dict()[name], tensor), name
    assert found.labels == ("yes", "no", "maybe")
    assert len(found.sha256) == 64
    # Each layout is also an encoder to fine-tune.
    model, _ = new_classifier(str(own), Head())
    assert model.config.num_labels == 6


def test_the_hash_of_shards_follows_every_shard(own: Path) -> None:
    as_sharded_safetensors(own)
    before = weights_sha256(own)
    path = own / "model-00002-of-00002.safetensors"
    tensors = load_file(path)
    next(iter(tensors.values())).add_(1)
    save_file(tensors, path, metadata={"format": "pt"})
    assert weights_sha256(own) != before
    path.unlink()
    with pytest.raises(CheckpointError, match=r"names model-00002-of-00002\.safetensors, which is"):
        load_text(own)


class Attack:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("attacked"),))


def test_a_pickle_with_code_is_refused_and_not_run(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own.parent)
    (own / "model.safetensors").unlink()
    torch.save({"a": Attack()}, own / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="its weights can't be read"):
        load_text(own)
    (own / "pytorch_model.bin").write_bytes(pickle.dumps(Attack()))
    with pytest.raises(CheckpointError, match="its weights can't be read"):
        load_text(own)
    assert not Path("attacked").exists()


def renamed(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.replace("bert.", "net."): tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (lambda t: {n: v for n, v in t.items() if "classifier" not in n},
         ("2 missing (classifier.bias, classifier.weight)",)),
        (renamed, ("not those of a BertForSequenceClassification", "no name begins with 'bert'")),
        (lambda t: t | {"classifier.bias": torch.zeros(7)},
         ("1 of another shape (classifier.bias)",)),
        (lambda t: t | {"bert.encoder.layer.2.output.dense.bias": torch.zeros(16)},
         ("1 unexpected (bert.encoder.layer.2.output.dense.bias)",)),
    ],
)  # fmt: skip
def test_lost_weights_are_errors_with_their_names(
    own: Path, damage: Callable[[Any], Any], parts: tuple[str, ...]
) -> None:
    write(own, damage(state(own)))
    with pytest.raises(CheckpointError) as caught:
        load_text(own)
    for part in parts:
        assert part in str(caught.value)


def test_an_encoder_may_have_heads_but_lacks_nothing(own: Path) -> None:
    assert load_encoder(own).labels == ()
    name = "bert.encoder.layer.1.output.dense.weight"
    write(own, {key: value for key, value in state(own).items() if key != name})
    with pytest.raises(CheckpointError, match=r"1 missing \(encoder.layer.1.output.dense.weight\)"):
        load_encoder(own)
    with pytest.raises(CheckpointError, match="1 missing"):
        new_classifier(str(own), Head())


def test_constant_positions_of_old_versions_are_no_lost_weights(own: Path) -> None:
    write(own, state(own) | {"bert.embeddings.position_ids": torch.arange(24)[None]})
    assert load_text(own).labels == ("yes", "no", "maybe")


def test_a_classifier_as_encoder_gets_a_fresh_head(classifier: Path) -> None:
    """Also where the old head has the same shape."""
    old = load_text(classifier).module
    model, _ = new_classifier(str(classifier), Head(labels=("a", "b", "c")), seed=5)
    assert not torch.equal(model.classifier.weight, old.classifier.weight)
    assert torch.equal(model.bert.encoder.layer[0].output.dense.weight,
                       old.bert.encoder.layer[0].output.dense.weight)  # fmt: skip
    again, _ = new_classifier(str(classifier), Head(labels=("a", "b", "c")), seed=5)
    assert torch.equal(again.classifier.weight, model.classifier.weight)
    seven, _ = new_classifier(str(classifier), Head(labels=tuple("abcdefg")), seed=5)
    assert seven.classifier.weight.shape == (7, 16)


@pytest.fixture
def beto(encoder: Path, tmp_path: Path) -> Path:
    """The files of BETO on the Hub: no model_type, pickled weights of a masked language model."""
    directory = tmp_path / "hub"
    directory.mkdir()
    tokenizer = json.loads((encoder / "tokenizer.json").read_text())
    words = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    (directory / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (directory / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    torch.manual_seed(4)
    model = BertForMaskedLM(BertConfig(**SIZE, vocab_size=len(words)))
    torch.save(model.state_dict(), directory / "pytorch_model.bin")
    config = {**SIZE, "vocab_size": len(words), "type_vocab_size": 2, "hidden_act": "gelu"}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def test_betos_hub_directory(beto: Path) -> None:
    read = load_encoder(beto)
    expected = torch.load(beto / "pytorch_model.bin", weights_only=True)
    name = "encoder.layer.1.output.dense.weight"
    assert torch.equal(read.module.state_dict()[name], expected[f"bert.{name}"])
    model, tokenizer = new_classifier(str(beto), Head())
    assert torch.equal(model.bert.state_dict()[name], expected[f"bert.{name}"])
    assert tokenizer("Pena")["input_ids"] != tokenizer("pena")["input_ids"]
    with pytest.raises(CheckpointError, match="4 missing"):
        load_text(beto)


def test_a_hub_id_is_read_from_the_offline_cache(
    beto: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = snapshot(tmp_path / "cache", "somebody/beto")
    shutil.copytree(beto, directory)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert checkpoint_directory("somebody/beto") == directory
    assert load_encoder("somebody/beto").sha256 == weights_sha256(beto)
    with pytest.raises(CheckpointError, match="not available from the Hub or its local cache"):
        load_encoder("somebody/absent")


def test_other_checkpoints_than_text_classifiers_are_refused(own: Path, tmp_path: Path) -> None:
    change(own, problem_type="regression")
    with pytest.raises(CheckpointError, match="a regression head"):
        load_text(own)
    change(own, problem_type=None, model_type="longformer")
    with pytest.raises(CheckpointError, match=r"longformer is not supported: .*full attention"):
        load_text(own)
    change(own, model_type="wav2vec2")
    with pytest.raises(CheckpointError, match="no text classifier for 'wav2vec2'"):
        load_text(own)
    change(own, model_type="bert", pooling="max")
    with pytest.raises(CheckpointError, match="pooling is 'max'; expected one of: cls, mean"):
        load_text(own)
    assert LongformerConfig.model_type == "longformer"
    with pytest.raises(CheckpointError, match="neither a directory nor a Hub id"):
        load_text(tmp_path / "absent")


def test_another_architecture_is_fine_tuned_with_its_own_classifier(
    encoder: Path, tmp_path: Path
) -> None:
    config = RobertaConfig(
        **{**SIZE, "max_position_embeddings": 26}, vocab_size=130, pad_token_id=1
    )
    directory = tmp_path / "roberta"
    RobertaForMaskedLM(config).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(encoder / name, directory)
    assert load_encoder(directory).max_tokens == 24
    model, tokenizer = new_classifier(str(directory), Head(labels=("a", "b")), seed=1)
    save_text(tmp_path / "text", model, tokenizer)
    theirs = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "text", torch_dtype=torch.float32
    )
    ids = torch.tensor([[4, 9, 9, 5]])
    found = load_text(tmp_path / "text").module(input_ids=ids).logits
    torch.testing.assert_close(theirs.eval()(input_ids=ids).logits, found)
    with pytest.raises(CheckpointError, match="pooling 'mean' is for BERT"):
        new_classifier(str(directory), Head(pooling="mean"))


def test_the_same_weights_as_transformers(classifier: Path) -> None:
    ids = torch.tensor([[2, 9, 8, 3]])
    mask = torch.ones_like(ids)
    theirs = BertForSequenceClassification.from_pretrained(classifier, torch_dtype=torch.float32)
    ours = load_text(classifier).module(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(ours, theirs.eval()(ids, mask).logits)
    encoder = AutoModel.from_pretrained(classifier, torch_dtype=torch.float32).eval()
    torch.testing.assert_close(
        load_encoder(classifier).module(input_ids=ids)[0], encoder(input_ids=ids)[0]
    )
