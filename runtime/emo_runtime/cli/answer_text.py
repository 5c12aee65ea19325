"""Format an answer as text for a terminal."""

from emo_runtime.cli.common import bar
from emo_runtime.result import Answer

_STEPS = {
    "front_end": "front end",
    "speech": "speech graph",
    "text": "text graph",
    "fusion": "fusion graph",
}


def format_answer(answer: Answer) -> str:
    """Return label, inputs, a bar for each label, times and notes."""
    inputs = [f"{answer.tokens} tokens"] if answer.tokens else []
    inputs += [f"{answer.duration_s:.1f} s of sound"] if answer.duration_s else []
    share = f"{answer.confidence:.0%}{', uncertain' if answer.uncertain else ''}"
    width = max(map(len, answer.scores))
    steps = answer.timings.by_step().items()
    lines = [
        f"{answer.label} ({share})   task {answer.task}: {', '.join(inputs)}",
        "",
        *(f"  {name:<{width}}  {bar(score)}  {score:.3f}" for name, score in answer.scores.items()),
        "",
        "  " + "   ".join(f"{_STEPS.get(name, name)} {ms:.2f} ms" for name, ms in steps if ms),
        *(f"  note: {note}" for note in answer.notes),
    ]
    return "\n".join(lines)
