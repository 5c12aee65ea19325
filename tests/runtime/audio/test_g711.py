"""The tables of G.711 against those of SoX (tests/data/README.md)."""

import numpy as np
import pytest

from emo_runtime.audio.g711 import ALAW, MULAW
from helpers.corpora import ROOT


@pytest.mark.parametrize(("name", "table"), [("mulaw", MULAW), ("alaw", ALAW)])
def test_every_code_has_the_value_that_sox_gives(name, table):
    golden = np.fromfile(ROOT / "tests" / "data" / f"{name}.s16le", "<i2")
    assert table.dtype == np.float32
    np.testing.assert_array_equal(table * 32768, golden)
