"""Forms: as httpx and Starlette's parser understand them, and what is refused."""

import asyncio
import time

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser

from emo_serving.api.multipart import parse_form
from emo_serving.errors import RequestError

KIND = "multipart/form-data; boundary=BB"
TEXT = b'--BB\r\nContent-Disposition: form-data; name="text"\r\n\r\nhola\r\n'
AUDIO = b'--BB\r\nContent-Disposition: form-data; name="audio"; filename="a"\r\n\r\n'
END = b"--BB--\r\n"
MIB = 1 << 20


def starlettes(kind, body):
    """Fields and files as Starlette's own parser (python-multipart) finds them."""

    async def parse():
        async def stream():
            yield body

        form = await MultiPartParser(Headers({"content-type": kind}), stream()).parse()
        found = {}
        for name, value in form.items():
            found[name] = value if isinstance(value, str) else await value.read()
        await form.close()
        return found

    return asyncio.run(parse())


@given(
    st.text(max_size=50),
    st.none() | st.binary(max_size=300),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
)
def test_forms_of_httpx_are_read_as_starlette_reads_them(text, sound, name):
    files = {} if sound is None else {"audio": (f"{name}.wav", sound)}
    files |= {} if files else {"text": (None, text)}
    data = {"text": text} if "audio" in files else {}
    request = httpx.Request("POST", "http://localhost/", data=data, files=files)
    body, kind = request.read(), request.headers["content-type"]
    expected = starlettes(kind, body)
    utterance = parse_form(kind, body).utterance
    assert (utterance.text, utterance.audio) == (expected["text"], expected.get("audio"))


def test_the_task_is_a_field():
    part = b'--BB\r\nContent-Disposition: form-data; name="task"\r\n\r\ntext\r\n'
    assert parse_form(KIND, TEXT + part + END).utterance.task == "text"
    with pytest.raises(RequestError, match="task is one of"):
        parse_form(KIND, TEXT + part.replace(b"\r\ntext\r\n", b"\r\nsing\r\n") + END)


def test_preamble_epilogue_and_spaces_after_the_boundary_are_allowed():
    body = b"preamble\r\n" + TEXT.replace(b"--BB\r\n", b"--BB \t\r\n") + END + b"epilogue"
    found = parse_form('multipart/form-data; charset=UTF-8; boundary="BB"', body)
    assert found.utterance.text == "hola"


@pytest.mark.parametrize("end", range(1, len(TEXT + AUDIO + b"sound\r\n--BB--")))
def test_every_truncated_form_is_refused(end):
    whole = TEXT + AUDIO + b"sound\r\n--BB--"
    assert parse_form(KIND, whole).utterance.audio == b"sound"
    with pytest.raises(RequestError):
        parse_form(KIND, whole[:end])


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-16", "utf-7", "undefined", "uu"])
def test_other_charsets_are_refused(charset):
    with pytest.raises(RequestError, match="UTF-8"):
        parse_form(f"{KIND}; charset={charset}", TEXT + END)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", TEXT + END),
        ("multipart/form-data; boundary=" + "B" * 71, TEXT + END),
        ("multipart/form-data; boundary=ñ", TEXT + END),
        (KIND, b""),
        (KIND, b"nothing"),
        (KIND, TEXT + TEXT + END),
        (KIND, TEXT.replace(b"text", b"other") + END),
        (KIND, TEXT.replace(b"text", b"audio") + END),
        (KIND, AUDIO.replace(b"audio", b"text") + b"hola\r\n" + END),
        (KIND, b"--BB\r\n\r\nhola\r\n" + END),
        (KIND, TEXT.replace(b"hola", b"\xff") + END),
        (KIND, TEXT.replace(b"text", b"\xff") + END),
        (KIND, TEXT.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 3000 + b"\r\n\r\n") + END),
    ],
)
def test_malformed_forms_are_refused(kind, body):
    with pytest.raises(RequestError):
        parse_form(kind, body)


WORST = {  # inputs of the maximum size
    "carriage returns": AUDIO + b"\r" * (16 * MIB),
    "line ends": AUDIO + b"\r\n" * (8 * MIB),
    "almost boundaries": AUDIO + b"\r\n--B" * (16 * MIB // 5),
    "boundaries": b"\r\n--BB" * (16 * MIB // 6),
    "empty parts": b"--BB\r\n\r\n\r\n" * (16 * MIB // 10),
    "hyphens": AUDIO + b"-" * (16 * MIB),
    "a long head": b"--BB\r\nA: " + b"a" * (16 * MIB),
}


@pytest.mark.parametrize("body", WORST.values(), ids=WORST)
def test_the_time_for_a_form_is_linear_in_its_size(body):
    """Sixteen times the size takes at most about sixteen times as long, not 256 times."""

    def seconds(content):
        begun = time.process_time()
        for _ in range(3):
            with pytest.raises(RequestError):
                parse_form(f"{KIND}; x" if content is None else KIND, content + b"!")
        return (time.process_time() - begun) / 3

    small = min(seconds(body[:MIB]) for _ in range(3))
    assert seconds(body) < 64 * small + 0.05


@pytest.mark.parametrize("unit", [b';a="', b'="\\"', b"; name="])
def test_the_time_for_a_head_is_bounded(unit):
    head = b"--BB\r\nContent-Disposition: form-data" + unit * 3000 + b"\r\n\r\nhola\r\n"
    begun = time.process_time()
    with pytest.raises(RequestError):
        parse_form(KIND, head + END)
    with pytest.raises(RequestError):
        parse_form("multipart/form-data" + unit.decode() * 10_000, TEXT + END)
    assert time.process_time() - begun < 1
