"""``emo-train`` inside the process of the test."""

from click.testing import CliRunner, Result

from emo_models.cli.train import main


def run(*arguments: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def good(*arguments: object) -> str:
    """Run the command, which must succeed, and return its output."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.output
