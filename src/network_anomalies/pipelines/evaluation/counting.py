"""Scores of a slice by several models, counted: how many flows have them, and how many of these are attacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from network_anomalies.detection import DetectorLimits, Model, judge_slice, judge_talks
from network_anomalies.detection.judging_pieces import JudgedTalks
from network_anomalies.detection.scoring.groups import group_rows
from network_anomalies.detection.scoring.survey import JudgedPiece
from network_anomalies.generator.truth import find_keys
from network_anomalies.records.silver_day import Slice, StoredEvents


@dataclass(frozen=True)
class Judge:
    """A model that judges slices, and what it goes by, see ``detection.judge_slice``."""

    model: Model
    named: pd.DataFrame
    has_past: bool
    limits: DetectorLimits


@dataclass(frozen=True)
class KnownAttacks:
    """Flows of attacks, made to be looked up piece by piece.

    Attributes:
        sources: their distinct addresses.
        keys: their distinct event keys; an index is hashed once.
    """

    sources: np.ndarray
    keys: pd.Index

    @classmethod
    def of(cls, ground_truth: pd.DataFrame) -> Self:
        """Return the attacks of a ground truth."""
        attacks = ground_truth[ground_truth["attack"].astype("bool")]
        return cls(attacks["src_ip"].unique(), pd.Index(attacks["event_key"].astype("uint64")).unique())


@dataclass(frozen=True)
class CountedSlice:
    """Scores of the flows of a slice.

    Attributes:
        flows: as in ``FlowScores``.
        attack_keys: event keys of flows that belong to an attack.
        flagged: per model, what it flags in the slice.
    """

    flows: pd.DataFrame
    attack_keys: np.ndarray
    flagged: Mapping[str, pd.DataFrame]


def judge_counted(silver: Slice, judges: Mapping[str, Judge], attacks: KnownAttacks) -> CountedSlice:
    """Judge a slice by each of some models, and count the scores."""
    pieces = silver.find_pieces()
    return _judge_pieces(pieces, judges, attacks) if len(pieces) > 1 else _judge_whole(pieces[0], judges, attacks)


def find_attacks(events: pd.DataFrame, attacks: KnownAttacks) -> tuple[np.ndarray, np.ndarray]:
    """Return which events belong to an attack, and the keys of these. Only sources of attacks are looked at."""
    is_attack = events["src_ip"].isin(attacks.sources).to_numpy().copy()
    rows = np.flatnonzero(is_attack)
    keys = find_keys(events.iloc[rows])
    found = attacks.keys.get_indexer(keys) >= 0
    is_attack[rows[~found]] = False
    return is_attack, keys[found]


def _judge_whole(read: StoredEvents, judges: Mapping[str, Judge], attacks: KnownAttacks) -> CountedSlice:
    events = read()
    judged = {
        name: judge_slice(events, each.model, each.named, each.has_past, each.limits) for name, each in judges.items()
    }
    is_attack, keys = find_attacks(events, attacks)
    scores = {name: scored["score"].to_numpy() for name, (scored, _) in judged.items()}
    flows = _count({**scores, "attack": is_attack}, np.ones(len(events), dtype=np.int64))
    return CountedSlice(flows, keys, {name: flagged for name, (_, flagged) in judged.items()})


def _judge_pieces(pieces: Sequence[StoredEvents], judges: Mapping[str, Judge], attacks: KnownAttacks) -> CountedSlice:
    """Judge by conversation-hours; every model has them in the same order."""
    keys: list[np.ndarray] = []
    talks_of_attacks: list[np.ndarray] = []

    def see(judged: JudgedPiece, _: np.ndarray, talk: np.ndarray) -> None:
        is_attack, found = find_attacks(judged.events, attacks)
        keys.append(found)
        talks_of_attacks.append(talk[is_attack])

    judged: dict[str, JudgedTalks] = {}
    for name, each in judges.items():
        look = None if judged else see  # the first model tells
        judged[name] = judge_talks(pieces, each.model, each.named, each.has_past, each.limits, look)
    talks = next(iter(judged.values())).talks
    attacking = np.bincount(np.concatenate(talks_of_attacks), minlength=len(talks))
    counts = np.concatenate([talks["flows"].to_numpy() - attacking, attacking])
    columns = {name: np.tile(each.talks["score"].to_numpy(), 2) for name, each in judged.items()}
    columns["attack"] = np.repeat([False, True], len(talks))
    some = counts > 0
    flows = _count({name: values[some] for name, values in columns.items()}, counts[some])
    return CountedSlice(flows, np.concatenate(keys), {name: each.flagged for name, each in judged.items()})


def _count(columns: Mapping[str, np.ndarray], counts: np.ndarray) -> pd.DataFrame:
    """Return the distinct rows of some columns with the sum of their counts, ``flows``."""
    groups = group_rows(np.zeros(len(counts), dtype=np.int64), counts)
    for values in columns.values():
        groups = groups.refine(pd.factorize(values)[0])
    return pd.DataFrame({name: values[groups.first] for name, values in columns.items()}).assign(flows=groups.sizes)
