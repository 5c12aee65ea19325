"""ONNX classifiers of ``optimum-cli export onnx``: exported, and compared with PyTorch."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers
from click.testing import CliRunner
from huggingface_hub import constants
from onnx import TensorProto, helper, numpy_helper
from optimum.exporters.onnx import main_export
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from emo_export.checkpoints.load import load
from emo_export.cli import main
from emo_export.options import Identity, Options, Sources
from emo_export.passes.optimize import optimize_text
from emo_export.pipeline import export
from emo_export.quantization.embedding import has_word_table
from emo_export.torch_export import graph
from emo_export.verify_bundle import compare_with_reference
from emo_models.errors import CheckpointError
from emo_runtime import EmotionRecognizer
from emo_runtime.bundle.reader import open_bundle
from helpers.hub_cache import snapshot
from studies.architectures import OFFSET, SHAPE

CLASSIFIERS: dict[str, dict[str, Any]] = {"Bert": {}, "Roberta": OFFSET}
# The sentence of a transcript, and one that is cut at the last position.
TEXTS = ("no puedo más , esto es una vergüenza", "casa " * 200)


@pytest.fixture(scope="session")
def made(
    maker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, Path]]:
    """A checkpoint of transformers and optimum's export of it; never change them."""
    root = tmp_path_factory.mktemp("optimum")

    def directories(name: str) -> tuple[Path, Path]:
        config = getattr(transformers, f"{name}Config")(**{**SHAPE, **CLASSIFIERS[name]})
        network = getattr(transformers, f"{name}ForSequenceClassification")
        source = Path(maker.other(f"onnx-{name}", network(config)))
        if not (root / name).is_dir():
            main_export(
                str(source), output=root / name, task="text-classification", do_validation=False
            )
        return source, root / name

    return directories


@pytest.fixture
def bert(made: Callable[[str], tuple[Path, Path]], tmp_path: Path) -> Path:
    """A copy of optimum's export of a BERT."""
    return shutil.copytree(made("Bert")[1], tmp_path / "bert")


def change(directory: Path, edit: Callable[[Any], object]) -> None:
    """Edit the graph of a directory."""
    model = onnx.load(directory / "model.onnx")
    edit(model)
    onnx.save(model, directory / "model.onnx")


def to_bundle(directory: Path, output: Path, evaluate: Path) -> Any:
    return export(
        Options(
            Sources(str(directory)),
            output,
            Identity("test", "1.0", "LicenseRef-test", "For tests only."),
            precisions=("fp32", "int8"),
            evaluate=evaluate,
        )
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_bundle_answers_as_transformers(
    made: Callable[[str], tuple[Path, Path]], name: str, tmp_path: Path, few_texts: Path
) -> None:
    source, directory = made(name)
    report = to_bundle(directory, tmp_path / "bundle", few_texts)
    found = {item.precision: item for item in report.findings.comparisons}
    assert found["fp32"].agreement == 1
    assert found["fp32"].largest_logit_difference < 1e-4
    assert found["int8"].agreement >= 0.99
    model = AutoModelForSequenceClassification.from_pretrained(source, torch_dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(source)
    with EmotionRecognizer.open(
        tmp_path / "bundle", providers="cpu", threads=1, variant="fp32"
    ) as recognizer:
        for text in TEXTS:
            batch = tokenizer(text, truncation=True, max_length=80, return_tensors="pt")
            with torch.inference_mode():
                logits = model.eval()(**batch).logits[0]
            expected = torch.softmax(logits.double(), 0).tolist()
            scores = list(recognizer.recognize(text=text).scores.values())
            np.testing.assert_allclose(scores, expected, atol=1e-5)
    again = compare_with_reference(open_bundle(tmp_path / "bundle"), directory, few_texts, 0.99)
    assert again["comparisons"] == [item.as_json() for item in report.findings.comparisons]
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["verification"]["reference"] == "its ONNX graph in ONNX Runtime, float32"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_same_operators_are_fused_as_for_the_checkpoint(
    made: Callable[[str], tuple[Path, Path]], name: str
) -> None:
    counts = []
    for directory in made(name):
        model = graph(load(Sources(str(directory))))["text"]
        for embedding_fused in (True, False):
            fused = optimize_text(model, heads=4, hidden=64, embedding_fused=embedding_fused)
            counts.append(Counter(node.op_type for node in fused.graph.node))
        assert has_word_table(fused)
    assert counts[:2] == counts[2:]
    assert counts[0]["Attention"] + counts[0]["MultiHeadAttention"] == 2


@pytest.mark.filterwarnings("ignore")
def test_layouts_of_a_graph(bert: Path, tmp_path: Path) -> None:
    """model.onnx, onnx/model.onnx, and weights in model.onnx_data give the same graph."""

    def bundle_graph(directory: Path) -> list[object]:
        made = graph(load(Sources(str(directory))))["text"].graph
        tensors = [(item.name, numpy_helper.to_array(item).tobytes()) for item in made.initializer]
        return [*tensors, *(node.SerializeToString() for node in made.node)]

    plain = bundle_graph(bert)
    below = shutil.copytree(bert, tmp_path / "below")
    (below / "onnx").mkdir()
    shutil.move(below / "model.onnx", below / "onnx" / "model.onnx")
    assert bundle_graph(below) == plain
    outside = shutil.copytree(bert, tmp_path / "outside")
    model = onnx.load(outside / "model.onnx")
    (outside / "model.onnx").unlink()
    onnx.save(
        model, outside / "model.onnx", save_as_external_data=True, location="model.onnx_data",
        size_threshold=0,
    )  # fmt: skip
    assert (outside / "model.onnx_data").is_file()
    assert bundle_graph(outside) == plain
    (outside / "model.onnx_data").unlink()
    with pytest.raises(CheckpointError, match=r"model\.onnx_data, which is missing"):
        load(Sources(str(outside)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("start", [0, 2])
def test_an_input_of_position_ids(start: int, bert: Path) -> None:
    """The bundle's graph has them as a constant; RoBERTa's start behind the padding id."""
    if start:
        config = json.loads((bert / "config.json").read_text())
        config |= {"model_type": "roberta", "pad_token_id": 1}
        (bert / "config.json").write_text(json.dumps(config))

    def edit(model: Any) -> None:
        [gather] = [
            node for node in model.graph.node
            if node.op_type == "Gather" and "position_embeddings" in node.input[0]
        ]  # fmt: skip
        gather.input[1] = "position_ids"
        model.graph.input.append(
            helper.make_tensor_value_info("position_ids", TensorProto.INT64, ["b", "t"])
        )

    change(bert, edit)
    checkpoints = load(Sources(str(bert)))
    assert checkpoints.text is not None
    made = graph(checkpoints)["text"]
    assert [item.name for item in made.graph.input] == ["input_ids", "attention_mask"]
    ids = np.array([[2, 40, 41, 42, 3]])
    found = _run(made, input_ids=ids, attention_mask=np.ones_like(ids))
    expected = _run(
        onnx.load(bert / "model.onnx"), input_ids=ids, attention_mask=np.ones_like(ids),
        token_type_ids=np.zeros_like(ids), position_ids=np.arange(start, start + 5)[np.newaxis],
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-5)


def _run(model: Any, **inputs: Any) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(["logits"], inputs)[0]


def _contrib(model: Any) -> None:
    model.graph.node[0].domain = "com.microsoft"


def _half(model: Any) -> None:
    tensor = max(model.graph.initializer, key=lambda item: len(item.raw_data))
    tensor.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(tensor).astype("f2"), tensor.name)
    )


def _fixed(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def _no_logits(model: Any) -> None:
    for node in model.graph.node:
        node.output[:] = ["scores" if name == "logits" else name for name in node.output]
    model.graph.output[0].name = "scores"


def _other_input(model: Any) -> None:
    model.graph.input.append(helper.make_tensor_value_info("bbox", TensorProto.INT64, ["b", "t"]))


def _old(model: Any) -> None:
    model.opset_import[0].version = 11


def _quantized(model: Any) -> None:
    model.graph.node[0].op_type = "DequantizeLinear"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_contrib, "already optimized"),
        (_quantized, "already quantized"),
        (_half, "not float32"),
        (_fixed, "fixed shape"),
        (_no_logits, "gives scores, no logits"),
        (_other_input, "bbox"),
        (_old, "opset 11"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_graph_that_is_refused(edit: Callable[[Any], None], message: str, bert: Path) -> None:
    """With one line that says what to do."""
    change(bert, edit)
    result = CliRunner().invoke(main, ["--text", str(bert), "--output", str(bert / "bundle")])
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (bert / "bundle").exists()


@pytest.mark.filterwarnings("ignore")
def test_directories_that_are_refused(bert: Path, maker: Any) -> None:
    config = json.loads((bert / "config.json").read_text())

    def refuses(message: str, **sources: str) -> None:
        with pytest.raises(CheckpointError, match=message):
            load(Sources(**{"text": str(bert), **sources}))

    encoder = maker.encoder()
    refuses("no embeddings", fusion=str(maker.fusion(encoder)))
    refuses("emo-export --text only", fusion=str(maker.fusion(encoder)), encoder=str(bert))
    (bert / "config.json").write_text(json.dumps({**config, "id2label": {"0": "a", "1": "b"}}))
    refuses("names 2 labels")
    (bert / "config.json").write_text(json.dumps(config))
    shutil.move(bert / "model.onnx", bert / "model_quantized.onnx")
    refuses(r"holds model_quantized\.onnx, but no model\.onnx")
    (bert / "model_quantized.onnx").rename(bert / "model.onnx")
    (bert / "model.onnx").write_bytes(b"no graph")
    refuses("not an ONNX file")


@pytest.mark.filterwarnings("ignore")
def test_a_graph_from_the_cache_of_the_hub(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bert, snapshot(tmp_path / "hub", "someone/clasificador"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    checkpoints = load(Sources("someone/clasificador"))
    assert checkpoints.text is not None
    assert checkpoints.text.is_onnx
