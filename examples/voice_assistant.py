"""A voice assistant that hears how something is said while it is being said.

Sound comes in packets of 20 ms, as from a microphone (here from a file, in real time), and a
transcript that grows word by word, as from a streaming speech recognizer. Every half second the
assistant looks at what it knows so far; when the utterance ends it has the answer at once.

    python examples/voice_assistant.py [--fast] [CLIP.wav "Its transcript"]
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import soundfile

from emo_runtime import Answer, EmotionRecognizer

CLIPS = Path(__file__).parent / "clips"
PACKET_S = 0.02
LOOK_EVERY_S = 0.5


def packets(path: Path) -> Iterator[bytes]:
    """The sound of a mono file as packets of 16-bit samples."""
    with soundfile.SoundFile(path) as file:
        for block in file.blocks(int(PACKET_S * file.samplerate), dtype="int16"):
            yield block.tobytes()


def words_so_far(transcript: str, share: float) -> str:
    """What a speech recognizer would have understood after ``share`` of the utterance."""
    words = transcript.split()
    return " ".join(words[: int(share * len(words))])


def listen(recognizer: EmotionRecognizer, clip: Path, transcript: str, *, fast: bool) -> Answer:
    """Hear an utterance packet by packet; prints what is known on the way."""
    sound = soundfile.info(clip)
    stream = recognizer.stream(sample_rate=sound.samplerate, encoding="pcm_s16le")
    started, next_look = time.perf_counter(), LOOK_EVERY_S
    for packet in packets(clip):
        stream.feed(packet)
        stream.set_text(words_so_far(transcript, stream.duration_s / sound.duration))
        if stream.duration_s >= next_look:
            next_look += LOOK_EVERY_S
            known = stream.partial()
            print(f"{stream.duration_s:5.1f} s  {known.label:<8} {known.confidence:4.0%}  so far")
        if not fast:
            time.sleep(max(0.0, started + stream.duration_s - time.perf_counter()))
    stream.set_text(transcript)
    last_packet = time.perf_counter()
    answer = stream.finish()
    waited_ms = (time.perf_counter() - last_packet) * 1e3
    print(
        f"{stream.duration_s:5.1f} s  {answer.label:<8} {answer.confidence:4.0%}  final, "
        f"{waited_ms:.1f} ms after the last packet"
    )
    return answer


def main() -> None:
    """Read the arguments and listen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clip", nargs="?", type=Path, default=CLIPS / "alegria.flac")
    parser.add_argument(
        "transcript", nargs="?", default="¡Muchísimas gracias! Estoy muy contenta con el resultado."
    )
    parser.add_argument("--fast", action="store_true", help="do not wait for the sound's own time")
    options = parser.parse_args()
    with EmotionRecognizer.open(warm=True) as recognizer:
        listen(recognizer, options.clip, options.transcript, fast=options.fast)


if __name__ == "__main__":
    main()
