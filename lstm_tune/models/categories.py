"""Covariates as the network sees them: numbers as they are, the code of a category as a vector that is learned.

Code 0 is the unknown: in training a category is replaced by it once in twenty windows, so that a word that comes later
meets a vector that was trained.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lstm_tune.models.cells import Dropout
from lstm_tune.models.preprocessing import Shape

_DROPPED = 0.05  # share of the windows in which a category is unknown in training
_WIDEST = 8


def category_width(size: int) -> int:
    """Return how many numbers a category becomes, given the number of codes, 0 included."""
    return min(_WIDEST, size // 2 + 1)


def covariate_widths(shape: Shape) -> tuple[int, int]:
    """Return how many numbers of each row the network is given of past and of future covariates."""
    widths = [category_width(size) if size else 1 for size in shape.categories]
    if not widths:
        return shape.past, shape.future
    return sum(widths[: shape.past]), sum(widths[shape.past :])


class CategoryDropout(Dropout):
    """In training, replaces the code of a category by 0 in a part of the windows."""

    def forward(self, x: Tensor) -> Tensor:
        """Map codes (B, T) to codes."""
        if not self.training:
            return x
        keep = torch.empty((len(x), 1), device=x.device).bernoulli_(1 - self.p, generator=self.generator)
        return x * keep.long()


class CategoryEmbedding(nn.Module):
    """Turns rows of covariates into numbers alone.

    Args:
        sizes: (K,) codes of each covariate, 0 included; 0: it is a number.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self._numbers = [i for i, size in enumerate(sizes) if not size]
        self._coded = [i for i, size in enumerate(sizes) if size]
        self.tables = nn.ModuleList(nn.Embedding(size, category_width(size)) for size in sizes if size)
        self.dropout = CategoryDropout(_DROPPED)

    def forward(self, rows: Tensor) -> Tensor:
        """Map covariates (B, T, K) to numbers (B, T, W): those of the categories follow the others."""
        codes = [table(self.dropout(rows[:, :, i].long())) for i, table in zip(self._coded, self.tables, strict=True)]
        return torch.cat([rows[:, :, self._numbers], *codes], dim=2)


def embedding_of(sizes: Sequence[int]) -> CategoryEmbedding | None:
    """Return what embeds the categories of some covariates; None: they are numbers alone."""
    return CategoryEmbedding(sizes) if any(sizes) else None
