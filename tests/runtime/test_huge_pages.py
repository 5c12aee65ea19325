from pathlib import Path

import numpy as np
import pytest

from emo_runtime import EmotionRecognizer, huge_pages
from emo_runtime.huge_pages import HUGE_PAGE, available, in_huge_pages, resident_huge_pages

needs_huge_pages = pytest.mark.skipif(
    not available(), reason="huge pages are switched off, or this is not Linux"
)


@needs_huge_pages
def test_memory_taken_inside_the_block_ends_in_huge_pages_unchanged() -> None:
    before = resident_huge_pages()
    with in_huge_pages():
        values = np.arange(3 << 20, dtype=np.float64)
    if resident_huge_pages() == before:
        pytest.skip("the kernel gives no huge page (older than 6.1, or memory too fragmented)")
    assert resident_huge_pages() - before <= values.nbytes
    assert (values == np.arange(3 << 20)).all()


@needs_huge_pages
def test_holes_are_not_filled() -> None:
    values = np.empty(8 << 20, dtype=np.uint8)  # no page of it is there yet
    start = -(-values.ctypes.data // HUGE_PAGE) * HUGE_PAGE
    offset = start - values.ctypes.data
    values[offset + HUGE_PAGE : offset + 2 * HUGE_PAGE] = 1
    assert huge_pages._filled(start, start + 3 * HUGE_PAGE) == [
        (start + HUGE_PAGE, start + 2 * HUGE_PAGE)
    ]


@needs_huge_pages
def test_not_wanted_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(huge_pages, "_collapse", lambda *where: asked.append(where))
    with in_huge_pages(wanted=False):
        kept = np.ones(3 << 20)
    assert not asked
    with in_huge_pages():
        kept = np.ones(3 << 20)
    assert sum(end - start for start, end in asked) >= kept.nbytes - 2 * HUGE_PAGE


def test_only_new_whole_large_ranges_are_chosen() -> None:
    mb = 1 << 20
    before = [(10 * mb, 20 * mb), (40 * mb, 41 * mb)]
    after = [(1 * mb, 21 * mb), (30 * mb, 64 * mb + 5), (70 * mb, 73 * mb)]
    # 1-10 is new (from 2 on whole pages), 20-21 too small; 30-40 and 42-64 are; 70-73 too small.
    assert huge_pages._new(before, after) == [
        (2 * mb, 10 * mb),
        (30 * mb, 40 * mb),
        (42 * mb, 64 * mb),
    ]
    assert huge_pages._new(after, after) == []


def test_switched_off_or_unknown_is_respected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    switch = tmp_path / "enabled"
    monkeypatch.setattr(huge_pages, "_SWITCH", switch)
    assert not available()
    switch.write_text("always madvise [never]\n")
    assert not available()
    switch.write_text("always [madvise] never\n")
    assert available() == huge_pages.sys.platform.startswith("linux")


def test_answers_are_the_same_with_and_without(tiny_bundle) -> None:
    text = "¡Esto es una vergüenza!"
    answers = []
    for wanted in (True, False):
        with EmotionRecognizer.open(tiny_bundle(), huge_pages=wanted) as recognizer:
            answers.append(recognizer.recognize(text).scores)
            assert recognizer.describe()["huge_page_bytes"] >= 0
    assert answers[0] == answers[1]
