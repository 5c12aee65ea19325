"""Voice assistant: recognize the emotion of an utterance while it is being spoken.

Sound arrives in packets of 20 ms, as from a microphone (here from a file, in real time). The
transcript grows word by word, as from a streaming speech recognizer. The example prints a partial
answer every half second, and the final answer at the end of the utterance.

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
PARTIAL_EVERY_S = 0.5


def packets(path: Path) -> Iterator[bytes]:
    """Yield the sound of a mono file as packets of 16-bit samples."""
    with soundfile.SoundFile(path) as file:
        for block in file.blocks(int(PACKET_S * file.samplerate), dtype="int16"):
            yield block.tobytes()


def words_so_far(transcript: str, share: float) -> str:
    """Return the partial transcript of a speech recognizer after ``share`` of the utterance."""
    words = transcript.split()
    return " ".join(words[: int(share * len(words))])


def listen(recognizer: EmotionRecognizer, clip: Path, transcript: str, *, fast: bool) -> Answer:
    """Feed an utterance packet by packet, print partial answers, and return the final one."""
    sound = soundfile.info(clip)
    stream = recognizer.stream(sample_rate=sound.samplerate, encoding="pcm_s16le")
    started, next_partial = time.perf_counter(), PARTIAL_EVERY_S
    for packet in packets(clip):
        stream.feed(packet)
        stream.set_text(words_so_far(transcript, stream.duration_s / sound.duration))
        if stream.duration_s >= next_partial:
            next_partial += PARTIAL_EVERY_S
            partial = stream.partial()
            shown = f"{partial.label:<8} {partial.confidence:4.0%}"
            print(f"{stream.duration_s:5.1f} s  {shown}  so far")
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
    """Read the arguments and run the example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clip", nargs="?", type=Path, default=CLIPS / "alegria.flac")
    parser.add_argument(
        "transcript", nargs="?", default="¡Muchísimas gracias! Estoy muy contenta con el resultado."
    )
    parser.add_argument("--fast", action="store_true", help="do not simulate real time")
    options = parser.parse_args()
    with EmotionRecognizer.open(warm=True) as recognizer:
        listen(recognizer, options.clip, options.transcript, fast=options.fast)


if __name__ == "__main__":
    main()
