"""Label words: mapping, matching, order."""

import pytest

from emo_models.errors import DataError
from emo_models.labels import label_index, label_set, map_label, parse_label_map, parse_labels


def test_case_accents_and_blanks_do_not_matter() -> None:
    assert label_index(" ALEGRIA", ("enojo", "alegría")) == 1
    with pytest.raises(DataError, match=r"row 3: unknown label 'aleg'. Expected one of: enojo"):
        label_index("aleg", ("enojo", "alegría"), where="row 3")


def test_a_label_map_translates_and_leaves_the_rest() -> None:
    label_map = parse_label_map("enojo=anger, Alegría = Joy,")
    assert [map_label(word, label_map) for word in ("Enojo", "alegria ", "Miedo")] == [
        "anger",
        "Joy",
        "miedo",
    ]
    with pytest.raises(DataError, match="'enojo' is not word=label"):
        parse_label_map("enojo")
    with pytest.raises(DataError, match="'ENOJO' is given more than once"):
        parse_label_map("enojo=anger,ENOJO=joy")


def test_labels_in_order() -> None:
    assert parse_labels("b, a") == ("b", "a")
    with pytest.raises(DataError, match="two or more different"):
        parse_labels("a,A")
    assert label_set(["alegría", "alegria", "alegría", "zeta"]) == ("alegría", "zeta")
