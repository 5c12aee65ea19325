"""The export opens what it wrote, before the bundle gets its name."""

from pathlib import Path
from typing import Any

import pytest

from emo_export.options import Gate, Identity, Options, Sources
from emo_export.pipeline import export
from emo_runtime.errors import EmoError


def test_a_text_that_the_graph_cannot_read_stops_the_export(
    maker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a wrong position limit would: the rows are shorter than it, a long text is not."""
    rows = tmp_path / "rows.csv"
    rows.write_text("text\nno puedo\nla casa\nhola\n")
    monkeypatch.setattr("emo_models.modeling.load.max_tokens", lambda _: 90)
    options = Options(
        Sources(str(maker.text())),
        tmp_path / "bundle",
        Identity("test", "1.0", "LicenseRef-test", "For tests only."),
        evaluate=rows,
        gate=Gate(enforced=False),
    )
    with pytest.raises(EmoError, match="fp32: a text of 90 words gets no answer"):
        export(options)
    assert not list(tmp_path.glob("*bundle*"))
