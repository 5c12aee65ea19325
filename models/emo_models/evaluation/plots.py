"""Plots: confusion matrices in the style of the paper's Figures 1 and 2, and training curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from emo_models.atomic import atomic_write


def confusion_png(
    path: Path, matrix: Sequence[Sequence[int]], labels: Sequence[str], title: str
) -> None:
    """Plot confusion counts as a heat map: rows are true classes, columns predicted classes."""
    counts = np.asarray(matrix)
    figure = Figure(figsize=(6, 5.2), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(counts, cmap="Blues")
    figure.colorbar(image, ax=axes)
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=45, ha="right")
    axes.set_yticks(places, labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    middle = counts.max() / 2
    for true in places:
        for predicted in places:
            count = int(counts[true, predicted])
            colour = "white" if count > middle else "black"
            axes.text(predicted, true, str(count), ha="center", va="center", color=colour)
    atomic_write(path, lambda temporary: figure.savefig(temporary, format="png", dpi=120))


def curve_png(path: Path, losses: Sequence[float], scores: Sequence[float]) -> None:
    """Plot training loss and validation macro-F1 over epochs."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    epochs = range(1, len(losses) + 1)
    axes.plot(epochs, losses, color="tab:blue", label="training loss")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    right = axes.twinx()
    right.plot(epochs, scores, color="tab:orange", label="validation macro-F1")
    right.set_ylabel("macro-F1")
    right.set_ylim(0, 1)
    figure.legend(loc="outside upper center", ncols=2)
    atomic_write(path, lambda temporary: figure.savefig(temporary, format="png", dpi=120))
