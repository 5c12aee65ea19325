"""Table of docs/models/checkpoints.md: what was verified for each architecture and tokenizer.

python -m studies.architectures [--only WORD ...]

Makes a small classifier of each architecture with random weights and a tokenizer of its usual
format, exports it in fp32 and int8, opens the bundle and asks the runtime. Printed as Markdown:

- fp32: largest difference of a logit from PyTorch on the sentences that ship with emo-export;
- int8: share of the sentences with the same label, without repair, and mean change of the
  probabilities. Random weights are a harder case than trained ones: their answers are closer;
- short and cut-off texts: largest difference of a probability between the runtime (fp32) and
  transformers with its own tokenizer, for texts of one letter, one word, and more tokens than the
  network has positions.
"""

import argparse
import io
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from optimum.exporters.onnx import main_export
from tokenizers import ByteLevelBPETokenizer
from torch import nn

from emo_export.evaluation.rows import shipped_sentences
from emo_export.options import Gate, Identity, Options, Sources
from emo_export.pipeline import export
from emo_models.modeling.load import load_text
from emo_models.modeling.text_classifier import text_classifier
from emo_models.training.tokenizer import save_tokenizer, train_tokenizer
from emo_runtime import EmotionRecognizer

POSITIONS = 80
VOCABULARY = 600
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": POSITIONS,
    "id2label": dict(enumerate("abcdef")),
}
OFFSET = {"max_position_embeddings": POSITIONS + 2, "pad_token_id": 1}
DISTIL = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128}
DEBERTA = {
    "relative_attention": True,
    "position_buckets": 16,
    "pos_att_type": ["p2c", "c2p"],
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "type_vocab_size": 0,
    "pooler_hidden_size": 64,
}
MODERN = {
    "pad_token_id": 0,
    "cls_token_id": 2,
    "sep_token_id": 3,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "local_attention": 16,
    "num_hidden_layers": 4,
    "reference_compile": False,
}
SHORT = ("a", "no")
LONG = "no es posible que sigamos así "

Tokenizer = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """A classifier to make.

    Attributes:
        name: Its row in the table.
        architecture: Prefix of the classes of transformers; ``Mean``: BERT with mean pooling.
        tokenizer: Writes the tokenizer's files into a directory.
        shape: Changes to ``SHAPE``.
        onnx: Export it with optimum first, and give that directory to emo-export.
    """

    name: str
    architecture: str
    tokenizer: Tokenizer
    shape: dict[str, Any]
    onnx: bool = False


def wordpiece(directory: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json of a cased WordPiece vocabulary."""
    trained = train_tokenizer(lambda: shipped_sentences().texts, vocab_size=VOCABULARY)
    save_tokenizer(trained, directory, positions=POSITIONS)


def vocabulary(directory: Path, settings: dict[str, Any] | None) -> None:
    """Write vocab.txt, and tokenizer_config.json if there are settings."""
    trained = train_tokenizer(lambda: shipped_sentences().texts, vocab_size=VOCABULARY)
    entries = trained.get_vocab()
    words = sorted(entries, key=lambda word: entries[word])
    (directory / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    if settings is not None:
        (directory / "tokenizer_config.json").write_text(json.dumps(settings))


def byte_level(directory: Path) -> None:
    """Write vocab.json and merges.txt of a byte-level BPE."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        shipped_sentences().texts,
        vocab_size=VOCABULARY,
        special_tokens=special,
        show_progress=False,
    )
    tokenizer.save_model(str(directory))


def pieces(name: str, kind: str) -> Tokenizer:
    """Return a writer of a SentencePiece model."""

    def write(directory: Path) -> None:
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(shipped_sentences().texts), model_writer=model,
            vocab_size=VOCABULARY - 100, hard_vocab_limit=False, model_type=kind, minloglevel=2,
        )  # fmt: skip
        (directory / name).write_bytes(model.getvalue())

    return write


CASED = {"do_lower_case": False, "strip_accents": False}
UNCASED = {"do_lower_case": True, "strip_accents": False}
CASES = (
    Case("BERT (BETO), `cls` pooling; tokenizer.json", "Bert", wordpiece, {}),
    Case("BERT, `mean` pooling; tokenizer.json", "Mean", wordpiece, {"pooling": "mean"}),
    Case("BERT; vocab.txt, cased", "Bert", lambda d: vocabulary(d, CASED), {}),
    Case("BERT; vocab.txt, uncased with accents", "Bert", lambda d: vocabulary(d, UNCASED), {}),
    Case("BERT; vocab.txt alone", "Bert", lambda d: vocabulary(d, None), {}),
    Case("RoBERTa (MarIA, RoBERTuito); byte-level BPE", "Roberta", byte_level, OFFSET),
    Case("XLM-RoBERTa; sentencepiece.bpe.model", "XLMRoberta",
         pieces("sentencepiece.bpe.model", "bpe"), OFFSET),
    Case("CamemBERT; sentencepiece.bpe.model", "Camembert",
         pieces("sentencepiece.bpe.model", "bpe"), OFFSET),
    Case("DistilBERT; tokenizer.json", "DistilBert", wordpiece, DISTIL),
    Case("ELECTRA; tokenizer.json", "Electra", wordpiece, {"embedding_size": 32}),
    Case("ALBERT; spiece.model", "Albert", pieces("spiece.model", "unigram"),
         {"embedding_size": 32, "num_hidden_layers": 4}),
    Case("MPNet; tokenizer.json", "MPNet", wordpiece, OFFSET),
    Case("DeBERTa-v2, DeBERTa-v3; spm.model", "DebertaV2", pieces("spm.model", "unigram"), DEBERTA),
    Case("ModernBERT; tokenizer.json", "ModernBert", wordpiece, MODERN),
    Case("ONNX of a BERT (optimum-cli)", "Bert", wordpiece, {}, onnx=True),
    Case("ONNX of a RoBERTa (optimum-cli)", "Roberta", byte_level, OFFSET, onnx=True),
)  # fmt: skip


def make(case: Case, directory: Path) -> None:
    """Write a checkpoint with random weights."""
    directory.mkdir(parents=True)
    case.tokenizer(directory)
    if case.architecture == "Mean":
        network = text_classifier(transformers.BertConfig(**{**SHAPE, **case.shape}))
    else:
        config = getattr(transformers, f"{case.architecture}Config")(**{**SHAPE, **case.shape})
        classes = getattr(transformers, f"{case.architecture}ForSequenceClassification")
        network = classes(config)
    _randomize(network)
    saved: Any = network
    saved.save_pretrained(directory)


def _randomize(network: nn.Module) -> None:
    """Set biases and norms as trained networks have them, and logits that differ clearly."""
    random = torch.Generator().manual_seed(5)
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=random)
        if name.endswith("bias"):
            parameter.data = 0.1 * noise
        elif parameter.dim() == 1:
            parameter.data = 1 + 0.2 * noise
        elif "classifier" in name or "embeddings" in name:
            parameter.data = 0.5 * noise
        elif parameter.dim() == 2:
            parameter.data = noise / parameter.shape[1] ** 0.5


def verify(case: Case, folder: Path) -> list[str]:
    """Return the cells of a row of the table."""
    checkpoint, source, bundle = folder / "checkpoint", folder / "onnx", folder / "bundle"
    make(case, checkpoint)
    if case.onnx:
        main_export(str(checkpoint), output=source, task="text-classification", do_validation=False)
    report = export(
        Options(
            Sources(str(source if case.onnx else checkpoint)),
            bundle,
            Identity("study", "1.0", "LicenseRef-none", "Random weights."),
            precisions=("fp32", "int8"),
            gate=Gate(enforced=False),
        )
    )
    found = {item.precision: item for item in report.findings.comparisons}
    fp32, int8 = found["fp32"], found["int8"]
    worst = max(abs(a - b) for a, b in _edge_cases(bundle, checkpoint))
    return [
        case.name,
        "yes",
        f"{fp32.largest_logit_difference:.0e}",
        f"{int8.agreement:.1%}, {int8.mean_probability_difference:.4f}",
        "yes",
        f"{worst:.0e}",
    ]


def _edge_cases(bundle: Path, checkpoint: Path) -> Iterator[tuple[float, float]]:
    """Yield pairs of a probability of the runtime and of transformers."""
    loaded = load_text(checkpoint)
    tokenizer = _their_tokenizer(checkpoint) or loaded.tokenizer
    limit = loaded.max_tokens
    with EmotionRecognizer.open(bundle, providers="cpu", threads=1, variant="fp32") as recognizer:
        for text in (*SHORT, LONG * limit):
            batch = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
            if len(text) > limit and batch["input_ids"].shape[1] != limit:
                raise SystemExit(f"{checkpoint}: the long text is not cut at {limit} tokens")
            ids = batch["input_ids"]
            with torch.inference_mode():
                logits = loaded.module(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            answer = recognizer.recognize(text=text)
            yield from zip(
                answer.scores.values(), torch.softmax(logits[0].double(), 0).tolist(), strict=True
            )


def _their_tokenizer(checkpoint: Path) -> Any:
    """Return transformers' own tokenizer: for vocab.txt the one in Python."""
    settings = checkpoint / "tokenizer_config.json"
    if (checkpoint / "vocab.txt").is_file():
        given = json.loads(settings.read_text()) if settings.is_file() else CASED
        return transformers.BertTokenizer(checkpoint / "vocab.txt", **given)
    return transformers.AutoTokenizer.from_pretrained(checkpoint)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="Words in the names of the rows.")
    chosen = parser.parse_args().only
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    columns = ("architecture; tokenizer", "exported", "fp32: largest difference of a logit",
               "int8: same label, mean change", "opened", "short and cut-off texts")  # fmt: skip
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for case in CASES:
        if chosen and not any(word in case.name for word in chosen):
            continue
        with tempfile.TemporaryDirectory() as folder:
            print("| " + " | ".join(verify(case, Path(folder))) + " |", flush=True)


if __name__ == "__main__":
    main()
