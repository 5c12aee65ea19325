"""The documented options are those of the command."""

from emo_serving.option_table import option_table
from helpers.corpora import ROOT


def test_the_page_is_up_to_date():
    page = (ROOT / "docs" / "operate" / "options.md").read_text(encoding="utf-8")
    assert page == option_table(), "run: python -m emo_serving.option_table"
    assert "| `--max-waiting` | `EMO_SERVE_MAX_WAITING` | `96` |" in page
