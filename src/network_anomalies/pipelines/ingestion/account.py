"""Nodes that account for a batch: every line is counted, and a batch that is good enough is committed."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date

import pandas as pd

from network_anomalies.errors import ContractError
from network_anomalies.events.contract import CONTRACT_VERSION
from network_anomalies.parameters import GateParameters
from network_anomalies.records.batch import (
    FATES,
    UNPARSABLE_RULE,
    Batch,
    PartReport,
    QualityReport,
    SourceFile,
    SourceReport,
    add_counts,
)

logger = logging.getLogger(__name__)

NAMED_FILES = 3


def summarise_quality(
    part_reports: Sequence[PartReport], source_report: SourceReport, source: str, logical_date: date, run_id: str
) -> QualityReport:
    """Add up what became of every line of the batch.

    Raises:
        ContractError: the fates do not add up to the lines that came in.
    """
    in_parts, left_out = add_counts(report.counts for report in part_reports), source_report.left_out
    counts = add_counts([in_parts, left_out]) if left_out else in_parts
    lines_in = left_out.lines_in if left_out else in_parts.lines_in
    if lines_in != sum(getattr(counts, fate) for fate in FATES):
        raise ContractError(
            f"{lines_in} lines came in and {asdict(counts)} went out: run again when the files are still"
        )
    rules: Counter[str] = Counter()
    for report in part_reports:
        rules.update(report.rules)
    flows = counts.rejected + counts.accepted + counts.duplicates_dropped
    broken = _estimate_broken(source_report.files, counts.unparsable)
    judged = flows + broken
    return QualityReport(
        run_id=run_id,
        source=source,
        logical_date=logical_date,
        contract_version=CONTRACT_VERSION,
        counts=replace(counts, lines_in=lines_in),
        rules=dict(rules.most_common()),
        rejected_share=(counts.rejected + broken) / judged if judged else 0.0,
        truncated_files=[file.path for file in source_report.files if file.truncated],
        imputed=source_report.imputed,
        other_days={str(day): count for day, count in sorted(source_report.other_days.items())},
    )


def _estimate_broken(files: Sequence[SourceFile], unparsable: int) -> float:
    """Return how many of the unparsable lines are of the batch's day: in each file the share that its flows have.

    Unparsable lines have no time. Without this estimate, one of them would be a fifth of a day that has four flows in
    a file, though the file holds thousands of other days.
    """
    found = sum(file.unparsable for file in files)
    of_day = sum(file.unparsable * file.share for file in files)
    return unparsable * of_day / found if found else unparsable


def preview_batch(part_reports: Sequence[PartReport], quality_summary: QualityReport) -> None:
    """Log the batch's first events and the table of what became of its lines."""
    for report in part_reports[:1]:
        if report.head is not None:
            logger.info("First events of part 1:\n%s", report.head.to_string(index=False))
    rules = {f"rule {rule}": count for rule, count in quality_summary.rules.items()}
    rows = pd.Series(asdict(quality_summary.counts) | rules, dtype="int64")
    logger.info("What became of the lines:\n%s", rows.to_string())
    for path in quality_summary.truncated_files:
        logger.warning("%s ends in the middle of a line: that line is counted as unparsable", path)


def check_quality(
    part_reports: Sequence[PartReport], quality_summary: QualityReport, gate: GateParameters
) -> dict[str, object]:
    """Return the quality report, as JSON stores it, of a batch that may be committed.

    A refused batch leaves the former report in place.

    Raises:
        ContractError: no event is left, or more are rejected than ``max_rejected_share`` allows.
    """
    counts, name = quality_summary.counts, f"{quality_summary.source} on {quality_summary.logical_date}"
    if quality_summary.rejected_share > gate.max_rejected_share:
        raise ContractError(
            f"{quality_summary.rejected_share:.1%} of the flows of {name} break the contract "
            f"({_list_rules(quality_summary)}), gate.max_rejected_share allows {gate.max_rejected_share:.1%}: "
            f"see {_list_quarantine(part_reports)} in the quarantine bucket, mend the source or raise the share"
        )
    if not counts.accepted:
        rejected = f", rejected by {rules}" if (rules := _list_rules(quality_summary)) else ""
        raise ContractError(
            f"no events of {name} among {counts.lines_in} lines ({counts.early} early, {counts.late} late{rejected}): "
            "check logical_date and what the source delivers"
        )
    return asdict(quality_summary) | {"logical_date": str(quality_summary.logical_date)}


def assemble_batch(
    part_reports: Sequence[PartReport],
    quality_summary: QualityReport,
    source_report: SourceReport,
    after_quality_report: object,
) -> Batch:
    """Make what the registry commits.

    Args:
        part_reports: what became of each part.
        quality_summary: what became of every line.
        source_report: what the batch is made of.
        after_quality_report: only for the order: the report is stored before the commit, which names its sha256.
    """
    return Batch(
        run_id=quality_summary.run_id,
        source=quality_summary.source,
        logical_date=quality_summary.logical_date,
        contract_version=quality_summary.contract_version,
        counts=quality_summary.counts,
        origin=source_report,
        objects=[report.object for report in part_reports if report.object],
        rejects=[report.rejects for report in part_reports if report.rejects],
    )


def _list_quarantine(part_reports: Sequence[PartReport]) -> str:
    names = [report.rejects.file_name for report in part_reports if report.rejects]
    return ", ".join(names[:NAMED_FILES]) + (", ..." if len(names) > NAMED_FILES else "") or "nothing"


def _list_rules(quality: QualityReport) -> str:
    counts = {UNPARSABLE_RULE: quality.counts.unparsable, **quality.rules}
    return ", ".join(f"{rule} {count}" for rule, count in counts.items() if count)
