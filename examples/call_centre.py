"""Call centre: the timeline of a call, with an alert when the customer's anger rises.

The input is a recording with the agent and the customer on two channels, and a transcript of each.
The output is a timeline, an optional plot, and alerts.

    python examples/call_centre.py [CALL.flac AGENT.vtt CUSTOMER.vtt] [--plot call.png]
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

from emo_runtime import EmotionRecognizer, Moment, read_transcript
from emo_runtime.plot import plot_timeline

CALL = Path(__file__).parent / "call"
CUSTOMER_CHANNEL = 1
# Alerts use an exponential moving average over turns, so one loud sentence is not enough.
MEMORY = 0.5
RISE = 0.15


def course(recognizer: EmotionRecognizer, call: Path, transcripts: list[Path]) -> list[Moment]:
    """Return a moment for each cue of both transcripts, ordered by start time."""
    cues = [
        cue
        for channel, transcript in enumerate(transcripts)
        for cue in read_transcript(transcript, channel)
    ]
    return list(recognizer.timeline(call, sorted(cues, key=lambda cue: cue.start_s)))


def rises_of_anger(moments: Iterable[Moment]) -> Iterator[tuple[Moment, float]]:
    """Yield the customer's turns where the average anger is RISE above its last minimum."""
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
    """Read the arguments, and print the timeline and the alerts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("call", nargs="?", type=Path, default=CALL / "call.flac")
    parser.add_argument("agent", nargs="?", type=Path, default=CALL / "agent.vtt")
    parser.add_argument("customer", nargs="?", type=Path, default=CALL / "customer.vtt")
    parser.add_argument("--plot", type=Path, help="write a plot of the timeline (PNG)")
    options = parser.parse_args()
    with EmotionRecognizer.open(mode="throughput") as recognizer:
        moments = course(recognizer, options.call, [options.agent, options.customer])
        labels = recognizer.labels
    for moment in moments:
        answer = moment.answer
        emotion = f"{answer.label:<8} {answer.confidence:4.0%}" if answer else f"({moment.error})"
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
