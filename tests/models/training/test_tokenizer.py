import unicodedata
from pathlib import Path

from transformers import AutoTokenizer, BertTokenizerFast

from emo_models.training.tokenizer import (
    SPECIAL_TOKENS,
    read_lines,
    save_tokenizer,
    train_tokenizer,
)
from helpers.corpora import meacorpus_texts, needs
from helpers.processes import run_python

LINES = ["¡Qué vergüenza, señor ministro!", "Mañana será otro día.", "no hay derecho"] * 5


def test_composed_and_decomposed_text_give_the_same_ids() -> None:
    tokenizer = train_tokenizer(lambda: LINES, vocab_size=150)
    for line in LINES[:3]:
        decomposed = unicodedata.normalize("NFD", line)
        assert tokenizer.encode(decomposed).ids == tokenizer.encode(line).ids
        assert 1 not in tokenizer.encode(line).ids  # [UNK]


def test_the_same_text_gives_the_same_vocabulary_in_every_process() -> None:
    # Ties everywhere: the library's trainer breaks them by a map seeded anew in each process.
    code = (
        "import hashlib, random\n"
        "from emo_models.training.tokenizer import train_tokenizer\n"
        "rng = random.Random(0)\n"
        "words = [''.join(rng.choices('abcdefghij', k=6)) for _ in range(300)]\n"
        "tokenizer = train_tokenizer(lambda: words, vocab_size=150)\n"
        "assert tokenizer.get_vocab_size() == 150\n"
        "print(hashlib.sha256(tokenizer.to_str().encode()).hexdigest())\n"
    )
    runs = [run_python("-c", code) for _ in range(3)]
    assert all(run.returncode == 0 for run in runs), runs[0].stderr
    assert len({run.stdout for run in runs}) == 1


def test_case_and_accents_are_kept() -> None:
    tokenizer = train_tokenizer(lambda: [*LINES, "Señor"], vocab_size=300)
    assert tokenizer.decode(tokenizer.encode("Señor Qué").ids) == "Señor Qué"


def test_special_tokens_have_berts_places(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(lambda: LINES, vocab_size=150)
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]
    save_tokenizer(tokenizer, tmp_path, positions=24)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.model_max_length == 24
    ids = loaded("otro día " * 30, truncation=True)["input_ids"]
    assert (len(ids), ids[0], ids[-1]) == (24, 2, 3)


def test_lines_of_plain_and_of_packed_files(tmp_path: Path) -> None:
    import lzma

    (tmp_path / "a.txt").write_text(" uno \n\ndos\n", encoding="utf-8")
    with lzma.open(tmp_path / "b.txt.xz", "wt", encoding="utf-8") as stream:
        stream.write("tres\n")
    assert list(read_lines([tmp_path / "a.txt", tmp_path / "b.txt.xz"])) == ["uno", "dos", "tres"]


@needs("meacorpus")
def test_ids_equal_those_of_transformers_bert_tokenizer(tmp_path: Path) -> None:
    texts = meacorpus_texts()[:1000]
    tokenizer = train_tokenizer(lambda: texts, vocab_size=2000)
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (tmp_path / "vocab.txt").write_text("\n".join(token for token, _ in vocab), encoding="utf-8")
    stock = BertTokenizerFast(
        vocab_file=str(tmp_path / "vocab.txt"), do_lower_case=False, strip_accents=False
    )
    composed = [unicodedata.normalize("NFC", text) for text in texts]
    expected = stock(composed)["input_ids"]
    assert [encoding.ids for encoding in tokenizer.encode_batch(texts)] == expected
