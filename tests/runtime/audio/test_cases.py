"""Sound files of public bug reports: the decoded sound is located in the original clip.

The files are in tests/data/cases/sound; WAV files that are easily built are built here.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from emo_runtime import AudioError
from emo_runtime.audio import ffmpeg
from emo_runtime.audio.decode import decode
from emo_runtime.audio.quality import measure
from emo_runtime.audio.recording import open_recording
from helpers.processes import run_python
from helpers.sounds import as_file

FILES = Path(__file__).resolve().parents[2] / "data" / "cases" / "sound"
CLIP, RATE = soundfile.read(FILES.parent / "source.flac", dtype="float32")
S = len(CLIP) / RATE  # 3.465 s

needs_av = pytest.mark.skipif(not ffmpeg.is_installed(), reason="PyAV (extra ffmpeg) is missing")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is missing")

# Seconds and codes. AAC and MP3 without a gapless header keep the encoder's padding.
CASES = {
    "opus16_no_eos.ogg": (S, 0.001, []),
    "whatsapp.opus": (S, 0.001, []),
    "whatsapp16.ogg": (S, 0.001, []),
    "vbr.mp3": (S, 0.001, []),
    "gsm_wav49.wav": (S, 0.06, []),
    "flac_pipe.flac": (S, 0.0, []),
    "flac_pipe_short8k.flac": (0.5, 0.0, []),
    "flac.oga": (S, 0.0, []),
    "mp3_zeros_after_tag.mp3": (S, 0.001, []),
    "mp3_leading_zeros.mp3": (S, 0.001, []),
    "mp3_cut_front.mp3": (S, 0.1, []),
    "mp3_in.wav": (S, 0.1, []),
    "mp3_joined.mp3": (2 * S, 0.001, []),
    "cbr_joined.mp3": (2 * S, 0.2, []),
    "opus_hole.ogg": (S - 1, 0.001, ["damaged"]),
    "flac_hole.flac": (S, 0.3, ["damaged"]),
    "mp3_hole.mp3": (S, 0.1, ["damaged"]),
    "mp3_lost_bytes.mp3": (S, 0.1, ["damaged"]),
    "mp3_zeros_hole.mp3": (S, 0.4, ["damaged"]),
    "wav_list_odd_nopad_in_info.wav": (S, 0.0, []),
    "mulaw_odd_nopad_list.wav": (3.747875, 0.0, []),
}
FOREIGN = {
    "voz.m4a": (S, 0.1, "M4A or MP4"),
    "voz.3gp": (S, 0.1, "3GP"),
    "adts.aac": (S, 0.15, "AAC"),
    "grabacion.webm": (S, 0.02, "WebM"),
    "speex.ogg": (S, 0.03, "Speex"),
    "g726.wav": (S, 0.001, "G.726"),
}


def similarity(piece, rate, clip=CLIP):
    """The largest correlation coefficient of a piece with a part of the clip of its length."""
    piece = soxr.resample(piece, rate, RATE)
    padded = np.concatenate([np.zeros(len(piece)), clip, np.zeros(len(piece))])
    length = 1 << int(np.ceil(np.log2(len(padded) + len(piece))))
    spectrum = np.fft.rfft(padded, length) * np.conj(np.fft.rfft(piece, length))
    products = np.fft.irfft(spectrum, length)[: len(padded) - len(piece)]
    energy = np.concatenate([[0], np.cumsum(padded**2)])
    norms = np.sqrt(np.maximum(energy[len(piece) :] - energy[: -len(piece)], 1e-3)[:-1])
    return float((products / norms).max() / np.linalg.norm(piece))


def is_of_clip(sound, at_least=0.85):
    """True if the first, the middle and the last 0.4 s of a sound are in the clip."""
    count = int(0.4 * sound.sample_rate)
    starts = (int(0.3 * sound.sample_rate), len(sound.samples) // 2, len(sound.samples) - 2 * count)
    return [
        similarity(sound.samples[start : start + count], sound.sample_rate) > at_least
        for start in starts
    ]


@pytest.mark.parametrize("name", CASES)
def test_what_is_intact_is_decoded(name):
    duration_s, tolerance_s, codes = CASES[name]
    sound = decode(FILES / name)
    assert sound.duration_s == pytest.approx(duration_s, abs=tolerance_s + 1e-3)
    assert [note.code for note in sound.notes] == codes
    if name not in {"mulaw_odd_nopad_list.wav", "flac_pipe_short8k.flac"}:  # of other clips
        first, middle, last = is_of_clip(sound)
        assert (first, last) == (True, True)
        assert middle or codes  # there may be a gap


@needs_av
@pytest.mark.parametrize("name", FOREIGN)
def test_other_formats_are_decoded_by_the_extra(name):
    duration_s, tolerance_s, _ = FOREIGN[name]
    for source in (FILES / name, (FILES / name).read_bytes()):
        sound = decode(source)
        assert sound.duration_s == pytest.approx(duration_s, abs=tolerance_s)
        assert sound.notes == ()
        assert is_of_clip(sound, 0.7 if name == "speex.ogg" else 0.85) == [True] * 3
    with pytest.raises(AudioError, match="longer than 2 s"):
        decode(FILES / name, max_duration_s=2)
    with open_recording(FILES / name) as recording:
        assert recording.duration_s == pytest.approx(duration_s, abs=tolerance_s)
        np.testing.assert_array_equal(
            recording.slice(1, 2).samples,
            sound.samples[sound.sample_rate : 2 * sound.sample_rate],
        )


@pytest.mark.parametrize("name", FOREIGN)
def test_other_formats_are_named_with_a_command_without_the_extra(name, monkeypatch):
    monkeypatch.setattr(ffmpeg, "is_installed", lambda: False)
    with pytest.raises(AudioError) as caught:
        decode(FILES / name)
    message = str(caught.value).removeprefix(str(FILES / name))
    assert FOREIGN[name][2] in message
    assert "ffmpeg -i input." in message
    assert 'pip install "emo-runtime[ffmpeg]"' in message


@needs_ffmpeg
@pytest.mark.parametrize("name", ["flac_pipe.flac", "flac.oga", "mp3_in.wav", "mp3_cut_front.mp3"])
def test_the_samples_are_those_of_ffmpeg(name):
    command = ["ffmpeg", "-v", "quiet", "-i", FILES / name, "-f", "f32le", "-"]
    expected = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, "<f4")
    sound = decode(FILES / name)
    assert len(sound.samples) == len(expected)
    # Decoders of MP3 may differ where the first frame refers to bits that are missing.
    skipped = 2 * 576 if name == "mp3_cut_front.mp3" else 0
    np.testing.assert_allclose(sound.samples[skipped:], expected[skipped:], atol=1e-3)


@needs_av
@needs_ffmpeg
def test_frames_with_many_channels_do_not_end_the_process(tmp_path):
    """AAC in WAV as FFmpeg writes it: its decoder takes the data for 47 channels."""
    path = tmp_path / "aac.wav"
    command = ["ffmpeg", "-v", "quiet", "-i", FILES / "mp3_in.wav", "-c:a", "aac"]
    subprocess.run([*command, "-f", "wav", path], check=True)
    done = run_python(
        "-c",
        "import sys; from emo_runtime.audio.decode import decode\n"
        "print([note.code for note in decode(sys.argv[1]).notes])",
        path,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "['damaged']"), done.stderr


@pytest.mark.parametrize("name", ["mp3_joined.mp3", "flac_pipe.flac"])
def test_slices_are_those_of_the_whole(name):
    whole = decode(FILES / name)
    with open_recording(FILES / name) as recording:
        for start, end in ((3.0, 3.2), (0.0, 0.5), (1.25, 2.0), (2.9, 99.0)):
            expected = whole.samples[round(start * RATE) : round(end * RATE)]
            np.testing.assert_array_equal(recording.slice(start, end).samples, expected)
        assert recording.duration_s == pytest.approx(whole.duration_s)
        assert recording.notes == whole.notes


def test_times_stay_right_beyond_damage():
    """A frame of 4,096 samples is damaged: silence takes its place in slices of the recording."""
    pcm = np.round(CLIP * 32768) / 32768
    with open_recording(FILES / "flac_hole.flac") as recording:
        for start, end in ((2.8, 3.2), (0.2, 1.2), (0.0, S), (2.8, 3.2)):
            sound = recording.slice(start, end)
            expected = pcm[round(start * RATE) : round(end * RATE)]
            assert len(sound.samples) == len(expected)
            different = np.flatnonzero(sound.samples != expected)
            assert len(different) <= 4096
            assert not sound.samples[different].any()
    assert [note.code for note in sound.notes] == ["damaged"]


@pytest.mark.parametrize(
    "kind", [("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", None), ("FLAC", None)]
)
def test_joined_files_are_read_as_one(kind):
    part = as_file(CLIP, RATE, *kind)
    one, three = decode(part), decode(part * 3)
    assert three.notes == ()
    np.testing.assert_allclose(three.samples, np.tile(one.samples, 3), atol=1e-6)
    with open_recording(part * 3) as recording:
        np.testing.assert_allclose(
            recording.slice(S + 1, S + 2).samples, one.samples[RATE : 2 * RATE], atol=1e-3
        )


@pytest.mark.parametrize("kind", [("OGG", "OPUS"), ("MP3", None), ("FLAC", None)])
def test_a_second_recording_of_another_rate_is_noted(kind):
    half = soxr.resample(CLIP, RATE, 8_000)
    sound = decode(as_file(CLIP, RATE, *kind) + as_file(half, 8_000, *kind))
    assert [note.code for note in sound.notes] == ["trailing_data"]
    assert sound.duration_s == pytest.approx(S, abs=0.001)


@pytest.mark.parametrize(
    "kind", [("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", None), ("FLAC", None)]
)
@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
@pytest.mark.parametrize("damage", ["lost", "zeros"])
def test_both_sides_of_a_gap_are_decoded(kind, rate, damage):
    clip = np.tile(soxr.resample(CLIP, RATE, rate), 3)
    data = as_file(clip, rate, *kind)
    for share in (0.3, 0.5, 0.7):
        at = int(share * len(data))
        hole = bytes(600) if damage == "zeros" else b""
        sound = decode(data[:at] + hole + data[at + 600 :])
        assert [note.code for note in sound.notes] == ["damaged"]
        assert 1.5 * S < sound.duration_s <= 3.05 * S
        first, _, last = is_of_clip(sound)
        assert (first, last) == (True, True)


def test_channels():
    inverted = decode((np.stack([0.8 * CLIP, -CLIP], axis=1), RATE))
    assert [note.code for note in inverted.notes] == ["channels_cancel"]
    np.testing.assert_array_equal(inverted.samples, -CLIP)
    as_wav = decode(as_file(np.stack([CLIP, -CLIP], axis=1), RATE))
    assert [note.code for note in as_wav.notes] == ["channels_cancel"]
    np.testing.assert_allclose(as_wav.samples, CLIP, atol=1e-4)
    dead = decode(as_file(np.stack([CLIP, np.zeros_like(CLIP)], axis=1), RATE))
    assert [note.code for note in dead.notes] == ["silent_channel"]
    different = decode((np.stack([CLIP, np.roll(CLIP, 9_000)], axis=1), RATE))
    assert different.notes == ()


def test_level_and_bandwidth():
    quiet = measure(CLIP * np.float32(0.01), RATE)
    assert [note.code for note in quiet.notes(8_000)] == ["quiet"]
    for rate in (11_025, 12_000):
        [note] = measure(soxr.resample(CLIP, RATE, rate), rate).notes(8_000)
        assert note.code == "narrow_band"
    assert measure(CLIP, RATE).notes(8_000) == ()


@pytest.mark.parametrize("kind", [("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", None)])
@pytest.mark.parametrize("damage", ["lost", "zeros"])
def test_silence_takes_the_place_of_lost_sound(kind, damage):
    clip = np.tile(CLIP, 3)
    data = as_file(clip, RATE, *kind)
    at = len(data) // 2
    hole = bytes(2000) if damage == "zeros" else b""
    with open_recording(data[:at] + hole + data[at + 2000 :]) as recording:
        assert recording.duration_s == pytest.approx(3 * S, abs=0.002)
        for start in (0.5, 3 * S - 1.0):
            piece = recording.slice(start, start + 0.5).samples
            around = clip[round((start - 0.05) * RATE) : round((start + 0.55) * RATE)]
            assert similarity(piece, RATE, around) > 0.85
        assert [note.code for note in recording.notes] == ["damaged"]
        silence = np.abs(recording.slice(0, 3 * S).samples[: 3 * RATE * 3].reshape(-1, 160))
        assert (silence.max(axis=1) == 0).any()


def test_silence_takes_the_place_of_a_lost_page_of_flac():
    data = (FILES / "flac.oga").read_bytes()
    pages = [position for position in range(len(data)) if data.startswith(b"OggS", position)]
    lost = len(pages) // 2
    with open_recording(data[: pages[lost]] + data[pages[lost + 1] :]) as recording:
        assert recording.duration_s == pytest.approx(S, abs=0.001)
        np.testing.assert_allclose(
            recording.slice(S - 0.5, S).samples, CLIP[-RATE // 2 :], atol=1e-4
        )


@needs_av
def test_silence_takes_the_place_of_lost_packets():
    data = bytearray((FILES / "voz.m4a").read_bytes())
    whole = decode(bytes(data)).duration_s
    middle = data.index(b"mdat") + len(data) // 2
    data[middle : middle + 900] = bytes(900)
    assert decode(bytes(data)).duration_s < whole - 0.05
    with open_recording(bytes(data)) as recording:
        assert recording.duration_s == pytest.approx(whole, abs=0.001)
    assert [note.code for note in recording.notes] == ["damaged"]


@pytest.mark.parametrize("kind", [("WAV", None), ("FLAC", None), ("OGG", "OPUS"), ("AIFF", None)])
@pytest.mark.parametrize(
    "junk", [bytes(700), b"\n", b"HTTP/1.1 200 OK\r\n\r\n", b"\xff\xfb\x90" * 9]
)
def test_other_bytes_before_a_recording_are_skipped(kind, junk):
    data = as_file(CLIP, RATE, *kind)
    np.testing.assert_array_equal(decode(junk + data).samples, decode(data).samples)


@pytest.mark.parametrize("kind", [("AIFF", None), ("AU", None)])
@pytest.mark.parametrize("rest", [b"abc", bytes(3000), b"FORM" + b"\xff" * 50])
def test_what_follows_the_samples_is_ignored(kind, rest):
    data = as_file(CLIP, RATE, *kind)
    sound = decode(data + rest)
    np.testing.assert_array_equal(sound.samples, decode(data).samples)
    assert sound.notes == ()


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "AU", "FLAC", "MP3", "OGG"])
def test_a_second_recording_of_another_format_is_noted(kind):
    first = as_file(CLIP, RATE, kind)
    other = as_file(CLIP, RATE, "OGG" if kind == "WAV" else "WAV")
    sound = decode(first + other)
    assert [note.code for note in sound.notes] == ["trailing_data"]
    assert len(sound.samples) == len(decode(first).samples)


def test_a_wav_header_with_a_smaller_length_is_noted():
    data = bytearray(as_file(CLIP, RATE))
    at = data.index(b"data") + 4
    data[at : at + 4] = (RATE * 2).to_bytes(4, "little")
    sound = decode(bytes(data))
    assert sound.duration_s == 1
    [note] = sound.notes
    assert note.code == "trailing_data"
    assert "length in the header" in note.message


def test_an_aiff_file_of_a_pipe_and_a_cut_one():
    data = as_file(CLIP, RATE, "AIFF")
    at = data.index(b"SSND") + 4
    piped = data[:at] + bytes(4) + data[at + 4 :]
    np.testing.assert_array_equal(decode(piped).samples, decode(data).samples)
    cut = decode(data[: len(data) // 2])
    assert [note.code for note in cut.notes] == ["cut_off"]
    assert cut.duration_s == pytest.approx(S / 2, abs=0.01)
    with pytest.raises(AudioError, match="no usable 'SSND' chunk"):
        decode(data[: at - 4])


def test_an_ogg_file_without_its_beginning_is_named():
    with pytest.raises(AudioError, match="beginning of the recording is missing"):
        decode(as_file(np.tile(CLIP, 9), RATE, "OGG", "OPUS")[9000:])


@needs_av
def test_an_incomplete_mp4_or_webm_is_named():
    mp4, webm = (FILES / "voz.m4a").read_bytes(), (FILES / "grabacion.webm").read_bytes()
    with pytest.raises(AudioError, match=r"index \(moov\) is missing"):
        decode(mp4[: len(mp4) // 2])
    sound = decode(webm[: len(webm) // 2])
    assert 0.5 < sound.duration_s < S - 0.5
    assert [note.code for note in sound.notes] == ["cut_off"]


@needs_av
def test_what_follows_a_foreign_recording_does_not_matter():
    for name in ("speex.ogg", "adts.aac"):
        data = (FILES / name).read_bytes()
        sound = decode(data + as_file(CLIP, RATE))
        assert sound.duration_s == pytest.approx(decode(data).duration_s, abs=0.001)
        assert sound.notes


@needs_av
@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["caf", "w64"])
def test_formats_of_speech_corpora_are_decoded_by_the_extra(suffix, tmp_path):
    path = tmp_path / f"clip.{suffix}"
    (tmp_path / "clip.wav").write_bytes(as_file(CLIP, RATE))
    subprocess.run(["ffmpeg", "-v", "quiet", "-i", tmp_path / "clip.wav", path], check=True)
    np.testing.assert_allclose(decode(path).samples[: len(CLIP)], CLIP, atol=1e-4)
