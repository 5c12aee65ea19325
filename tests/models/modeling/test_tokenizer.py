"""All tokenizer file formats are read as transformers reads them."""

import io
import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer, BertConfig, BertTokenizer, XLMRobertaConfig

from emo_models.errors import CheckpointError
from emo_models.modeling.tokenizer import read_tokenizer
from helpers.corpora import DATA, meacorpus_texts, needs

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "que", "qué", "Que", "di", "##a", "día", ".")
BERT = BertConfig(vocab_size=len(WORDS))
TEXTS = ("Qué día.", "que dia", "QUÉ DÍA")


def vocabulary(directory: Path, words: tuple[str, ...] = WORDS) -> Path:
    directory.mkdir()
    (directory / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return directory


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("strip", [True, False, None])
def test_case_and_accents_are_as_tokenizer_config_says(
    tmp_path: Path, lower: bool, strip: bool | None
) -> None:
    directory = vocabulary(tmp_path / "bert")
    settings = {"do_lower_case": lower, "strip_accents": strip}
    (directory / "tokenizer_config.json").write_text(json.dumps(settings))
    ours = read_tokenizer(directory, BERT)
    theirs = BertTokenizer(directory / "vocab.txt", **settings)  # the slow one, in Python
    for text in TEXTS:
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]


def test_a_bare_vocabulary_says_by_its_letters_what_it_is(tmp_path: Path) -> None:
    cased = read_tokenizer(vocabulary(tmp_path / "cased"), BERT)
    assert cased.tokenize("Que qué que") == ["Que", "qué", "que"]
    lower = read_tokenizer(
        vocabulary(tmp_path / "lower", tuple(w for w in WORDS if w != "Que")), BERT
    )
    assert lower.tokenize("QUÉ Que") == ["qué", "que"]
    plain = tuple(word for word in WORDS if word not in {"Que", "qué", "día"})
    assert read_tokenizer(vocabulary(tmp_path / "plain"  , plain), BERT).tokenize("QUÉ día") == [
        "que", "di", "##a",
    ]  # fmt: skip


@needs("beto")
@needs("meacorpus")
@pytest.mark.parametrize("cased", [True, False])
def test_betos_vocabulary_alone(tmp_path: Path, cased: bool) -> None:
    source = DATA / "beto" / ("cased_2M" if cased else "uncased_2M") / "vocab.txt"
    copied = shutil.copy(source, tmp_path / "vocab.txt")
    tokenizer = read_tokenizer(tmp_path, BertConfig(vocab_size=31_002))
    theirs = BertTokenizer(copied, do_lower_case=not cased, strip_accents=False)
    for text in meacorpus_texts()[::25]:
        assert tokenizer(text)["input_ids"] == theirs(text)["input_ids"]


@pytest.mark.parametrize("name", ["sentencepiece.bpe.model"])
def test_a_sentencepiece_model(tmp_path: Path, name: str) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["qué día más feliz", "una fiesta", "la pena y la rabia"] * 20),
        model_writer=model, vocab_size=40, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (tmp_path / name).write_bytes(model.getvalue())
    config = XLMRobertaConfig(vocab_size=100)
    (tmp_path / "config.json").write_text(config.to_json_string())
    tokenizer = read_tokenizer(tmp_path, config)
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    assert tokenizer.tokenize("una pena feliz") == pieces.encode("una pena feliz", out_type=str)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("una pena")["input_ids"] == theirs("una pena")["input_ids"]


def test_errors_name_the_files_that_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"Looked for tokenizer\.json, vocab\.txt"):
        read_tokenizer(tmp_path, BERT)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="its tokenizer can't be read"):
        read_tokenizer(tmp_path, BERT)
    directory = vocabulary(tmp_path / "bert")
    with pytest.raises(CheckpointError, match="has the id 11, the network knows 5 ids"):
        read_tokenizer(directory, BertConfig(vocab_size=5))
