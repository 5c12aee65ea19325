"""Token ids against transformers, on all transcripts of MEACorpus."""

import json
import warnings

import pytest

from emo_runtime.bundle.reader import open_bundle
from emo_runtime.text.tokenizer import TextTokenizer
from helpers.corpora import DATA, SMALL_BUNDLE, meacorpus_texts, needs

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from transformers import BertTokenizer, BertTokenizerFast, PreTrainedTokenizerFast

MAX_TOKENS = 512


def assert_same_ids(ours, reference, texts, max_tokens=MAX_TOKENS):
    wanted = reference(texts, truncation=True, max_length=max_tokens)["input_ids"]
    for text, ids in zip(texts, wanted, strict=True):
        assert ours(text).ids[0].tolist() == ids, text


@needs("meacorpus")
@needs("beto")
@pytest.mark.parametrize("name", ["cased_2M", "uncased_2M"])
def test_betos_vocabulary(name, tmp_path):
    folder = DATA / "beto" / name
    vocabulary = folder / "vocab.txt"
    lowercase = name == "uncased_2M"
    options = {"do_lower_case": lowercase, "strip_accents": False, "tokenize_chinese_chars": True}
    fast = BertTokenizerFast(str(vocabulary), **options)
    fast.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    ours = TextTokenizer(
        (tmp_path / "tokenizer.json").read_bytes(), "tokenizer.json", MAX_TOKENS, size
    )
    texts = meacorpus_texts()
    assert len(texts) == 5_129
    assert_same_ids(ours, fast, texts)
    # The slow tokenizer is another implementation, in Python.
    assert_same_ids(ours, BertTokenizer(str(vocabulary), **options), texts[::5])


@needs("meacorpus")
def test_the_defaults_vocabulary():
    bundle = open_bundle(SMALL_BUNDLE)
    for file in bundle.manifest.tokenizers.values():
        ours = TextTokenizer(bundle.read(file), file.file, file.max_tokens, file.vocab_size)
        reference = PreTrainedTokenizerFast(tokenizer_file=str(bundle.path / file.file))
        assert_same_ids(ours, reference, meacorpus_texts(), file.max_tokens)
