"""The daily report: one HTML page that needs nothing else."""

from html import escape

import numpy as np
import pandas as pd

from network_anomalies.records.champion import Champion
from network_anomalies.records.transformation import TransformationReceipt

STYLE = """
body {font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222}
table {border-collapse: collapse; width: 100%} th, td {text-align: left; padding: .3rem .6rem; vertical-align: top}
tr {border-bottom: 1px solid #ddd} .critical, .high {color: #b00020; font-weight: 600} .bars {height: 90px}
"""
BAR_WIDTH, BARS_HEIGHT, HOURS = 20, 80, 24


def render_report(alerts: pd.DataFrame, champion: Champion, silver: TransformationReceipt, budget: int) -> str:
    """Return the page.

    Args:
        alerts: the day's rows of ``alerts``.
        champion: the champion for the day.
        silver: the receipt of the day's silver.
        budget: how many alerts a day may have.
    """
    raised = alerts[alerts["suppressed_by"].isna()]
    title = f"{silver.source} on {silver.logical_date}"
    facts = [
        f"{silver.record_count:,} flows, revision {silver.revision}, silver of run {silver.run_id}",
        f"champion version {champion.version} ({champion.model_sha256[:12]}): {champion.reason}",
        f"{len(raised)} alerts (at most {budget} a day), {len(alerts) - len(raised)} suppressed by the allowlist",
    ]
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style></head>',
            f"<body><h1>{escape(title)}</h1>",
            *(f"<p>{escape(fact)}</p>" for fact in facts),
            "<h2>Alerts by hour (UTC)</h2>",
            _draw_hours(raised),
            "<h2>Alerts</h2>",
            _list_alerts(raised),
            "<h2>Suppressed</h2>",
            _list_alerts(alerts.drop(index=raised.index)),
            "</body></html>",
            "",
        ]
    )


def _list_alerts(alerts: pd.DataFrame) -> str:
    if alerts.empty:
        return "<p>None.</p>"
    names = ["severity", "score", "kind", "technique", "entity", "peer", "first_seen", "last_seen", "flows", "sentence"]
    shown = alerts[names].assign(
        score=alerts["score"].round(1),
        **{name: alerts[name].map(lambda time: f"{time:%H:%M:%S}") for name in ("first_seen", "last_seen")},
    )
    page: str = shown.to_html(index=False, border=0, na_rep="", escape=True)
    return page


def _draw_hours(alerts: pd.DataFrame) -> str:
    counts = np.bincount([time.hour for time in alerts["first_seen"]], minlength=HOURS)
    scale = BARS_HEIGHT / max(int(counts.max()), 1)
    bars = "".join(
        f'<rect x="{hour * BAR_WIDTH}" y="{BARS_HEIGHT - count * scale:.0f}" width="{BAR_WIDTH - 3}" '
        f'height="{count * scale:.0f}" fill="#1f6feb"><title>{hour:02d} h: {count}</title></rect>'
        for hour, count in enumerate(counts.tolist())
    )
    return f'<svg class="bars" viewBox="0 0 {HOURS * BAR_WIDTH} {BARS_HEIGHT}" role="img">{bars}</svg>'
