"""Reasons: the value behind each strong facet, how rare it is, and what is normal."""

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.raising import match_findings, raise_scores
from network_anomalies.detection.limits import DEFAULT_LIMITS, DetectorLimits
from network_anomalies.detection.scoring.columns import Coded
from network_anomalies.detection.scoring.features import FACETS, FEATURES, to_value
from network_anomalies.detection.scoring.levels import compute_levels
from network_anomalies.detection.scoring.model import Model, combine, compute_facets, prepare

REASONS = 3
_LEAST_SURPRISE = np.log(20)  # rarer than 1 in 20 is worth a word
_NORMAL = (0.025, 0.975)


def explain_events(
    events: pd.DataFrame, model: Model, named: pd.DataFrame, limits: DetectorLimits = DEFAULT_LIMITS
) -> pd.DataFrame:
    """Return the reasons behind the scores of whole hours of events that are new to the model.

    Args:
        events: the events.
        model: that scores them.
        named: findings of the named detectors on these hours.
        limits: that they were made by.

    Returns:
        Frame on the events' index: ``score`` (higher = more anomalous), ``finding`` (the sentence of the finding that
        raised it, or ""), ``reason_1`` to ``reason_3`` (such as
        "719 flows between the two in the hour, 1 in 3,400; normal is up to 52"; "" where nothing is rare) and
        ``sentence``.
    """
    coded, context = prepare(events)
    facets = compute_facets(coded, context, model, inside=False)
    reasons = _explain_facets(compute_levels(coded, context, model.history, inside=False), facets, model)
    scores = pd.DataFrame({"score": combine(coded, facets, model.parameters)}, index=events.index)
    found = np.append(named["sentence"].to_numpy(dtype=object), "")[match_findings(coded, named, model.history)]
    columns = {"score": raise_scores(events, scores, named, model.history, limits)["score"], "finding": found}
    columns |= {f"reason_{place}": texts for place, texts in enumerate(reasons, start=1)}
    return pd.DataFrame(columns, index=events.index).assign(sentence=_to_sentences(coded, reasons, found))


def say_rarity(surprise: float, rows: int) -> str:
    """Return a surprise as "1 in N", never rarer than the reference can tell."""
    one_in = np.exp(surprise)
    return f"rarer than 1 in {rows:,}" if one_in >= rows else f"about 1 in {one_in:,.0f}"


def _explain_facets(levels: dict[str, np.ndarray], facets: np.ndarray, model: Model) -> list[np.ndarray]:
    """Return ``REASONS`` arrays of texts: for each event's strongest facets, their most surprising feature."""
    names = list(levels)
    # An unfamiliar source has no familiar protocol either: one reason.
    source, protocol = FACETS.index("source"), FACETS.index("protocol")
    facets = facets.copy()
    facets[protocol, facets[source] >= _LEAST_SURPRISE] = 0.0
    surprise = np.array([np.append(model.surprise[name], 0.0)[levels[name]] for name in names])
    level = np.array([levels[name] for name in names])
    order = np.argsort(-facets, axis=0, kind="stable")[:REASONS]
    member = np.array([FACETS.index(FEATURES[name].facet) for name in names])
    texts = []
    for strongest in order:
        member_surprise = np.where(member[:, None] == strongest, surprise, -1.0)
        feature = member_surprise.argmax(axis=0)
        rows = np.arange(member_surprise.shape[1])
        # Many events share a feature and a level, hence a text: each is written once.
        keys = pd.MultiIndex.from_arrays([feature, level[feature, rows]])
        codes, distinct = pd.factorize(keys)
        words = np.array([_say(names[int(f)], int(at), model) for f, at in distinct], dtype=object)
        texts.append(words[codes] if len(codes) else np.zeros(0, dtype=object))
    return texts


def _say(name: str, level: int, model: Model) -> str:
    surprise = float(model.surprise[name][level])
    if surprise < _LEAST_SURPRISE:
        return ""
    value = FEATURES[name].words.format(_say_number(to_value(name, level)))
    return f"{value}, {say_rarity(surprise, model.rows)}; normal is {_say_normal(name, model)}"


def _say_normal(name: str, model: Model) -> str:
    """Return the range of all but the outer twentieth of the conversation-hours of the reference."""
    mass = np.cumsum(model.masses[name][1])
    low, high = (to_value(name, int(np.searchsorted(mass, share * mass[-1]))) for share in _NORMAL)
    side = FEATURES[name].side
    if side == "high":
        return f"up to {_say_number(high)}"
    if side == "low":
        return f"{_say_number(low)} or more"
    return f"{_say_number(low)} to {_say_number(high)}"


def _say_number(value: float) -> str:
    return f"{value:.2g}" if abs(value) < 1 and value else f"{value:,.0f}"


def _to_sentences(coded: Coded, reasons: list[np.ndarray], found: np.ndarray) -> np.ndarray:
    """Return one sentence per event, and a second one where it belongs to a finding."""
    pairs = pd.Series(coded.sources.to_numpy()[coded.source]) + " to "
    pairs = pairs + pd.Series(coded.destinations.to_numpy()[coded.destination])
    first, *others = (pd.Series(texts, dtype="str") for texts in reasons)
    sentence = pairs + ": " + first.where(first != "", "nothing unusual by itself")
    for other in others:
        sentence = sentence + ("; also " + other).where(other != "", "")
    belongs = pd.Series(found, dtype="str")
    return np.asarray(sentence + "." + (" Part of a finding: " + belongs + ".").where(belongs != "", ""))
