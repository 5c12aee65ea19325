"""docs/models/checkpoints.md: its architectures are exported, opened, and equal to PyTorch."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from emo_export.options import Gate, Identity, Options, Sources
from emo_export.pipeline import export
from emo_runtime import EmotionRecognizer
from emo_runtime.bundle.text_preparation import TextPreparation
from studies.architectures import DEBERTA, MODERN, OFFSET, SHAPE

# Largest size of the float32 graph in bytes: shared weights are stored once.
ARCHITECTURES: dict[str, tuple[dict[str, Any], int]] = {
    "DebertaV2": (DEBERTA, 520_000),
    "ModernBert": (MODERN, 900_000),
    "MPNet": (OFFSET, 500_000),
    "Albert": ({"embedding_size": 32, "num_hidden_layers": 4}, 330_000),
    "Electra": ({"embedding_size": 32}, 500_000),
    "XLMRoberta": (OFFSET, 500_000),
}


@pytest.fixture
def make(maker: Any) -> Callable[[str], Path]:
    def directory(name: str) -> Path:
        config = getattr(transformers, f"{name}Config")(**{**SHAPE, **ARCHITECTURES[name][0]})
        network = getattr(transformers, f"{name}ForSequenceClassification")
        return Path(maker.other(name, network(config)))

    return directory


# transformers compiles parts of DeBERTa when it is imported.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_exported_and_opened(
    make: Callable[[str], Path], name: str, tmp_path: Path, few_texts: Path
) -> None:
    """Opening includes a text of one token, one that is cut off, and the golden self-test."""
    report = export(
        Options(
            Sources(str(make(name))),
            tmp_path / "bundle",
            Identity("test", "1.0", "LicenseRef-test", "For tests only."),
            precisions=("fp32", "int8"),
            evaluate=few_texts,
            gate=Gate(enforced=False),
        )
    )
    found = {item.precision: item for item in report.findings.comparisons}
    assert found["fp32"].agreement == 1
    assert found["fp32"].largest_logit_difference < 1e-4
    assert found["int8"].mean_probability_difference < 0.05
    assert report.files["text.fp32.onnx"] < ARCHITECTURES[name][1]
    assert report.files["text.int8.onnx"] < 0.7 * report.files["text.fp32.onnx"]


def test_a_multi_label_classifier_with_prepared_text(
    maker: Any, tmp_path: Path, few_texts: Path
) -> None:
    """Sigmoid scores and pysentimiento's preparation, against transformers."""
    config = transformers.BertConfig(
        **{**SHAPE, "id2label": dict(enumerate("abcd"))}, problem_type="multi_label_classification"
    )
    directory = maker.other("multi", transformers.BertForSequenceClassification(config))
    preparation = TextPreparation(lowercase=True, replace=("users", "hashtags"))
    report = export(
        Options(
            Sources(str(directory), preparation=preparation),
            tmp_path / "bundle",
            Identity("test", "1.0", "LicenseRef-test", "For tests only."),
            evaluate=few_texts,
        )
    )
    [comparison] = report.findings.comparisons
    assert comparison.agreement == 1
    model = transformers.BertForSequenceClassification.from_pretrained(
        directory, torch_dtype=torch.float32
    ).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    batch = tokenizer("mira @usuario muy bien", return_tensors="pt")
    with torch.no_grad():
        expected = torch.sigmoid(model(**batch).logits[0])
    with EmotionRecognizer.open(tmp_path / "bundle", providers="cpu", threads=1) as recognizer:
        scores = recognizer.recognize(text="MIRA @maria #MuyBien").scores
        task = recognizer.manifest.tasks["text"]
    assert (task.activation, task.preparation) == ("sigmoid", preparation)
    torch.testing.assert_close(
        torch.tensor(list(scores.values()), dtype=torch.float32), expected, atol=1e-5, rtol=0
    )
