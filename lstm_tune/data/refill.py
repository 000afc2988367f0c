"""Fill what was missing at the start of a series again, from rows up to a cutoff alone.

A series that begins with missing values is filled there from its early rows. Where a forecast from a cutoff is made,
rows after it may not decide what that is, however early the cutoff.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from lstm_tune.data.filling import fill_forward, to_float32, values_before
from lstm_tune.data.series import SeriesSet


def head_refilled(data: SeriesSet, ends: Sequence[int], chosen: Sequence[int]) -> SeriesSet:
    """Return the rows of some series up to a cutoff, as if no later row had been read.

    Args:
        data: all rows, read by a saved model.
        ends: (S,) the absolute row after the cutoff of each series.
        chosen: numbers of the series that are wanted.
    """
    seen = data.head(ends).only(chosen)
    if not data.starts:
        return seen
    values, past, future = seen.values.clone(), seen.past.clone(), seen.future.clone()
    rows = list(itertools.pairwise(seen.offsets))
    channels, n_past = seen.n_channels, len(seen.past_names)
    origins = [*seen.origin, *(seen.covariate_origin or (0.0,) * (n_past + len(seen.future_names)))]
    for k, column in data.starts:
        given = np.concatenate([column[data.offsets[s] : ends[s]] for s in chosen])
        known = np.isfinite(given)
        before = values_before(given, known, seen.offsets, rows) or [origins[k]] * seen.n_series
        filled = np.empty(len(given), dtype=np.float32)
        name = (*seen.targets, *seen.past_names, *seen.future_names)[k]
        to_float32(fill_forward(given, known, seen.offsets, before), name, filled, origins[k])
        place = torch.from_numpy(filled)
        if k < channels:
            values[k] = place
        elif k < channels + n_past:
            past[:, k - channels] = place
        else:
            future[:, k - channels - n_past] = place
    return replace(seen, values=values, past=past, future=future)
