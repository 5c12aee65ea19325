"""Untouched graphs answer what PyTorch answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from emo_export.checkpoints.load import Checkpoints, token_ids
from emo_export.evaluation.compare import run_fusion
from emo_export.evaluation.inputs import Inputs
from emo_export.evaluation.reference import reference
from emo_export.evaluation.rows import Evaluation
from emo_export.evaluation.session import GraphSession
from emo_export.onnx_graph import CONTRIB
from emo_export.torch_export import graph
from emo_models.modeling.fusion import VARIANTS
from emo_models.modeling.text_classifier import masked_mean

Load = Callable[..., Checkpoints]
TOLERANCE = 1e-4


def names_and_axes(items: Any) -> dict[str, tuple[str | int, ...]]:
    return {
        item.name: tuple(dim.dim_param or dim.dim_value for dim in item.type.tensor_type.shape.dim)
        for item in items
    }


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_text_graph_answers_as_the_checkpoint(
    maker: Any, loaded: Load, few: Evaluation, pooling: str
) -> None:
    checkpoints = loaded(maker.text(pooling))
    model = graph(checkpoints)["text"]
    session = GraphSession(model, plain=True)
    rows = token_ids(checkpoints.text, few.texts, strip=False)
    found = np.stack([session.text(ids)["logits"] for ids in rows])
    assert np.abs(found - reference(checkpoints, Inputs(few.texts)).text).max() < TOLERANCE


def test_padding_changes_nothing(maker: Any, loaded: Load) -> None:
    checkpoints = loaded(maker.text("mean"))
    session = GraphSession(graph(checkpoints)["text"], plain=True)
    ids = np.arange(5, 17, dtype=np.int64)
    padded = np.zeros((2, 20), np.int64)
    mask = np.zeros((2, 20), np.int64)
    padded[0, :12], mask[0, :12] = ids, 1
    padded[1], mask[1] = np.arange(30, 50), 1
    together = session.run(input_ids=padded, attention_mask=mask)["logits"]
    assert np.abs(together[0] - session.text(ids)["logits"]).max() < 1e-5


def test_token_types_are_zeros(maker: Any, loaded: Load) -> None:
    checkpoints = loaded(maker.text("cls"))
    model: Any = checkpoints.text.module
    session = GraphSession(graph(checkpoints)["text"], plain=True)
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        logits = model(ids, torch.ones_like(ids), token_type_ids=torch.zeros_like(ids)).logits
    assert np.abs(session.text(ids[0].numpy())["logits"] - logits[0].numpy()).max() < TOLERANCE


def test_contract_of_the_graphs(maker: Any, loaded: Load) -> None:
    encoder = maker.encoder()
    graphs = graph(
        loaded(maker.text(), encoder, maker.fusion(encoder, present_input=True, n_mfcc=56))
    )
    tokens = ("batch", "tokens")
    for name in ("text", "encoder"):
        inputs = graphs[name].graph.input
        assert names_and_axes(inputs) == {"input_ids": tokens, "attention_mask": tokens}
        assert {item.type.tensor_type.elem_type for item in inputs} == {onnx.TensorProto.INT64}
    assert names_and_axes(graphs["text"].graph.output) == {"logits": ("batch", 6)}
    assert names_and_axes(graphs["encoder"].graph.output) == {"embedding": ("batch", 64)}
    assert names_and_axes(graphs["fusion"].graph.input) == {
        "audio": ("batch", 56),
        "text": ("batch", 64),
        "present": ("batch", 2),
    }
    for model in graphs.values():
        onnx.checker.check_model(model)
        assert {node.domain for node in model.graph.node} <= {"", CONTRIB}
        assert not model.functions


def test_one_graph_where_both_tasks_have_the_same_encoder(
    maker: Any, loaded: Load, few: Evaluation
) -> None:
    text = maker.text("mean")
    checkpoints = loaded(text, None, maker.fusion(text))
    graphs = graph(checkpoints)
    assert set(graphs) == {"text", "fusion"}
    [ids] = token_ids(checkpoints.text, few.texts[:1], strip=True)
    found = GraphSession(graphs["text"], plain=True).text(ids)
    core: Any = checkpoints.text.module.base_model
    row = torch.from_numpy(ids[None])
    with torch.no_grad():
        states = core(row, torch.ones_like(row)).last_hidden_state
        expected = masked_mean(states, torch.ones_like(row))[0].numpy()
    assert np.abs(found["embedding"] - expected).max() < TOLERANCE
    assert set(found) == {"logits", "embedding"}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("present", [False, True])
def test_fusion_graph_answers_as_the_checkpoint(
    maker: Any, loaded: Load, variant: str, present: bool
) -> None:
    encoder = maker.encoder()
    fusion = maker.fusion(encoder, variant=variant, present_input=present)
    checkpoints = loaded(maker.text(), encoder, fusion)
    model = graph(checkpoints)["fusion"]
    random = np.random.default_rng(0)
    mfcc = (20 * random.standard_normal((7, 128))).astype(np.float32)
    text = random.standard_normal((7, 64)).astype(np.float32)
    module = checkpoints.fusion.module
    for there in [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)] if present else [(1.0, 1.0)]:
        inputs = [torch.from_numpy(mfcc), torch.from_numpy(text)]
        inputs += [torch.tensor(there).expand(7, 2)] if present else []
        with torch.no_grad():
            expected = module(*inputs).numpy()
        assert np.abs(run_fusion(model, mfcc, text, there) - expected).max() < TOLERANCE


SMALL = {"vocab_size": 600, "num_labels": 6, "pad_token_id": 0}
OTHERS = {
    "roberta": lambda: RobertaForSequenceClassification(
        RobertaConfig(
            hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
            max_position_embeddings=82, type_vocab_size=1, **SMALL,
        )
    ),
    "distilbert": lambda: DistilBertForSequenceClassification(
        DistilBertConfig(
            dim=64, n_layers=2, n_heads=4, hidden_dim=128, max_position_embeddings=80, **SMALL
        )
    ),
    "albert": lambda: AlbertForSequenceClassification(
        AlbertConfig(
            embedding_size=32, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=128, max_position_embeddings=80, **SMALL,
        )
    ),
}  # fmt: skip


@pytest.fixture
def other(maker: Any) -> Callable[[str], Path]:
    return lambda name: Path(maker.other(name, OTHERS[name]()))


@pytest.mark.parametrize("architecture", list(OTHERS))
def test_other_architectures(
    other: Callable[[str], Path], loaded: Load, few: Evaluation, architecture: str
) -> None:
    from emo_export.passes.optimize import optimize_text

    checkpoints = loaded(other(architecture))
    untouched = graph(checkpoints)["text"]
    optimized = optimize_text(untouched, heads=4, hidden=64)
    rows = token_ids(checkpoints.text, few.texts, strip=False)
    expected = reference(checkpoints, Inputs(few.texts)).text
    for model in (untouched, optimized):
        session = GraphSession(model, plain=True)
        found = np.stack([session.text(ids)["logits"] for ids in rows])
        assert np.abs(found - expected).max() < TOLERANCE
    fused = [node.op_type for node in optimized.graph.node]
    assert {"Attention", "MultiHeadAttention"} & set(fused)
