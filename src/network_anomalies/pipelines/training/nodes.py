"""Nodes that split the silver of a window of days in time, and fit a model to the earlier part."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import groupby
from operator import attrgetter

import numpy as np

from network_anomalies.detection import (
    History,
    Model,
    Summary,
    fit,
    merge_histories,
    merge_summaries,
    remember,
    score,
    score_pieces,
    summarise,
    summarise_pieces,
    to_bytes,
    unpack_summary,
)
from network_anomalies.detection.scoring.fitting import KEPT_EVENTS
from network_anomalies.detection.scoring.storage import feature_spec_sha256
from network_anomalies.errors import ContractError
from network_anomalies.parameters import TrainingParameters, WorkersParameters
from network_anomalies.records.receipt import LakeObject
from network_anomalies.records.silver_day import SilverDay, StoredEvents, join_slices
from network_anomalies.records.training import (
    TrainedSlice,
    TrainingDay,
    TrainingReceipt,
    TrainingSlice,
    TrainingSplit,
    name_model,
)
from network_anomalies.records.transformation import TransformationReceipt
from network_anomalies.runs.inputs import list_training_facts
from network_anomalies.work.calls import reduce_calls

QUANTILES = 20
DRIFT_ROWS = 200_000


def split_window(
    history_slices: list[SilverDay],
    training: TrainingParameters,
    logical_date: date,
    after_transformation: TransformationReceipt,
) -> TrainingSplit:
    """Split silver in time: the model is trained on the days before the date and tested on the date.

    Of the days before, the latest slices up to ``row_cap`` events are taken. Without days before, the model is trained
    on the first hours of the date. ``history_slices`` includes the date, whose silver is made first:
    ``after_transformation`` is its receipt.

    Raises:
        ContractError: the date has no silver.
    """
    if history_slices[-1].logical_date != logical_date:
        raise ContractError(f"there is no silver of {logical_date} to test on: run the transformation of that day")
    slices = [day_slice for silver in history_slices for day_slice in _list_slices(silver)]
    earlier = [day_slice for day_slice in slices if day_slice.logical_date < logical_date]
    chosen = _take_latest(earlier, training.row_cap) if earlier else _take_first(slices, training)
    digests = {silver.logical_date: silver.inputs_sha256 for silver in history_slices}
    chosen_days = {day_slice.logical_date for day_slice in chosen}
    return TrainingSplit(
        slices=chosen,
        days=[silver for silver in history_slices if silver.logical_date in chosen_days],
        train_start=chosen[0].start,
        train_end=_start_of(logical_date) if earlier else chosen[-1].end,
        test_end=_start_of(logical_date) + timedelta(days=1),
        inputs=list_training_facts(digests, logical_date, training, feature_spec_sha256()),
    )


def train_model(
    training_split: TrainingSplit,
    training: TrainingParameters,
    source: str,
    logical_date: date,
    run_id: str,
    workers: WorkersParameters,
) -> tuple[Model, TrainingReceipt]:
    """Fit the model, and make the receipt with everything that it was made from.

    Dask workers remember a day each, and one of them fits the model: the number of events that it reads has a limit.
    """
    slices = training_split.slices
    histories = [partial(_remember_day, silver, training_split) for silver in training_split.days]
    events = sum(day_slice.record_count for day_slice in slices)
    fit_model = partial(_fit_model, slices=_list_pieces(slices), keep=events <= KEPT_EVENTS)
    model, reference_scores = reduce_calls(histories, fit_model, workers)
    data = to_bytes(model)
    receipt = TrainingReceipt(
        run_id=run_id,
        source=source,
        logical_date=logical_date,
        inputs=training_split.inputs,
        outputs=[name_model(data)],
        size_bytes=len(data),
        train_start=training_split.train_start,
        train_end=training_split.train_end,
        test_end=training_split.test_end,
        record_count=events,
        input_objects=[_describe_day(silver, training_split) for silver in training_split.days],
        parameters=training.model_dump(),
        reference_scores=reference_scores,
        feature_spec_sha256=feature_spec_sha256(),
    )
    return model, receipt


def _fit_model(
    histories: Iterable[History], slices: Sequence[Sequence[StoredEvents]], keep: bool
) -> tuple[Model, list[float]]:
    """Return a model of slices, each given by its pieces, and quantiles of its scores of the latest ones."""
    model = fit(slices, merge_histories(histories), keep=keep)
    return model, _sketch_scores(slices, model)


def _list_pieces(slices: Sequence[TrainingSlice]) -> list[Sequence[StoredEvents]]:
    """Return the pieces of each slice; slices with few events are joined."""
    named = {f"{each.logical_date} {each.hour}": each for each in slices}
    events = {name: each.record_count for name, each in named.items()}
    return [each.find_pieces() for each in join_slices({name: named[name].silver for name in named}, events).values()]


def _list_slices(silver: SilverDay) -> list[TrainingSlice]:
    objects = [item for item in silver.objects if item.kind == "slice"]
    return [
        TrainingSlice(
            logical_date=silver.logical_date,
            hour=hour,
            start=_start_of(silver.logical_date) + timedelta(hours=int(hour)),
            hours=pieces[0].hours,
            record_count=sum(item.record_count for item in pieces),
            silver=silver.slices[hour],
        )
        for hour, pieces in ((hour, list(items)) for hour, items in groupby(objects, key=attrgetter("hour")))
    ]


def _take_latest(slices: list[TrainingSlice], row_cap: int) -> list[TrainingSlice]:
    rows = np.cumsum([day_slice.record_count for day_slice in slices[::-1]])
    kept = max(int(np.searchsorted(rows, row_cap, side="right")), 1)
    return slices[-kept:]


def _take_first(slices: list[TrainingSlice], training: TrainingParameters) -> list[TrainingSlice]:
    """Take the first slices of a day: at least one, and not all if there are two or more."""
    rows = np.cumsum([day_slice.record_count for day_slice in slices])
    kept = int(np.searchsorted(rows, training.train_share * rows[-1])) + 1
    return slices[: max(min(kept, len(slices) - 1), 1)]


def _remember_day(silver: SilverDay, training_split: TrainingSplit) -> History:
    """Return a day's history: from its stored summary if the model is trained on all slices, else from those slices."""
    chosen = training_split.list_slices(silver.logical_date)
    if len(chosen) == len(silver.slices):
        return remember(unpack_summary(silver.read_summary()))
    return remember(merge_summaries(_summarise(day_slice.silver.find_pieces()) for day_slice in chosen))


def _summarise(pieces: Sequence[StoredEvents]) -> Summary:
    return summarise_pieces(pieces) if len(pieces) > 1 else summarise(pieces[0]())


def _describe_day(silver: SilverDay, training_split: TrainingSplit) -> TrainingDay:
    """Return the silver and RAW objects of a day that the model is trained on, with their digests."""
    hours = {day_slice.hour for day_slice in training_split.list_slices(silver.logical_date)}
    trained = [item for item in silver.objects if item.kind == "slice" and item.hour in hours]
    return TrainingDay(
        logical_date=silver.logical_date,
        revision=silver.revision,
        transformation_run_id=silver.run_id,
        silver=tuple(TrainedSlice(hour=item.hour, uri=item.uri, sha256=item.sha256) for item in trained),
        raw=tuple(LakeObject(uri=item.uri, sha256=item.sha256) for item in silver.raw_objects),
    )


def _sketch_scores(slices: Sequence[Sequence[StoredEvents]], model: Model) -> list[float]:
    """Return quantiles of the scores of the latest training slices; drift of later scores is measured against them."""
    scores: list[np.ndarray] = []
    flows: list[np.ndarray] = []
    for pieces in slices[::-1]:
        if len(pieces) == 1:
            scores.append(score(pieces[0](), model)["score"].to_numpy())
            flows.append(np.ones(len(scores[-1]), dtype=np.int64))
        else:
            for arrays, values in zip((scores, flows), score_pieces(pieces, model), strict=True):
                arrays.append(values)
        if sum(int(counts.sum()) for counts in flows) >= DRIFT_ROWS:
            break
    return [float(value) for value in _find_quantiles(np.concatenate(scores), np.concatenate(flows))]


def _find_quantiles(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return quantiles of values that occur ``counts`` times each, at equal steps from 0 to 1, as numpy does."""
    order = np.argsort(values)
    ordered, last = values[order], np.cumsum(counts[order])
    at = np.linspace(0, 1, QUANTILES + 1) * (last[-1] - 1)
    below, above = (ordered[np.searchsorted(last, place(at), side="right")] for place in (np.floor, np.ceil))
    return np.asarray(below + (above - below) * (at - np.floor(at)))


def _start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
