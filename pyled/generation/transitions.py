"""The score of each token of a result (transformers 5.23.0, generation/utils.py, `compute_transition_scores`)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import as_array
from ..errors import InputError, brief
from .contract import Scores
from .scores import log_softmax


def transition_scores(sequences: ArrayLike, scores: Any, beam_indices: ArrayLike | None, normalize: bool) -> Scores:
    """Return the score by which each generated token was chosen, and 0 behind the end of a hypothesis of beam search.

    sequences: (any, T) int, prompt included
    scores: per step (R, V) float
    beam_indices: (any, generated) int, the row of the scores that each token was chosen from, -1 behind the end; None
        where row r of the sequences is row r of the scores
    normalize: whether the scores become log-probabilities first
    returns: (any, generated) float

    Here are two steps, with two beams and three tokens. The first result ends with its second token, which beam 0 has
    chosen; the other ends with its first:

    >>> scores = np.float32([[[-3, -4, -5], [-1, -2, -9]], [[-6, -7, -8], [-7, -8, -9]]])
    >>> transition_scores([[2, 1, 0], [2, 0, 1]], scores, [[1, 0], [0, -1]], normalize=False)
    array([[-2., -6.],
           [-3.,  0.]], dtype=float32)

    Raises InputError for arrays that do not belong together.
    """
    table, ids = as_array(scores), as_array(sequences)
    if table.ndim != 3 or table.dtype.kind != "f" or table.size == 0:
        raise InputError(
            f"scores is {brief(scores)}: an array (R, V) for each step was expected, as generate returns them with "
            "output_scores=True and return_dict_in_generate=True"
        )
    steps, R, V = table.shape
    rows = np.repeat(np.arange(R)[:, None], steps, axis=1) if beam_indices is None else as_array(beam_indices)
    for name, array in (("sequences", ids), ("beam_indices", rows)):
        if array.ndim != 2 or array.dtype.kind not in "iu":
            raise InputError(f"{name} has shape {array.shape} and type {array.dtype}: (rows, tokens) int was expected")
    is_there = rows >= 0  # (any, generated)
    generated = int(is_there.sum(axis=1).max(initial=0))
    if len(ids) != len(rows) or generated > min(steps, ids.shape[1]) or rows.max(initial=-1) >= R:
        raise InputError(
            f"sequences {ids.shape}, {steps} scores {(R, V)} and beam_indices {rows.shape} are not of one generation: "
            "pass all that its output has, beam_indices, too, after beam search"
        )
    rows, is_there, ids = rows[:, :generated], is_there[:, :generated], ids[:, ids.shape[1] - generated :]
    if np.any(is_there & ((ids < 0) | (ids >= V))):
        raise InputError(
            f"sequences holds ids from {ids.min()} to {ids.max()}: the scores are of ids from 0 to {V - 1}"
        )
    if normalize:
        table = log_softmax(table.reshape(-1, V)).reshape(table.shape)
    chosen = table[np.arange(generated), np.where(is_there, rows, 0), np.where(is_there, ids, 0)]
    return np.where(is_there, chosen, 0).astype(table.dtype)
