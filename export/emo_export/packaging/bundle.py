"""All files of a bundle in memory: graphs, tokenizers, golden cases, card, manifest."""

from collections.abc import Mapping

import onnx

from emo_export.checkpoints.load import Checkpoints
from emo_export.onnx_graph import encode
from emo_export.options import Identity
from emo_export.packaging.card import card
from emo_export.packaging.manifest import (
    CARD,
    GOLDEN,
    POPULATION,
    BundleFiles,
    build_manifest,
    population_mean,
)
from emo_export.report import Findings
from emo_runtime.bundle.golden import encode_golden
from emo_runtime.bundle.manifest import MANIFEST_NAME, Precision, encode_manifest

Variants = Mapping[str, Mapping[Precision, onnx.ModelProto]]


def bundle_files(
    checkpoints: Checkpoints, variants: Variants, findings: Findings, identity: Identity
) -> dict[str, bytes]:
    """Return the files by name, the manifest first; equal arguments give equal bytes."""
    files: dict[str, bytes] = {}
    graphs: dict[str, dict[Precision, str]] = {}
    for name, items in variants.items():
        for precision, model in items.items():
            file = f"{name}.{precision}.onnx"
            files[file] = encode(model)
            graphs.setdefault(name, {})[precision] = file
    tokenizers = {}
    text, encoder = checkpoints.text, checkpoints.encoder
    if text is not None:
        tokenizers["text"] = "tokenizer.json"
        files["tokenizer.json"] = text.bundle_tokenizer.json.encode()
    if encoder is not None and (text is None or encoder.bundle_tokenizer != text.bundle_tokenizer):
        tokenizers["encoder"] = "tokenizer-encoder.json"
        files["tokenizer-encoder.json"] = encoder.bundle_tokenizer.json.encode()
    if (adaptation := population_mean(checkpoints)) is not None:
        files[POPULATION] = adaptation.mean.astype("<f4").tobytes()
    files[GOLDEN] = encode_golden(findings.golden)
    files[CARD] = card(
        checkpoints, identity, findings.comparisons, findings.evaluated, findings.remarks()
    ).encode()
    contents = BundleFiles(files, graphs, tokenizers)
    manifest = build_manifest(checkpoints, contents, identity, findings.as_json())
    return {MANIFEST_NAME: encode_manifest(manifest), **files}
