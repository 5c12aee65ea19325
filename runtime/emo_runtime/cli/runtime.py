"""emo-runtime: the emotion of one sentence, for a first look (``uvx emo-runtime "texto"``)."""

import sys

import click

from emo_runtime.cli.answer_text import format_answer
from emo_runtime.cli.common import Command, bundle_argument, examples, print_json
from emo_runtime.recognizer import EmotionRecognizer

_COMMANDS = """\b
Other commands:
  emo-predict   one utterance, a table, a recording or a folder
  emo-bundle    inspect, verify, sign, upgrade and compare bundles
  emo-doctor    examine the installation
  emo-serve     the server (extra [serve])
  emo-bench     measure a bundle (extra [bench])
  emo-export    convert a checkpoint to a bundle (extra [export])
  emo-train     train networks (extra [train])
  emo-evaluate  evaluate a checkpoint or a bundle (extra [train])"""


@click.command(
    cls=Command,
    epilog=examples(
        'emo-runtime "Qué alegría verte."',
        'emo-runtime --json "No puedo más."',
        'uvx emo-runtime "Qué alegría verte."',
        'pipx run emo-runtime "Qué alegría verte."',
    )
    + f"\n\n{_COMMANDS}",
)
@click.argument("text", nargs=-1)
@bundle_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
@click.version_option(package_name="emo-runtime")
def main(*, text: tuple[str, ...], bundle: str | None, as_json: bool) -> None:
    """Recognize the emotion of the sentence TEXT. Without TEXT: of standard input."""
    sentence = " ".join(text)
    if not text:
        if sys.stdin.isatty():
            click.echo(click.get_current_context().get_help())
            return
        sentence = sys.stdin.buffer.read().decode("utf-8", "replace")
    with EmotionRecognizer.open(bundle, tasks=["text"]) as recognizer:
        answer = recognizer.recognize(sentence)
    if as_json:
        print_json(answer.to_dict())
    else:
        click.echo(format_answer(answer))


if __name__ == "__main__":
    main()
