"""A call centre that sees the course of a call, and is told when a customer's anger rises.

A recording with the agent and the customer on two channels, and a transcript of each, become a
timeline, a plot, and an alert.

    python examples/call_centre.py [CALL.flac AGENT.vtt CUSTOMER.vtt] [--plot call.png]
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from emo_runtime import EmotionRecognizer, Moment, read_transcript
from emo_runtime.plot import plot_timeline

CALL = Path(__file__).parent / "call"
CUSTOMER_CHANNEL = 1
# An alert is for a rise, not for one loud sentence: an exponential mean over the customer's turns.
MEMORY = 0.5
RISE = 0.15


def course(recognizer: EmotionRecognizer, call: Path, transcripts: list[Path]) -> list[Moment]:
    """A moment for each cue of both transcripts, by the time it begins."""
    cues = [
        cue
        for channel, transcript in enumerate(transcripts)
        for cue in read_transcript(transcript, channel)
    ]
    return list(recognizer.timeline(call, sorted(cues, key=lambda cue: cue.start_s)))


def rises_of_anger(moments: Iterable[Moment]) -> Iterator[tuple[Moment, float]]:
    """The customer's turns at which the mean of anger has risen by RISE since its lowest."""
    mean = lowest = None
    for moment in moments:
        if moment.cue.channel != CUSTOMER_CHANNEL or moment.answer is None:
            continue
        anger = moment.answer.scores["anger"]
        mean = anger if mean is None else MEMORY * mean + (1 - MEMORY) * anger
        lowest = mean if lowest is None else min(lowest, mean)
        if mean - lowest >= RISE:
            yield moment, mean
            lowest = mean


def main() -> None:
    """Read the arguments, show the course, and raise the alerts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("call", nargs="?", type=Path, default=CALL / "call.flac")
    parser.add_argument("agent", nargs="?", type=Path, default=CALL / "agent.vtt")
    parser.add_argument("customer", nargs="?", type=Path, default=CALL / "customer.vtt")
    parser.add_argument("--plot", type=Path, help="write the course as a PNG")
    options = parser.parse_args()
    with EmotionRecognizer.open(mode="throughput") as recognizer:
        moments = course(recognizer, options.call, [options.agent, options.customer])
        labels = recognizer.labels
    for moment in moments:
        said = moment.answer
        emotion = f"{said.label:<8} {said.confidence:4.0%}" if said else f"({moment.error})"
        print(
            f"{moment.cue.start_s:6.1f} s  {moment.cue.speaker or '':<8} {emotion}  "
            f"{moment.cue.text}"
        )
    for moment, mean in rises_of_anger(moments):
        print(f"ALERT at {moment.cue.start_s:.1f} s: the customer's anger has risen to {mean:.0%}.")
    if options.plot:
        plot_timeline(options.plot, moments, labels, options.call.name)


if __name__ == "__main__":
    main()
