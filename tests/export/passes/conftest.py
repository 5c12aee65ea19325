"""Text graphs as the exporter gets them from PyTorch, with token ids of some sentences."""

from collections.abc import Callable
from typing import Any

import pytest

from emo_export.checkpoints.load import Checkpoints, token_ids
from emo_export.evaluation.rows import Evaluation
from emo_export.torch_export import graph


@pytest.fixture
def text_graph(
    maker: Any, loaded: Callable[..., Checkpoints], few: Evaluation
) -> Callable[[str], Any]:
    """``text_graph(kind)``: graph and rows; ``kind`` is ``cls``, ``mean``, or ``shared``."""

    def make(kind: str) -> Any:
        text = maker.text("cls" if kind == "shared" else kind)
        fusion = maker.fusion(text) if kind == "shared" else None
        checkpoints = loaded(text, None, fusion)
        rows = token_ids(checkpoints.text, few.texts, strip=False)
        return graph(checkpoints)["text"], rows

    return make
