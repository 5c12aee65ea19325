"""``--target triton``: read by Triton's own schema, and answering as the bundle does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from google.protobuf import text_format
from tritonclient.http import InferenceServerClient

from emo_export.cli import main
from emo_export.evaluation.rows import golden_clip
from emo_export.packaging.writer import package
from emo_export.triton.config import model_config
from emo_export.triton.repository import check_repository, repository_files
from emo_runtime import EmoError, EmotionRecognizer, SelfTestError, TaskError
from emo_runtime.bundle.onnx_check import INT64, GraphInfo, TensorInfo
from helpers.fake_triton import SCHEMA, models, served, type_name
from helpers.modules import load_module

TEXT = "¡Esto es una vergüenza!"
ONNX_TYPES = {onnx.TensorProto.INT64: "TYPE_INT64", onnx.TensorProto.FLOAT: "TYPE_FP32"}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def written(
    maker: Any, few_csv: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The same export as a repository and as a bundle."""
    root = tmp_path_factory.mktemp("triton")
    encoder = maker.encoder()
    words = [
        "--text", maker.text(), "--encoder", encoder,
        "--fusion", maker.fusion(encoder, present_input=True), "--evaluate", few_csv,
        "--precision", "int8", "--precision", "fp16", "--precision", "fp32", "--no-gate",
        "--licence", "CC-BY-4.0", "--name", "small",
    ]  # fmt: skip
    for target in ("triton", "bundle"):
        result = run(*words, "--target", target, "--output", root / target)
        assert result.exit_code == 0, result.stderr
    return root / "triton", root / "bundle"


@pytest.fixture(scope="module")
def repository(written: tuple[Path, Path]) -> Path:
    return written[0]


def client_of(repository: Path) -> Any:
    # Its bytecode would be a folder in the repository.
    with mock.patch.object(sys, "dont_write_bytecode", True):
        return load_module(repository / "client.py")


def dims_of(tensor: Any) -> list[int]:
    return [dim.dim_value if dim.WhichOneof("value") == "dim_value" else -1 for dim in tensor]


def test_what_is_there(written: tuple[Path, Path]) -> None:
    repository, bundle = written
    names = {"text_int8", "text_fp16", "text_fp32", "encoder_int8", "encoder_fp16", "encoder_fp32"}
    folders = {f"emo_{name}" for name in names | {"fusion_fp32"}}
    files = {path.relative_to(repository).as_posix() for path in repository.rglob("*.*")}
    beside = {path.name for path in bundle.iterdir() if path.suffix != ".onnx"}
    assert files == beside | {"README.md", "client.py"} | {
        f"{folder}/{file}" for folder in folders for file in ("config.pbtxt", "1/model.onnx")
    }
    manifest = json.loads((repository / "manifest.json").read_text(encoding="utf-8"))
    assert (repository / "manifest.json").read_bytes() == (bundle / "manifest.json").read_bytes()
    for graph, described in manifest["graphs"].items():
        for precision, file in described["variants"].items():
            model = repository / f"emo_{graph}_{precision}" / "1" / "model.onnx"
            assert model.read_bytes() == (bundle / file["file"]).read_bytes()
    readme = (repository / "README.md").read_text(encoding="utf-8")
    assert readme.startswith("# small 1.0, for Triton\n")
    assert "has not been run in Triton" in readme
    assert "CC-BY-4.0" in readme
    assert "| `emo_fusion_fp32` | `audio`, `text`, `present` | `logits` | rows of equal" in readme


def test_the_configurations_are_those_of_the_graphs(repository: Path) -> None:
    kinds = {"int8": "KIND_CPU", "fp16": "KIND_GPU", "fp32": "KIND_AUTO"}
    for name, model in models(repository).items():
        graph = onnx.load(repository / name / "1" / "model.onnx").graph
        config = model.config
        one_row = name.endswith("int8")
        assert config.max_batch_size == (0 if one_row else 32)
        assert config.HasField("dynamic_batching") is not one_row
        for tensors, items, first in (
            (graph.input, config.input, [1] if one_row else []),
            (graph.output, config.output, [-1] if one_row else []),
        ):
            expected = [
                (
                    tensor.name,
                    ONNX_TYPES[tensor.type.tensor_type.elem_type],
                    first + dims_of(tensor.type.tensor_type.shape.dim)[1:],
                )
                for tensor in tensors
            ]
            assert [(item.name, type_name(item), list(item.dims)) for item in items] == expected
        [group] = config.instance_group
        kind = "KIND_CPU" if "fusion" in name else kinds[name.rpartition("_")[2]]
        assert SCHEMA.ModelInstanceGroup.Kind.Name(group.kind) == kind
        assert config.parameters["intra_op_thread_count"].string_value == "1"


def test_int8_for_openvino_asks_for_its_provider() -> None:
    graph = GraphInfo({"input_ids": TensorInfo(INT64, (None, None))}, {}, 1)
    text = model_config("emo_text_int8_qdq", graph, "int8-qdq", on_cpu=False)
    config = text_format.Parse(text, SCHEMA.ModelConfig())
    [accelerator] = config.optimization.execution_accelerators.cpu_execution_accelerator
    assert accelerator.name == "openvino"
    assert config.max_batch_size == 0


@pytest.mark.parametrize("precision", ["int8", "fp16", "fp32"])
def test_the_client_gets_the_answers_of_the_bundle(
    written: tuple[Path, Path], precision: Any
) -> None:
    repository, bundle = written
    module = client_of(repository)
    recognizer = EmotionRecognizer.open(bundle, providers="cpu", threads=1, variant=precision)
    with served(repository) as address, InferenceServerClient(address) as server, recognizer:
        client = module.Client(module.over(server), precision)
        for text, audio in ((TEXT, None), (f" {TEXT} ", golden_clip()), (None, golden_clip())):
            expected = recognizer.recognize(text, audio).scores
            assert client.recognize(text, audio).scores == pytest.approx(expected, abs=1e-6)
        assert client.check() < (1e-4 if precision == "fp32" else 0.05)


@pytest.mark.parametrize("options", [{"present_input": True}, {"audio_only": True}], ids=str)
def test_a_bundle_with_a_speech_graph(
    tiny_bundle: Any, tmp_path: Path, options: dict[str, Any]
) -> None:
    bundle = tiny_bundle(speech="log_mel", **options)
    files = {path.name: path.read_bytes() for path in bundle.iterdir()}
    repository = tmp_path / "out"
    package(repository_files(files), repository, force=False, check=check_repository)
    assert "the front end" in (repository / "README.md").read_text(encoding="utf-8")
    [group] = models(repository)["emo_speech_fp32"].config.instance_group
    assert SCHEMA.ModelInstanceGroup.Kind.Name(group.kind) == "KIND_AUTO"
    module = client_of(repository)
    text = None if "audio_only" in options else "no puedo más"
    with (
        served(repository) as address,
        InferenceServerClient(address) as server,
        EmotionRecognizer.open(bundle, providers="cpu", threads=1) as recognizer,
    ):
        client = module.Client(module.over(server))
        expected = recognizer.recognize(text, golden_clip()).scores
        assert client.recognize(text, golden_clip()).scores == pytest.approx(expected, abs=1e-6)
        assert client.check() < 1e-4


def test_a_server_with_other_answers_is_detected(repository: Path) -> None:
    module, loaded = client_of(repository), models(repository)
    client = module.Client(
        lambda name, inputs, outputs: [-row for row in loaded[name].infer(inputs, outputs)]
    )
    with pytest.raises(SelfTestError, match="differ from the reference"):
        client.check()


def test_rows_of_one_length_may_share_a_batch_in_float32_only(repository: Path) -> None:
    loaded = models(repository)
    rows = np.random.default_rng(0).integers(5, 400, (4, 12))
    inputs = {"input_ids": rows, "attention_mask": np.ones_like(rows)}
    [together] = loaded["emo_text_fp32"].infer(inputs, ["logits"])
    alone = [
        loaded["emo_text_fp32"].infer({k: v[i : i + 1] for k, v in inputs.items()}, ["logits"])[0]
        for i in range(4)
    ]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)
    with pytest.raises(ValueError, match="input_ids"):
        loaded["emo_text_int8"].infer(inputs, ["logits"])


def test_the_client_as_a_command(repository: Path) -> None:
    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, repository / "client.py", "--url", address, *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    with served(repository) as address:
        answer = ask("--text", TEXT)
        assert answer.returncode == 0, answer.stderr
        assert len(answer.stdout.splitlines()) == 6
        assert ask("--check").stdout.startswith("largest difference of a probability: ")
        nothing = ask("--text", " ")
        assert (nothing.returncode, nothing.stderr.count("\n")) == (1, 1)
        assert ask().returncode == 2
    gone = ask("--text", TEXT)
    assert (gone.returncode, gone.stderr.count("\n")) == (1, 1), gone.stderr
    assert ask("--text", TEXT, "--precision", "int9").returncode == 2


def test_a_task_without_a_model(maker: Any, few_csv: Path, tmp_path: Path) -> None:
    words = ["--text", maker.text(), "--evaluate", few_csv, "--quantize", "--no-gate"]
    assert run(*words, "--target", "triton", "--output", tmp_path / "out").exit_code == 0
    client = client_of(tmp_path / "out").Client(lambda *_: [np.zeros((1, 6), np.float32)])
    with pytest.raises(TaskError, match=r"loaded tasks: text\)"):
        client.recognize(TEXT, golden_clip())


def test_written_as_a_bundle_is(
    maker: Any, few_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes again, nothing replaced unasked, nothing left by a run that failed."""
    output = tmp_path / "out"
    words = [
        "--text", maker.outliers(), "--evaluate", few_csv, "--quantize", "--target", "triton",
        "--output", output,
    ]  # fmt: skip
    with monkeypatch.context() as strict:
        strict.setattr("emo_export.quantization.mixed_precision._LARGEST_KEPT_SHARE", 0.0)
        assert run(*words, "--min-agreement", 1, "--max-f1-loss", 0).exit_code == 3
    assert not list(tmp_path.iterdir())

    def contents() -> dict[str, bytes]:
        return {
            path.relative_to(output).as_posix(): path.read_bytes()
            for path in output.rglob("*")
            if path.is_file()
        }

    result = run(*words, "--no-gate", "--json")
    assert result.exit_code == 0, result.stderr
    first = contents()
    assert json.loads(result.stdout)["files"] == {name: len(data) for name, data in first.items()}
    again = run(*words, "--no-gate")
    assert again.exit_code == 1
    assert "already holds an export. --force replaces it" in again.stderr
    (output / "emo_text_int8" / "1" / "model.onnx").write_bytes(b"damaged")
    assert run(*words, "--no-gate", "--force").exit_code == 0
    assert contents() == first
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_graph_that_is_not_the_manifests_never_gets_the_name(
    tiny_bundle: Any, tmp_path: Path
) -> None:
    bundle = {path.name: path.read_bytes() for path in tiny_bundle().iterdir()}
    files = repository_files(bundle)
    [model] = [name for name in files if name.startswith("emo_text") and name.endswith(".onnx")]
    with pytest.raises(EmoError, match="differs from text"):
        package({**files, model: b"other"}, tmp_path / "out", force=False, check=check_repository)
    assert not list(tmp_path.glob("*out*"))
