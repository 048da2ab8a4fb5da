"""Scores of a slice in pieces: what its flows say is averaged by conversation-hour first, and looked up afterwards."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from network_anomalies.detection.scoring.model import Model, add_up, look_around, sum_facets
from network_anomalies.detection.scoring.pieces import Piece
from network_anomalies.detection.scoring.survey import JudgedPiece, Survey, judge_pieces, survey_pieces

See = Callable[[JudgedPiece, np.ndarray], None]
"""Takes a piece and the facets of its flows, an array (facets, rows)."""


def score_pieces(pieces: Sequence[Piece], model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores that ``model.score`` gives for all pieces together, and how many flows have each."""
    survey = survey_pieces(pieces, model.history, inside=False)
    scores = average_pieces(survey, model, inside=False)
    groups = survey.cells.conversation_hours
    return scores[groups.first], groups.sizes


def average_pieces(survey: Survey, model: Model, inside: bool, see: See | None = None) -> np.ndarray:
    """Return the final score of each cell of a surveyed slice, which its flows have in common.

    Args:
        survey: of the slice.
        model: that scores.
        inside: whether the model was fitted to these very events.
        see: is called with each piece.
    """
    talk = survey.cells.conversation_hours
    total = np.zeros(len(talk))
    for judged, facets in _compute_facets(survey, model, inside):
        if see:
            see(judged, facets)
        total += np.bincount(talk.codes[judged.cells], add_up(facets, model.parameters), len(talk))
    return look_around(survey.cells, (total / talk.sizes)[talk.codes])


def _compute_facets(survey: Survey, model: Model, inside: bool) -> Iterator[tuple[JudgedPiece, np.ndarray]]:
    """Yield each piece, and the mean surprise of each facet's features: of the cells, and of the flows themselves."""
    surprise = model.surprise_inside if inside else model.surprise
    of_cells, cell_members = sum_facets(survey.keys.levels, surprise)
    for judged in judge_pieces(survey, model.history):
        facets, members = sum_facets(judged.levels, surprise)
        for place in range(len(facets)):
            facets[place] += of_cells[place][judged.cells]
            facets[place] /= members[place] + cell_members[place]
        yield judged, facets
