"""Masks of SpecAugment: their widths, their places and what they put there."""

import numpy as np
import pytest

from emo_models.training.spec_augment import spec_augment

STATES = np.random.default_rng(0).standard_normal((60, 40)).astype(np.float16)


def masked_columns(values: np.ndarray) -> np.ndarray:
    return np.flatnonzero((values != STATES).all(axis=0))


@pytest.mark.parametrize("seed", range(8))
def test_masks_are_bands_of_the_mean(seed: int) -> None:
    found = spec_augment(STATES, 0.3, 0.25, np.random.default_rng(seed))
    rows = np.flatnonzero((found != STATES).mean(axis=1) > 0.9)
    columns = np.flatnonzero((found != STATES).mean(axis=0) > 0.9)
    assert len(rows) <= 18
    assert len(columns) <= 10
    for places in (rows, columns):
        assert (np.diff(places) == 1).all()
    outside = np.ones(STATES.shape, bool)
    outside[rows], outside[:, columns] = False, False
    np.testing.assert_array_equal(found[outside], STATES[outside])
    mean = STATES.astype(np.float64).mean(0)
    np.testing.assert_allclose(
        found[~outside], np.broadcast_to(mean, (60, 40))[~outside], atol=1e-3
    )


def test_widths_are_drawn_up_to_the_shares() -> None:
    rng = np.random.default_rng(1)
    found = [(spec_augment(STATES, 0.5, 0.0, rng) != STATES).all(1).sum() for _ in range(300)]
    assert max(found) == 30
    assert min(found) == 0


def test_without_shares_nothing_is_drawn() -> None:
    rng = np.random.default_rng(1)
    before = rng.bit_generator.state
    assert spec_augment(STATES, 0.0, 0.0, rng) is STATES
    assert rng.bit_generator.state == before
