import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from emo_runtime import EmotionRecognizer
from emo_runtime.ort import huge_pages
from emo_runtime.ort.huge_pages import HUGE_PAGE, available, in_huge_pages, resident_huge_pages

needs_huge_pages = pytest.mark.skipif(
    not available(), reason="huge pages are switched off, or this is not Linux"
)


def fresh(size: int) -> np.ndarray:
    """Zeros straight from the system, no page of them there yet; uint8 [size].

    (``malloc`` may give memory that an earlier test has used.)
    """
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return np.frombuffer(mmap.mmap(-1, size, flags=private), np.uint8)


@needs_huge_pages
def test_memory_taken_inside_the_block_ends_in_huge_pages_unchanged() -> None:
    before = resident_huge_pages()
    with in_huge_pages():
        values = fresh(24 << 20).view(np.float64)
        values[:] = np.arange(3 << 20)
    if resident_huge_pages() <= before:
        pytest.skip("the kernel gives no huge page (older than 6.1, or memory too fragmented)")
    assert (values == np.arange(3 << 20)).all()


@needs_huge_pages
def test_holes_are_not_filled() -> None:
    values = fresh(8 << 20)
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
        left_alone = fresh(24 << 20)
        left_alone[:] = 1
    assert not asked
    with in_huge_pages():
        joined = fresh(24 << 20)
        joined[:] = 1
    first = joined.ctypes.data
    overlaps = [min(b, first + joined.nbytes) - max(a, first) for a, b in asked]
    assert sum(max(0, size) for size in overlaps) >= joined.nbytes - 2 * HUGE_PAGE


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
    assert available() == sys.platform.startswith("linux")


@needs_huge_pages
@pytest.mark.parametrize("content", [None, b"", b"\x00" * 12])
def test_a_system_that_hides_its_pages_only_costs_the_speed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "pagemap").write_bytes(content)
    monkeypatch.setattr(huge_pages, "available", lambda: True)
    monkeypatch.setattr(huge_pages, "_PAGES", tmp_path / "pagemap")
    monkeypatch.setattr(huge_pages, "_collapse", lambda *_: pytest.fail("nothing is known of it"))
    with in_huge_pages():
        fresh(24 << 20)[:] = 1
    monkeypatch.setattr(huge_pages, "_MAPS", tmp_path / "maps")
    with in_huge_pages():
        fresh(24 << 20)[:] = 1


def test_answers_are_the_same_with_and_without(tiny_bundle) -> None:
    text = "¡Esto es una vergüenza!"
    answers = []
    for wanted in (True, False):
        with EmotionRecognizer.open(tiny_bundle(), huge_pages=wanted) as recognizer:
            answers.append(recognizer.recognize(text).scores)
            assert recognizer.describe()["huge_page_bytes"] >= 0
    assert answers[0] == answers[1]
