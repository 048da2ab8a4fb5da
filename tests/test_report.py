"""The daily report and the list of days: what they show, that they agree, and that nothing in them can do harm."""

import html.parser
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import DARK, LIGHT, measure
from conftest import DAY, DAY_BEFORE, SMALL_DAY
from hypothesis import given
from hypothesis import strategies as st
from test_scoring import TODAY, make_alerts

from network_anomalies.errors import show_hidden
from network_anomalies.orchestration.artifacts import format_report
from network_anomalies.orchestration.tasks import PipelineOutcome
from network_anomalies.parameters import EvaluationParameters
from network_anomalies.pipelines.scoring.charts import draw_bars, draw_sparkline
from network_anomalies.pipelines.scoring.comparison import expect_histograms, find_figures, measure_histograms
from network_anomalies.pipelines.scoring.profile import merge_profiles, profile_flows
from network_anomalies.pipelines.scoring.report import MOST_ALERTS, DayReport, render_index, render_report
from network_anomalies.records.alert_counts import count_alerts, count_hours
from network_anomalies.records.alerts import KindShares
from network_anomalies.records.champion import Champion
from network_anomalies.records.day_profile import DURATION_BINS, HOURS, PROTOCOLS, SCORE_BINS, SIZE_BINS, DayProfile
from network_anomalies.records.day_report import Change, Conversation, DayChanges, EntityActivity, HistogramDrift
from network_anomalies.records.transformation import TransformationReceipt

EVALUATION = EvaluationParameters(drift_psi=0.25, drift_rows=100)
MOST_BYTES = 2_000_000
FATES = ("not_a_flow", "unparsable", "early", "late", "rejected", "duplicates_dropped")
MOMENT = pd.Timestamp(f"{DAY}T10:00Z")
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\u202e\u2066\x1b[31m\x00\n"
hostile = st.text(st.characters(codec="utf-8") | st.sampled_from("<>\"'&\u202e\u200f\x1b\x07"), min_size=1, max_size=40)


def make_silver(**changes):
    about = {"source": "lab", "logical_date": TODAY, "run_id": "t1", "inputs": {}}
    contents = {"record_count": 9, "revision": 1, "size_bytes": 1, "feature_spec_sha256": "0", "input_objects": []}
    return TransformationReceipt(**about | contents | changes)


def make_champion(**changes):
    times = dict.fromkeys(("train_start", "train_end"), datetime(2024, 4, 18, tzinfo=UTC))
    texts = {"source": "lab", "model_uri": "m", "reason": "first", "promoted_by": "registration"}
    row = {"version": 1, "model_sha256": "a" * 64, "input_objects": [], "champion_from": TODAY, "read": bytes}
    return Champion(**row | times | texts | {"run_id": "r1", "promotion_reason": "first"} | changes)


def make_profile(day=TODAY, flows=1000, **changes):
    histograms = {
        "hours": (flows, *[0] * (HOURS - 1)),
        "sizes": (0, flows, *[0] * (SIZE_BINS - 2)),
        "durations": (flows, *[0] * (DURATION_BINS - 1)),
        "scores": (0, 0, flows, *[0] * (SCORE_BINS - 3)),
    }
    about = {"source": "lab", "logical_date": day, "flows": flows, "protocols": {"TCP": flows}}
    return DayProfile(**about | histograms | {"model_sha256": "a" * 64} | changes)


def make_quality(**counts):
    lines = {"lines_in": 1000, "accepted": 1000, **dict.fromkeys(FATES, 0)} | counts
    about = {"run_id": "r1", "contract_version": "1", "rules": {}, "rejected_share": 0.0}
    return {"counts": lines, **about, "truncated_files": [], "imputed": {}, "other_days": {}}


def make_incidents(**changes):
    row = {
        **{"incident_id": "0123456789ab", "source": "lab", "state": "open", "severity": "high", "score": 80.0},
        **{"first_seen": MOMENT, "last_seen": MOMENT, "first_day": TODAY, "last_day": TODAY, "alerts": 1},
        **{"entities": ["10.0.0.1"], "kinds": ["scan"], "sentence": "it scans"},
    }
    return pd.DataFrame([row | changes])


def make_changes(**changes):
    days = [(TODAY - timedelta(days=1), 3), (TODAY, 4)]
    row = {
        "changes": [Change("alerts raised", 4, 3.0, days)],
        "drift": [HistogramDrift("bytes", 0.01, "stable")],
        **{"expected": {}, "past_days": [], "figures": [("alerts", "4")], "measured_on": TODAY},
        "profile": make_profile(),
    }
    return DayChanges(**row | changes)


def make_activity(**changes):
    talk = Conversation("10.0.0.1", "10.0.0.2", "TCP", 3, 900, MOMENT, MOMENT)
    return EntityActivity(**{"hours": range(24), "conversations": [talk], "total": 1} | changes)


def make_report(**changes):
    row = {
        "alerts": make_alerts(alert_id="ab" * 6, facts=None),
        "incidents": make_incidents(),
        "activity": {"10.0.0.1": make_activity()},
        "changes": make_changes(),
        "verdicts": [KindShares("scan", 9, 1, 8, 0)],
        "quality": make_quality(),
        "champion": make_champion(),
        "silver": make_silver(),
    }
    return DayReport(**row | changes)


class Tags(html.parser.HTMLParser):
    """Collects the tags, attributes and texts of a page."""

    def __init__(self):
        super().__init__()
        self.seen, self.texts = [], []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.texts.append(data)


def read_tags(page):
    tags = Tags()
    tags.feed(page)
    return tags


def make_hostile(text):
    """Return a report in which every text of other people is ``text``."""
    names = ("kind", "entity", "peer", "sentence", "technique", "severity", "alert_id")
    quality = make_quality(rejected=5, lines_in=1005) | {"rules": {text: 5}, "run_id": text, "contract_version": text}
    quality |= {"truncated_files": [text], "imputed": {text: 3}, "other_days": {text: 4}}
    talk = Conversation(text, text, text, 3, 900, MOMENT, MOMENT)
    return make_report(
        alerts=make_alerts(**dict.fromkeys(names, text), facts=None),
        incidents=make_incidents(entities=[text], kinds=[text], sentence=text, state=text, severity=text),
        activity={text: make_activity(conversations=[talk])},
        changes=make_changes(figures=[(text, text)], profile=make_profile(protocols={text: 1000})),
        verdicts=[KindShares(text, 9, 1, 8, 0)],
        quality=quality,
        champion=make_champion(**dict.fromkeys(("model_sha256", "promotion_reason", "promoted_by", "model_uri"), text)),
        silver=make_silver(source=text, run_id=text),
    )


@given(hostile)
def test_no_text_from_data_becomes_markup_or_hides(text):
    page, plain = (render_report(make_hostile(value)) for value in (text, "plain"))
    found, expected = read_tags(page), read_tags(plain)
    assert [tag for tag, _ in found.seen] == [tag for tag, _ in expected.seen]
    assert [sorted(names) for _, names in found.seen] == [sorted(names) for _, names in expected.seen]
    assert all(letter.isprintable() or letter == "\n" for letter in page)
    days = render_index(make_days(3), text)
    assert [tag for tag, _ in read_tags(days).seen] == [
        tag for tag, _ in read_tags(render_index(make_days(3), "a")).seen
    ]


def test_a_hostile_text_can_be_read_in_full():
    page = "".join(read_tags(render_report(make_hostile(EVIL))).texts)
    assert page.count("<script>alert(1)</script>") > 10
    assert "<U+202E><U+2066><U+001B>[31m<U+0000><U+000A>" in page


@given(hostile)
def test_a_text_without_hidden_characters_is_shown_as_it_is(text):
    assert (show_hidden(text) == text) == text.isprintable()
    assert show_hidden(text).isprintable()


def test_the_report_needs_nothing_else_and_says_what_it_is():
    page = render_report(make_report())
    tags = read_tags(page).seen
    links = [names["href"] for _, names in tags if "href" in names]
    assert [link for link in links if not link.startswith("#")] == ["../index.html"]
    assert {link[1:] for link in links if link.startswith("#")} <= {names.get("id") for _, names in tags}
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in tags}
    assert not re.search(r"@import|url\(|https?:", page)
    named = [tag for tag, _ in tags]
    assert [named.count(tag) for tag in ("html", "main", "header", "nav", "footer", "h1")] == [1] * 6
    assert ("html", {"lang": "en"}) in tags
    assert [names["content"] for tag, names in tags if names.get("name") == "viewport"]
    assert all("scope" in names for tag, names in tags if tag == "th")
    pictures = [names for tag, names in tags if tag == "svg"]
    assert pictures and all(names.get("aria-label") or names.get("aria-hidden") for names in pictures)
    assert [names["class"] for tag, names in tags if tag == "article"] == ["card high"]


def find_palettes(page):
    """Return the colours of the page by name: light, dark and print."""
    return [
        dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6})", block)) for block in re.findall(r":root \{.*?\}", page, re.S)
    ]


def find_contrast(one, other):
    """Return the contrast of two colours by WCAG 2."""

    def measure_light(colour):
        digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    low, high = sorted(map(measure_light, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_every_colour_of_text_has_enough_contrast():
    assert round(find_contrast("#fff", "#000000")) == 21 and find_contrast("#777", "#fff") < 4.5
    palettes = find_palettes(render_report(make_report()))
    assert len(palettes) == 3
    for palette in palettes:
        for name in ("ink", "quiet", "bar", "critical", "high", "medium", "low", "good", "usual"):
            for ground in ("page", "card"):
                assert find_contrast(palette[name], palette[ground]) >= 4.5, (name, ground, palette)


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_the_pages_fit_a_phone(tmp_path, scheme):
    for page in (
        render_report(make_hostile("w" * 60)),
        render_report(make_report()),
        render_index(make_days(9), "lab"),
    ):
        width = "document.documentElement.scrollWidth"
        ground = "getComputedStyle(document.body).backgroundColor"
        found = measure(page, f"{width} + ' ' + {ground}", tmp_path, 390, scheme)
        assert found == ("390 rgb(246, 247, 249)" if scheme == LIGHT else "390 rgb(18, 21, 28)")


def test_a_page_that_is_too_wide_for_a_phone_is_noticed(tmp_path):
    wide = "<!doctype html><body><p style='width:700px'>wide</p></body>"
    assert int(measure(wide, "document.documentElement.scrollWidth", tmp_path, 390)) > 600


def test_a_day_without_alerts_says_so():
    none = make_alerts(alert_id="a", facts=None).iloc[:0]
    page = render_report(make_report(alerts=none, incidents=make_incidents().iloc[:0], activity={}, verdicts=[]))
    assert "None: the day has no alerts." in page and "<p>None.</p>" in page
    assert "no alerts that somebody could decide about" in page


def test_a_day_without_flows_has_a_report():
    empty = make_profile(flows=0, protocols={})
    page = render_report(make_report(changes=make_changes(profile=empty), quality=make_quality(lines_in=0, accepted=0)))
    assert "Flows by score: none" in page


def test_one_rule_that_fails_nearly_everything_is_shown_with_its_share():
    quality = make_quality(lines_in=100_000, accepted=1, rejected=99_999)
    quality |= {"rules": {"bytes_negative": 99_999}, "rejected_share": 0.99999}
    page = render_report(make_report(quality=quality))
    assert "bytes_negative" in page and page.count("99,999") >= 3 and "100.00% of the day" in page


def test_a_first_day_has_nothing_to_be_compared_with():
    first = make_profile()
    drift = measure_histograms(first, [], EVALUATION)
    assert {each.psi for each in drift} == {None}
    assert expect_histograms(first, []) == {}
    changes = [Change("flows accepted", 9, None, [(TODAY, 9)])]
    page = render_report(make_report(changes=make_changes(drift=drift, changes=changes, past_days=[])))
    assert "no earlier day" in page and "unknown" in page
    assert 'class="usual"' not in page


def test_a_champion_that_was_never_measured_has_no_figures():
    assert find_figures(pd.DataFrame(columns=["logical_date", "model_sha256", "metrics"]), make_champion()) == (
        None,
        [],
    )
    page = render_report(make_report(changes=make_changes(measured_on=None, figures=[])))
    assert "no evaluation of this model" in page


def test_drift_is_told_from_chance_and_from_another_model():
    past = [make_profile(TODAY - timedelta(days=age)) for age in (3, 2, 1)]
    moved = make_profile(sizes=(0, 500, 500, *[0] * (SIZE_BINS - 3)), model_sha256="b" * 64)
    verdicts = {each.name: each.verdict for each in measure_histograms(moved, past, EVALUATION)}
    assert verdicts == {
        **{"hour of the day": "stable", "bytes": "large", "duration": "stable", "protocol": "stable"},
        "score": "no earlier day with the same model",
    }
    assert sum(expect_histograms(moved, past)["sizes"]) == pytest.approx(moved.flows)
    assert "scores" not in expect_histograms(moved, past)
    few = {each.verdict for each in measure_histograms(make_profile(flows=99), past, EVALUATION)}
    assert few == {"too few flows to tell"}


flows = st.fixed_dictionaries(
    {
        "second": st.integers(0, 86_399),
        "bytes": st.integers(0, 2**63 - 1),
        "duration": st.floats(0, 1e9),
        "protocol": st.sampled_from(["TCP", "UDP", "ICMP"]),
        "score": st.floats(0, 1e3),
    }
)


def make_flows(rows):
    table = pd.DataFrame(rows, columns=["second", "bytes", "duration", "protocol", "score"])
    table = table.astype({"second": "int64", "bytes": "int64", "duration": "float64", "score": "float64"})
    times = pd.Timestamp(DAY, tz="UTC") + pd.to_timedelta(table["second"], unit="s")
    return table.assign(timestamp=times.astype("datetime64[us, UTC]"), protocol=table["protocol"].astype("category"))


@given(st.lists(flows, min_size=2, max_size=30), st.integers(1, 29))
def test_the_histograms_of_slices_add_up_to_those_of_the_day(rows, cut):
    whole, *parts = (profile_flows(make_flows(chosen), make_silver(), "a") for chosen in (rows, rows[:cut], rows[cut:]))
    assert merge_profiles(parts) == whole
    for counts in (whole.hours, whole.sizes, whole.durations, whole.scores, tuple(whole.protocols.values())):
        assert sum(counts) == len(rows) == whole.flows


def test_bins_hold_what_their_labels_say():
    sizes = profile_flows(
        make_flows([(0, size, 0.0, "TCP", 0.0) for size in (0, 1, 2, 3, 4)]), make_silver(), "a"
    ).sizes
    assert sizes[:4] == (1, 1, 2, 1)
    durations = [(0, 1, seconds, "TCP", 0.0) for seconds in (0.0, 0.0009, 0.001, 0.0019, 0.002)]
    assert profile_flows(make_flows(durations), make_silver(), "a").durations[:3] == (2, 2, 1)


def test_many_protocols_are_counted_as_others():
    rows = [(0, 1, 1.0, f"P{place}", 1.0) for place in range(PROTOCOLS + 5)]
    protocols = profile_flows(make_flows(rows), make_silver(), "a").protocols
    assert len(protocols) == PROTOCOLS + 1 and protocols["other"] == 5


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=64))
def test_bars_stay_in_their_picture(counts):
    chart = draw_bars("t", [str(place) for place in range(len(counts))], counts, ("x", "y"), [], counts)
    for bar in chart.bars:
        assert 0 <= bar.x <= 360 and 0 <= bar.y <= 190 and bar.y + bar.height <= 150.2
    assert chart.yticks[0].label == "0" and 1 < len(chart.yticks) <= 6
    assert len(draw_sparkline(counts, "flows").points) == len(counts)


def make_days(count):
    days = [TODAY - timedelta(days=age) for age in range(count)]
    numbers = ("revision", "lines_in", "accepted", "rejected", "unparsable", "alerts", "suppressed", "critical", "low")
    table = pd.DataFrame({"logical_date": days, **dict.fromkeys(numbers, 3), "high": 0, "medium": 0})
    return table.assign(is_scored=True)


def test_the_pages_stay_small_however_much_there_is():
    many = [make_alerts(entity=f"10.0.{place // 250}.{place % 250}", sentence="s" * 5000) for place in range(300)]
    alerts = pd.concat([*many, *[table.assign(suppressed_by="ops") for table in many]]).assign(alert_id="a", facts=None)
    incidents = pd.concat([make_incidents(entities=[entity], sentence="s" * 5000) for entity in alerts["entity"][:300]])
    talks = [Conversation("2001:db8::1" * 3, "2001:db8::2" * 3, "TCP", 10**9, 10**12, MOMENT, MOMENT)] * 5
    activity = {entity: make_activity(conversations=talks, total=10**6) for entity in alerts["entity"]}
    quality = make_quality(lines_in=10**9) | {
        "rules": {f"rule_{place}": place for place in range(500)},
        "truncated_files": ["/logs/" + "x" * 4000] * 5000,
        "other_days": {str(place): place for place in range(5000)},
    }
    page = render_report(make_report(alerts=alerts, incidents=incidents, activity=activity, quality=quality))
    assert len(page.encode()) < MOST_BYTES / 2
    assert page.count("<article") == MOST_ALERTS and "200 more are in the table" in page
    assert len(render_index(make_days(10 * 365), "lab").encode()) < MOST_BYTES


def read_tile(page, name):
    tiles = page.partition('class="tiles"')[2].partition("</dl>")[0]
    (found,) = re.findall(rf"<dt>{name}</dt><dd>([\d,]+)</dd>", tiles)
    return int(found.replace(",", ""))


def test_every_place_shows_the_same_number_of_alerts(modelled, caplog):
    caplog.set_level("INFO", "network_anomalies")
    chosen = modelled.load("alerts")["entity"].iloc[0]
    known = [{"entity": chosen, "kind": "*", "owner": "ops", "expires": "2024-12-31", "reason": "known"}]
    modelled.run("scoring", alerts__allowlist=known)
    counts, page = count_alerts(modelled.load("alerts")), modelled.load("daily_report")
    assert counts.raised and counts.suppressed
    assert (read_tile(page, "alerts"), read_tile(page, "suppressed")) == (counts.raised, counts.suppressed)
    assert read_tile(page, "incidents") == len(modelled.load("incidents")) == page.count("<article")
    assert f"Alerts by hour of their first flow (UTC): {counts.raised} in all" in page
    assert sum(modelled.load("alerts_per_hour").data[0].y) == sum(count_hours(modelled.load("alerts"))) == counts.raised
    assert f"{counts.raised} raised, {counts.suppressed} suppressed" in caplog.text
    assert len(modelled.load("alert_lines")) == counts.raised
    row = modelled.load("report_index").partition(f">{DAY}</a>")[2].partition("</tr>")[0]
    assert re.search(r'<td class="number">(\d+)', row)[1] == str(counts.raised)
    outcome = PipelineOutcome(
        "scoring", "r1", "SUCCESS", "synthetic", date.fromisoformat(DAY), 1, 0, [], "", counts.raised
    )
    assert f"| alerts | {counts.raised} |" in format_report([outcome])


def test_the_report_shows_flows_profile_and_days_of_the_store(modelled_days):
    page, silver = modelled_days.load("daily_report"), modelled_days.load("silver_events")
    profile = DayProfile.model_validate(modelled_days.load("day_profiles")[DAY]())
    assert profile.flows == len(silver) == read_tile(page, "flows")
    assert profile.hours == tuple(np.bincount(silver["timestamp"].dt.hour, minlength=24))
    assert profile.protocols == silver["protocol"].astype("str").value_counts().to_dict()
    assert "Distance from 1 days before" in page or "Distance from 1 day before" in page
    assert set(modelled_days.load("day_profiles")) == {DAY_BEFORE, DAY}
    index = modelled_days.load("report_index")
    assert index.index(f'href="{DAY}/report.html"') < index.index(f'href="{DAY_BEFORE}/report.html"')
    for entity in modelled_days.load("alerts")["entity"]:
        own = silver[(silver["src_ip"] == entity) | (silver["dst_ip"] == entity)]
        conversations = own.groupby(["src_ip", "dst_ip", "protocol"], observed=True).ngroups
        assert f"of {conversations:,} conversations of the host" in page, entity
    run = modelled_days.load("scoring_events")
    assert {output.file_name for output in run.outputs} >= {"report.html", f"{DAY}.json", "alerts.jsonl"}


def test_the_command_prints_the_address_and_opens_it(anywhere, tmp_path, monkeypatch):
    anywhere.run("full", **SMALL_DAY)
    env = ["--env", anywhere.env]
    done = anywhere.invoke("report", *env)
    assert done.returncode == 0, done.stderr
    address = done.stdout.strip()
    assert address.endswith(f"reports/synthetic/{DAY}/report.html")
    assert anywhere.stored(address).decode() == anywhere.load("daily_report")
    opened = tmp_path / "opened"
    opener = tmp_path / "opener"
    opener.write_text(f'#!/bin/sh\necho "$1" >{opened}\n')
    opener.chmod(0o755)
    shown = anywhere.cli("report", *env, "--source", "synthetic", "--date", DAY, "--open", BROWSER=str(opener))
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip() == address
    url = opened.read_text().strip()
    assert url.startswith("file://") and url.endswith("report.html")
    assert Path(url.removeprefix("file://")).read_text() == anywhere.load("daily_report")


def test_the_command_says_what_is_missing(embedded):
    assert "there is no source yet: run `kedro run`" in embedded.invoke("report").stderr
    embedded.run()
    assert "source synthetic has no report: run `kedro run --pipelines modelling" in embedded.invoke("report").stderr
    said = embedded.invoke("report", "--date", "2024-01-01").stderr
    assert "no report on 2024-01-01" in said and len(said.strip().splitlines()) == 1


def test_the_command_asks_which_source_and_notices_a_report_that_is_gone(modelled):
    said = modelled.invoke("report", "--date", "2024-01-01").stderr
    assert f"the last of its 2 days with a report is {DAY}" in said
    modelled.remove(modelled.invoke("report").stdout.strip())
    assert "is no longer in the lake: run `kedro run --pipelines scoring" in modelled.invoke("report").stderr
    with modelled.stores.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sources (name, kind, format, first_seen) VALUES ('office', 'logs', 'zeek', '2024-04-19')"
        )
    assert "there are 2 sources: choose one with --source, of office, synthetic" in modelled.invoke("report").stderr
