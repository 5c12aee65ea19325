"""All files of a bundle in memory: graphs, tokenizers, golden cases, card, manifest."""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from emo_export.card import card
from emo_export.describe import CARD, GOLDEN, Contents, describe
from emo_export.load import Checkpoints
from emo_export.onnx_graph import encode
from emo_export.options import Identity
from emo_export.verify import Comparison
from emo_runtime.golden import Golden, encode_golden
from emo_runtime.manifest import MANIFEST_NAME, Precision, encode_manifest

Variants = Mapping[str, Mapping[Precision, onnx.ModelProto]]


@dataclass(frozen=True)
class Findings:
    """What was measured, on what, and the golden cases that were chosen."""

    evaluated: str
    comparisons: tuple[Comparison, ...]
    golden: Golden


def bundle_files(
    checkpoints: Checkpoints, variants: Variants, findings: Findings, identity: Identity
) -> dict[str, bytes]:
    """The files by name, the manifest first: the same bytes for the same arguments."""
    files: dict[str, bytes] = {}
    graphs: dict[str, dict[Precision, str]] = {}
    for name, items in variants.items():
        for precision, model in items.items():
            file = f"{name}.{precision}.onnx"
            files[file] = encode(model)
            graphs.setdefault(name, {})[precision] = file
    tokenizers = {"text": "tokenizer.json"}
    files["tokenizer.json"] = checkpoints.text.tokenizer.json.encode()
    encoder = checkpoints.encoder
    if encoder is not None and encoder.tokenizer != checkpoints.text.tokenizer:
        tokenizers["encoder"] = "tokenizer-encoder.json"
        files["tokenizer-encoder.json"] = encoder.tokenizer.json.encode()
    files[GOLDEN] = encode_golden(findings.golden)
    files[CARD] = card(checkpoints, identity, findings.comparisons, findings.evaluated).encode()
    verification = {
        "reference": "the checkpoint in PyTorch, float32",
        "evaluated": findings.evaluated,
        "comparisons": [item.as_json() for item in findings.comparisons],
    }
    contents = Contents(files, graphs, tokenizers)
    manifest = describe(checkpoints, contents, identity, verification)
    return {MANIFEST_NAME: encode_manifest(manifest), **files}
