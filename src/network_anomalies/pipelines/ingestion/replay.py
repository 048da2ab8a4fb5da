"""Nodes that put the quarantined rows of a day through today's gate again."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import pandas as pd
import pyarrow as pa

from network_anomalies.errors import ContractError
from network_anomalies.events.contract import COLUMNS, OPTIONAL_COLUMNS, list_rules
from network_anomalies.events.parts import find_duplicates, to_canonical_table
from network_anomalies.formats import FORMATS
from network_anomalies.formats.base import ParsedLines, load_header
from network_anomalies.formats.blocks import CUT_SHORT, TOO_LONG
from network_anomalies.formats.log_file import list_imputed
from network_anomalies.parameters import GateParameters, LogsParameters, ReplayParameters
from network_anomalies.pipelines.ingestion.gate import Judges, judge_events
from network_anomalies.records.batch import (
    UNPARSABLE_RULE,
    JudgedPart,
    LineCounts,
    SourceFile,
    SourceReport,
    add_counts,
)
from network_anomalies.runs.inputs import digest_log_choices

Parts = Mapping[str, Callable[[], pd.DataFrame]]
"""Numbers of parts to functions that read them."""
ABOUT = ("row", "rule", "reason", "part", "run_id")
"""Columns of quarantine that are about a row; the others hold what was received, as text."""


@dataclass(frozen=True)
class Replay:
    """How quarantined rows are judged again.

    Attributes:
        logical_date: the UTC day.
        rule: rows that broke another rule stay where they are; None puts all through.
        imputed: the columns whose values become 0 where none was received.
        drop_duplicates: whether exact duplicates are left out.
    """

    logical_date: date
    rule: str | None
    imputed: Sequence[str]
    drop_duplicates: bool


def plan_replay(
    current_parts: Parts,
    rejected_parts: Parts,
    reject_counts: Counter[str],
    replay: ReplayParameters,
    logs: LogsParameters,
    gate: GateParameters,
    logical_date: date,
) -> Judges:
    """Plan how the parts of the current revision are judged again, each with its quarantined rows.

    Args:
        current_parts: the numbers of the parts to functions that read their events.
        rejected_parts: the same for their quarantined rows.
        reject_counts: only for the order: there is something to replay.
        replay: which rows.
        logs: what becomes of missing values.
        gate: what becomes of duplicates.
        logical_date: the UTC day.

    Returns:
        Numbers of parts to functions that judge them.
    """
    how = Replay(logical_date, replay.rule, list_imputed(logs), gate.drop_duplicates)
    numbers = sorted({*current_parts, *rejected_parts})
    return {part: partial(judge_again, current_parts.get(part), rejected_parts.get(part), how) for part in numbers}


def count_rejects(rejected_parts: Parts, replay: ReplayParameters) -> Counter[str]:
    """Count the quarantined rows by the rule that they broke.

    Raises:
        ContractError: no row is in quarantine, or none that broke the rule to be replayed.
    """
    found: Counter[str] = Counter()
    for read in rejected_parts.values():
        found.update(read()["rule"].value_counts().to_dict())
    if not found:
        raise ContractError("nothing of that source and date is in quarantine: there is nothing to replay")
    if replay.rule is None or replay.rule in found:
        return found
    there = ", ".join(f"{name} {count}" for name, count in found.most_common())
    known = sorted([*list_rules(), UNPARSABLE_RULE])
    if replay.rule in known:
        raise ContractError(f"no row in quarantine broke the rule {replay.rule}: there are {there}")
    raise ContractError(f"there is no rule {replay.rule}: in quarantine are {there}; the rules are {', '.join(known)}")


def describe_replay(
    current_batch: pd.DataFrame,
    source_record: pd.DataFrame,
    batch_files: pd.DataFrame,
    reject_counts: Counter[str],
    replay: ReplayParameters,
    logs: LogsParameters,
    gate: GateParameters,
) -> SourceReport:
    """Make the source's report of a batch that is replayed: what it says about lines that no part holds still holds.

    Args:
        current_batch: the batch's row of ``ingestion_batches``.
        source_record: the source's row of ``sources``.
        batch_files: its rows of ``source_files``.
        reject_counts: the quarantined rows by rule; before version 2 of the contract unparsable lines were not kept.
        replay: which rows are replayed.
        logs: what becomes of missing values.
        gate: what becomes of duplicates.
    """
    (batch,), (source,) = current_batch.to_dict("records"), source_record.to_dict("records")
    kept = ("lines_in", "not_a_flow", "early", "late", "duplicates_dropped", "imputed")
    unparsable = batch["unparsable"] - reject_counts[UNPARSABLE_RULE]
    return SourceReport(
        kind=source["kind"],
        format=source["format"],
        params_sha256=_choose_digest(batch["params_sha256"], source["kind"], replay.rule, logs, gate),
        files=[SourceFile(**row) for row in batch_files.drop(columns="run_id").to_dict("records")],
        left_out=LineCounts(
            **{name: batch[name] for name in kept}, unparsable=unparsable, duplicates=batch["duplicates_dropped"]
        ),
    )


def judge_again(
    read_events: Callable[[], pd.DataFrame] | None, read_rejects: Callable[[], pd.DataFrame] | None, how: Replay
) -> JudgedPart:
    """Judge a part: its stored events, which must meet today's contract too, and its quarantined rows.

    Rejected rows keep what was received and the number of their row.
    """
    judged: list[JudgedPart | None] = []
    if read_events:
        judged.append(judge_events(read_events(), how.logical_date, drop_duplicates=False))
    if read_rejects:
        rejects = read_rejects()
        chosen = rejects["rule"].eq(how.rule) if how.rule else pd.Series(True, index=rejects.index)
        unparsable = rejects["rule"].eq(UNPARSABLE_RULE)
        judged.append(_keep_rejects(rejects[~chosen]))
        judged.append(_judge_rejects(rejects[chosen & ~unparsable].reset_index(drop=True), how))
        if (chosen & unparsable).any():
            judged += _judge_lines(rejects[chosen & unparsable], how)
    return _merge([part for part in judged if part], how.drop_duplicates)


def _judge_rejects(rejects: pd.DataFrame, how: Replay) -> JudgedPart | None:
    if rejects.empty:
        return None
    received = rejects[[name for name in rejects.columns if name in (*COLUMNS, *OPTIONAL_COLUMNS)]]
    filled = received.assign(**{name: received[name].fillna("0") for name in how.imputed})
    judged = judge_events(filled, how.logical_date, drop_duplicates=False)
    failed = judged.rejects
    places = failed["row"].to_numpy()
    imputed = int(received[list(how.imputed)].isna().drop(index=places).sum().sum())
    again = rejects.iloc[places].assign(rule=failed["rule"].array, reason=failed["reason"].array)
    return JudgedPart(judged.accepted, _to_rejects(again), replace(judged.counts, imputed=imputed))


def _judge_lines(lines: pd.DataFrame, how: Replay) -> Iterator[JudgedPart | None]:
    """Judge lines that could not be read, each with the format and the header that it had."""
    is_whole = lines["header"].notna() & ~lines["reason"].isin([CUT_SHORT, TOO_LONG])
    yield _keep_rejects(lines[~is_whole])
    for (name, header), group in lines[is_whole].groupby(["format", "header"], sort=False):
        block = ("\n".join(group["text"]) + "\n").encode()
        parsed = FORMATS[name].parse_lines(block, load_header(FORMATS[name], header))
        still = group.iloc[parsed.unparsable["line"].to_numpy() - 1]
        yield _keep_rejects(still.assign(reason=parsed.unparsable["reason"].to_pylist()))
        yield _judge_parsed(parsed, how)


def _judge_parsed(parsed: ParsedLines, how: Replay) -> JudgedPart:
    events = parsed.events.to_pandas()
    filled = events.fillna(dict.fromkeys(how.imputed, 0.0))
    judged = judge_events(filled, how.logical_date, drop_duplicates=False)
    imputed, others = int(events[list(how.imputed)].isna().sum().sum()), parsed.not_a_flow.total()
    lines = replace(judged.counts, lines_in=judged.counts.lines_in + others, not_a_flow=others, imputed=imputed)
    return replace(judged, counts=lines)


def _keep_rejects(rejects: pd.DataFrame) -> JudgedPart | None:
    if rejects.empty:
        return None
    unparsable = int(rejects["rule"].eq(UNPARSABLE_RULE).sum())
    counts = LineCounts(lines_in=len(rejects), rejected=len(rejects) - unparsable, unparsable=unparsable)
    return JudgedPart(pa.table({}), _to_rejects(rejects), counts)


def _to_rejects(rejects: pd.DataFrame) -> pd.DataFrame:
    """Return stored rejects in the form that the gate gives them."""
    received = [name for name in rejects.columns if name not in ABOUT]
    types = {name: "Int64" if name == "line" else "string" for name in received}
    return rejects[[*received, "row", "rule", "reason"]].astype(types)


def _merge(judged: list[JudgedPart], drop_duplicates: bool) -> JudgedPart:
    tables = [part.accepted for part in judged if part.accepted.num_columns]
    accepted = to_canonical_table(pa.concat_tables(tables, promote_options="default")) if tables else pa.table({})
    duplicates = find_duplicates(accepted)
    if drop_duplicates and duplicates.any():
        accepted = accepted.filter(pa.array(~duplicates))
    counts = replace(
        add_counts(part.counts for part in judged),
        accepted=accepted.num_rows,
        duplicates=int(duplicates.sum()),
        duplicates_dropped=int(duplicates.sum()) if drop_duplicates else 0,
    )
    rejects = pd.concat([part.rejects for part in judged]).sort_values("row", kind="stable", ignore_index=True)
    return JudgedPart(accepted, rejects, counts)


def _choose_digest(recorded: str, kind: str, rule: str | None, logs: LogsParameters, gate: GateParameters) -> str:
    """Return the digest of today's parameters if the batch is now what they make of the logs, else the batch's own.

    A replay applies one of them, ``logs.missing``.
    """
    rejecting = logs.model_copy(update={"missing": logs.missing.model_copy(update={"duration": "reject"})})
    was_rejecting = recorded == digest_log_choices(rejecting, gate)
    if kind == "logs" and was_rejecting and rule in (None, "duration_missing"):
        return digest_log_choices(logs, gate)
    return recorded
