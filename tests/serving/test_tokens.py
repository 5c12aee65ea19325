"""Token files: one token as plain text, or several in TOML."""

import pytest

from emo_serving.tokens import Token, TokenError, find_token, read_token_file

TOML = """
[[tokens]]
name = "crm"
token = "a=b/c+d"
max_calls = 4

[[tokens]]
name = "voice"
token = "second"
max_streams = 20
"""


def test_a_plain_file_is_one_token(tmp_path):
    (tmp_path / "token").write_text(" s3creto\n", encoding="utf-8")
    assert read_token_file(tmp_path / "token") == (Token("s3creto", model_control=True),)


def test_toml_has_names_and_limits(tmp_path):
    (tmp_path / "tokens.toml").write_text(TOML, encoding="utf-8")
    crm, voice = read_token_file(tmp_path / "tokens.toml")
    assert (crm.secret, crm.name, crm.max_calls, crm.max_streams) == ("a=b/c+d", "crm", 4, None)
    assert (voice.name, voice.max_streams) == ("voice", 20)
    assert "a=b" not in repr(crm)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "tokens"),
        ("tokens = []", "name of its own"),
        ("[[tokens]]\nname = 'a'", "token"),
        ("[[tokens]]\nname = 'a'\ntoken = ' '", "token of its own"),
        ("[[tokens]]\nname = 'a'\ntoken = 'x'\nlimit = 3", "unknown field"),
        (f"{TOML}[[tokens]]\nname = 'crm'\ntoken = 'third'", "name of its own"),
        (f"{TOML}[[tokens]]\nname = 'third'\ntoken = 'second'", "token of its own"),
        ("[[tokens", "TOML|tokens"),
    ],
)
def test_malformed_toml_is_refused_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "tokens.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TokenError, match=reason) as caught:
        read_token_file(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_file_is_refused(tmp_path, content):
    (tmp_path / "token").write_text(content, encoding="utf-8")
    with pytest.raises(TokenError, match="is empty"):
        read_token_file(tmp_path / "token")


@pytest.mark.parametrize("name", ["token", "tokens.toml"])
def test_a_binary_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\xff\xfe")
    with pytest.raises(TokenError, match="is not UTF-8"):
        read_token_file(tmp_path / name)


def test_a_token_is_found_by_its_secret():
    tokens = (Token("one", "a"), Token("otro ñ", "b"))
    assert find_token(tokens, "otro ñ") is tokens[1]
    assert find_token(tokens, "on") is None
    assert find_token((), "") is None
