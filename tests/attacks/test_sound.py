"""Sound with wrong headers or missing data: an answer with a note, or an AudioError."""

import io
import json
import struct

import numpy as np
import pytest

from emo_runtime import AudioError, Cue, EmotionRecognizer
from emo_runtime.audio import ffmpeg
from emo_runtime.audio.decode import decode
from helpers.processes import run_python
from helpers.sounds import as_file, speechlike

RATE = 16_000
SAMPLES = speechlike(3, RATE)
FORMAT = struct.pack("<HHIIHH", 1, 1, 8_000, 16_000, 2, 16)


def chunk(kind, body, size=None):
    return kind + struct.pack("<I", len(body) if size is None else size) + body


def id3(length):
    """An ID3v2 tag; its length is written in four groups of seven bits."""
    groups = [length >> shift & 0x7F for shift in (21, 14, 7, 0)]
    return b"ID3\x03\0\0" + bytes(groups) + bytes(length)


def hanging_wav():
    """The 157 bytes of libsndfile's issue 1118: it seeks 8 bytes back, in an endless loop."""
    info = b"INFO" + chunk(b"xxxx", b"x" * 40, size=0xFFFFFFF8) + bytes(45)
    body = b"WAVE" + chunk(b"fmt ", FORMAT) + chunk(b"LIST", info) + chunk(b"data", bytes(8))
    return b"RIFF" + struct.pack("<I", len(body)) + body


DECODE = """
import json, sys
from pathlib import Path
from emo_runtime import AudioError
from emo_runtime.audio.decode import decode
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        found = f"{decode(path).duration_s:.2f} s"
    except AudioError as error:
        found = str(error)
    print(json.dumps([path.name, found]), flush=True)
"""


def test_nothing_hangs_the_decoder(tmp_path):
    """Impact: one small upload would block a worker forever."""
    assert len(hanging_wav()) == 157
    abuses = {
        "plain": hanging_wav(),
        # libsndfile skips ID3 tags, so a check of the first bytes alone found no WAV here.
        "behind an empty tag": id3(0) + hanging_wav(),
        "behind a tag": id3(10) + hanging_wav(),
        "behind two tags": id3(10) + id3(200) + hanging_wav(),
        "tag without end": b"ID3\x03\0\0\x7f\x7f\x7f\x7f" + hanging_wav(),
    }
    for name, data in abuses.items():
        (tmp_path / name).write_bytes(data)
    done = run_python("-c", DECODE, tmp_path, timeout=600)
    assert done.stderr == ""
    found = dict(map(json.loads, done.stdout.splitlines()))
    assert found.keys() == abuses.keys()
    for name, message in found.items():
        assert message == "0.00 s" or name == "tag without end", (name, message)
    assert "not a supported sound file" in found["tag without end"]


def test_tags_before_an_mp3_change_nothing():
    """Impact: none; ordinary podcasts begin so."""
    data = as_file(SAMPLES, RATE, "MP3")
    np.testing.assert_array_equal(decode(id3(300) + data).samples, decode(data).samples)


@pytest.mark.parametrize("kind", ["W64", "CAF", "MAT5", "PAF", "SVX", "VOC", "NIST", "XI"])
def test_obsolete_formats_never_reach_libsndfile(kind, monkeypatch):
    """Impact: a fault in one of thirty hardly used parsers, reachable by an upload."""
    monkeypatch.setattr(ffmpeg, "is_installed", lambda: False)
    data = as_file(SAMPLES, RATE, kind, "DPCM_16" if kind == "XI" else None)
    with pytest.raises(AudioError, match="not a supported sound file"):
        decode(data)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [("WAV", None), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)],
)
@pytest.mark.parametrize("share", [0.95, 0.6])
def test_a_call_that_was_cut_off_is_answered_with_a_note(kind, subtype, share, recwarn):
    """Impact: half a call would pass as a complete one, or give no answer at all."""
    data = as_file(SAMPLES, RATE, kind, subtype)
    assert decode(data).notes == ()
    cut = decode(data[: int(share * len(data))])
    assert 0.2 < cut.duration_s < 3
    assert [note.code for note in cut.notes] == ["cut_off"]
    whole = decode(data).samples[: len(cut.samples)]
    if kind in {"WAV", "FLAC"}:
        np.testing.assert_array_equal(cut.samples, whole)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x80000000, 0x7FFFF000])
def test_a_recording_written_to_a_pipe_is_not_truncated(size):
    """Impact: every streamed recording would get a false note."""
    pcm = np.round(SAMPLES * 32767).astype("<i2").tobytes()
    body = b"WAVE" + chunk(b"fmt ", FORMAT) + chunk(b"data", pcm, size=size)
    assert decode(b"RIFF\xff\xff\xff\xff" + body).notes == ()


def test_a_flac_file_with_only_its_header():
    """Impact: an answer about silence that nobody recorded."""
    # Older versions of libsndfile open such a file, and find nothing in it.
    with pytest.raises(AudioError, match=r"not a supported sound file|the sound has no samples"):
        decode(as_file(SAMPLES, RATE, "FLAC")[:100])


def test_a_note_reaches_the_answer(tiny_bundle):
    """Impact: a note that stays in the decoder does not reach the caller."""
    recognizer = EmotionRecognizer.open(tiny_bundle())
    data = as_file(SAMPLES, RATE)[:-20_000]
    assert recognizer.recognize("hola", data).notes[0].code == "cut_off"


class Failing(io.BytesIO):
    """A file whose disk or network fails after some reads."""

    left = 4

    def read(self, *arguments):
        self.left -= 1
        if self.left < 0:
            raise OSError("the network is gone")
        return super().read(*arguments)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("left", [1, 3, 6])
def test_a_file_object_that_fails_in_a_callback(kind, left, capfd):
    """Impact: an exception inside C is printed and lost; the sound silently ends there."""
    source = Failing(as_file(SAMPLES, RATE, kind))
    source.left = left
    with pytest.raises(AudioError, match="the network is gone"):
        decode(source)
    assert "Traceback" not in capfd.readouterr().err


def test_a_file_opened_as_text(tmp_path):
    """Impact: a forgotten 'rb' would print a traceback from a callback and say nothing useful."""
    (tmp_path / "a.wav").write_bytes(as_file(np.zeros(100, np.int16), RATE))
    with (
        open(tmp_path / "a.wav", encoding="latin-1") as file,
        pytest.raises(AudioError, match="Open it with mode 'rb'"),
    ):
        decode(file)


def test_cues_behind_the_end_of_a_cut_recording_fail_alone(tiny_bundle):
    """Impact: one cut file would cost the answers of all cues before the cut."""
    recognizer = EmotionRecognizer.open(tiny_bundle())
    cues = [Cue(start, start + 1, "hola") for start in (0.0, 1.0, 2.0)]
    for kind in ("WAV", "FLAC"):
        data = as_file(SAMPLES, RATE, kind)[: 30_000 if kind == "FLAC" else 50_000]
        moments = list(recognizer.timeline(data, cues))
        assert moments[0].answer is not None, kind
        assert isinstance(moments[2].error, AudioError), kind


@pytest.mark.parametrize("sample", ["denormal", "full scale", "DC"])
def test_extreme_but_legal_samples(tiny_bundle, sample):
    """Impact: NaN instead of probabilities."""
    values = {
        "denormal": np.full(RATE, 1e-42, np.float32),
        "full scale": np.tile(np.float32([1, -1]), RATE // 2),
        "DC": np.ones(RATE, np.float32),
    }
    answer = EmotionRecognizer.open(tiny_bundle()).recognize("hola", (values[sample], RATE))
    assert sum(answer.scores.values()) == pytest.approx(1)


def test_ten_hours_in_a_small_file_take_bounded_memory(tmp_path):
    """Impact: a sparse file of a few bytes on disk would fill the memory."""
    path = tmp_path / "long.wav"
    length = 10 * 3600 * 16_000 - 36
    head = b"WAVE" + chunk(b"fmt ", FORMAT) + b"data" + struct.pack("<I", length)
    path.write_bytes(b"RIFF" + struct.pack("<I", length + 36) + head)
    with path.open("r+b") as file:
        file.truncate(len(head) + 8 + length)
    code = """
import resource, sys
from emo_runtime import AudioError
from emo_runtime.audio.decode import decode
import numpy, soundfile
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(sys.argv[1])
except AudioError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = run_python("-c", code, path, timeout=600)
    message, megabytes = done.stdout.splitlines()
    assert "longer than 600 s" in message
    assert int(megabytes) < 100
