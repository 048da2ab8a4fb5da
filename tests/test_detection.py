"""Context, summaries, history and scores: slices equal the whole, and nothing depends on order or names."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenarios import flood, make_day, scan

from network_anomalies.detection import (
    CONTEXT_COLUMNS,
    AnomalyDetector,
    History,
    Summary,
    add_context,
    detect,
    fit,
    judge_slice,
    merge_histories,
    merge_summaries,
    name_attacks,
    remember,
    score,
    summarise,
)
from network_anomalies.errors import ProjectError

HOSTS = ["10.0.0.1", "10.0.0.2", "10.0.0.10", "2001:db8::1", "8.8.8.8"]
START = 1_767_571_200
EVENT = st.fixed_dictionaries(
    {
        "timestamp": st.integers(0, 5 * 3600).map(lambda seconds: float(START + seconds)),
        "src_ip": st.sampled_from(HOSTS),
        "dst_ip": st.sampled_from(HOSTS),
        "bytes": st.sampled_from([0, 40, 44, 1_500, 10**9]),
        "duration": st.sampled_from([0.0, 0.001, 3.5]) | st.none(),
        "protocol": st.sampled_from(["TCP", "UDP", "ICMP"]),
    }
)
EVENTS = st.lists(EVENT, min_size=1, max_size=40).map(pd.DataFrame)
PORTS = st.sampled_from([None, 22, 53, 443, 50_000])
SIDES = st.sampled_from([None, 0, 40, 1_500])
OPTIONAL = {"src_port": PORTS, "dst_port": PORTS, "src_bytes": SIDES, "dst_bytes": SIDES}


def make_extended(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype(dict.fromkeys(OPTIONAL, "float64"))


EXTENDED = st.lists(
    st.builds(lambda event, more: event | more, EVENT, st.fixed_dictionaries(OPTIONAL)), min_size=1, max_size=40
).map(make_extended)


@pytest.fixture(scope="module")
def day() -> pd.DataFrame:
    return make_day(0)


@pytest.fixture(scope="module")
def next_day() -> pd.DataFrame:
    return pd.concat([make_day(1), scan(1, 200, 600)], ignore_index=True)


def by_hour(events: pd.DataFrame) -> list[pd.DataFrame]:
    return [part for _, part in events.groupby(events["timestamp"] // 3600)]


def assert_same(one: Summary, other: Summary) -> None:
    pd.testing.assert_frame_equal(one.conversations, other.conversations, check_exact=True)
    pd.testing.assert_frame_equal(one.sizes, other.sizes, check_exact=True)


def assert_same_history(one: History, other: History) -> None:
    assert one.total_hours == other.total_hours
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, other.tables[name], check_exact=True)


def brute_force_context(events: pd.DataFrame) -> pd.DataFrame:
    """Count as the columns' documentation says, a row at a time."""
    hour, minute = events["timestamp"] // 3600, events["timestamp"] // 60
    size = np.floor(4 * np.log1p(events["bytes"]))
    rows = []
    for row in events.index:
        same_hour, same_minute = hour == hour[row], minute == minute[row]
        source, destination = events["src_ip"] == events["src_ip"][row], events["dst_ip"] == events["dst_ip"][row]
        protocol, alike = events["protocol"] == events["protocol"][row], size == size[row]
        rows.append(
            {
                "size_bin": size[row],
                "source_flows_hour": (source & same_hour).sum(),
                "source_flows_minute": (source & same_minute).sum(),
                "source_destinations_hour": events["dst_ip"][source & same_hour].nunique(),
                "source_destinations_minute": events["dst_ip"][source & same_minute].nunique(),
                "destination_flows_hour": (destination & same_hour).sum(),
                "destination_flows_minute": (destination & same_minute).sum(),
                "destination_sources_hour": events["src_ip"][destination & same_hour].nunique(),
                "destination_sources_minute": events["src_ip"][destination & same_minute].nunique(),
                "pair_flows_hour": (source & destination & same_hour).sum(),
                "pair_flows_minute": (source & destination & same_minute).sum(),
                "pair_minutes_hour": minute[source & destination & same_hour].nunique(),
                "conversation_flows_hour": (source & destination & protocol & same_hour).sum(),
                "source_protocol_flows_hour": (source & protocol & same_hour).sum(),
                "protocol_size_flows_hour": (protocol & alike & same_hour).sum(),
                "source_protocol_size_flows_hour": (source & protocol & alike & same_hour).sum(),
                "same_size_destinations_hour": events["dst_ip"][source & protocol & alike & same_hour].nunique(),
                "same_size_destinations_minute": events["dst_ip"][source & protocol & alike & same_minute].nunique(),
            }
        )
    return pd.DataFrame(rows).astype("int32")


@settings(deadline=None, max_examples=25)
@given(events=EVENTS)
def test_context_counts_what_its_names_say(events):
    found = add_context(events)
    expected = brute_force_context(events)
    pd.testing.assert_frame_equal(found[expected.columns], expected)
    assert list(found.columns) == [*events.columns, *CONTEXT_COLUMNS]


@settings(deadline=None, max_examples=10)
@given(events=EXTENDED, data=st.data())
def test_summaries_merge_in_any_order_and_grouping_and_equal_the_whole(events, data):
    parts = data.draw(st.permutations([summarise(part) for part in by_hour(events)]))
    cut = data.draw(st.integers(0, len(parts)))
    whole = summarise(events.sample(frac=1, random_state=data.draw(st.integers(0, 99))))
    assert_same(merge_summaries(parts), whole)
    assert_same(merge_summaries([merge_summaries(group) for group in (parts[:cut], parts[cut:]) if group]), whole)


@settings(deadline=None, max_examples=10)
@given(days=st.lists(EXTENDED, min_size=2, max_size=4), data=st.data())
def test_histories_of_days_merge_in_any_order_and_grouping(days, data):
    shifted = [events.assign(timestamp=events["timestamp"] + 86_400 * place) for place, events in enumerate(days)]
    parts = [remember(summarise(events)) for events in shifted]
    whole = merge_histories(parts)
    shuffled = data.draw(st.permutations(parts))
    assert_same_history(merge_histories(shuffled), whole)
    assert_same_history(merge_histories([merge_histories(shuffled[:1]), merge_histories(shuffled[1:])]), whole)
    counts, summary = whole.tables["pair"], summarise(pd.concat(shifted))
    assert counts["flows"].sum() == summary.conversations["flows"].sum()


def describe_by_hand(talk: pd.DataFrame) -> dict[str, float]:
    """Say of a conversation-hour's ports and directions what the documentation says, from its rows."""
    server = talk["dst_port"].where(~((talk["src_port"] < 1024) & (talk["dst_port"] >= 1024)), talk["src_port"])
    ports = server[talk["protocol"] != "ICMP"].dropna().astype(int).value_counts()
    best = sorted(ports.items(), key=lambda item: (-item[1], item[0]))[:1] or [(-1, 0)]
    sided = talk[["src_bytes", "dst_bytes"]].dropna()
    return {
        "ported": ports.sum(),
        "ports": len(ports),
        "service": best[0][0],
        "service_flows": best[0][1],
        "sided": len(sided),
        "answered": (sided["dst_bytes"] > 0).sum(),
        "upload": sided["src_bytes"].sum(),
        "download": sided["dst_bytes"].sum(),
        "minutes": (talk["timestamp"] // 60).nunique(),
    }


@settings(deadline=None, max_examples=25)
@given(events=EXTENDED)
def test_a_summary_knows_services_directions_and_minutes(events):
    found = summarise(events).conversations
    keys = ["src_ip", "dst_ip", "protocol", events["timestamp"] // 3600]
    expected = [describe_by_hand(talk) for _, talk in events.groupby(keys)]
    pd.testing.assert_frame_equal(found[list(expected[0])], pd.DataFrame(expected), check_dtype=False)
    minutes = [sorted({int(second // 60 % 60) for second in talk["timestamp"]}) for _, talk in events.groupby(keys)]
    assert [[bit for bit in range(60) if mask >> bit & 1] for mask in found["active"].tolist()] == minutes


def test_a_history_counts_hours_tens_and_minutes(day):
    history = remember(summarise(day))
    for unit, seconds in (("hours", 3600), ("tens", 600), ("minutes", 60)):
        blocks = (day["timestamp"] // seconds).groupby(day["src_ip"]).nunique().sort_index()
        assert history.tables["source"][unit].tolist() == blocks.tolist()


SPANS = [(86_400, "hours"), (21_600, "hours"), (7_200, "tens"), (600, "minutes")]


@pytest.mark.parametrize(("seconds", "column"), SPANS)
def test_the_block_that_is_left_out_follows_the_span(day, seconds, column):
    spread = day.assign(timestamp=START + np.linspace(0, seconds, len(day)))
    assert remember(summarise(spread)).block.column == column


@settings(deadline=None, max_examples=4)
@given(events=EVENTS, other=EVENTS)
def test_columns_that_are_empty_change_no_score(events, other):
    empty, other_empty = (frame.assign(**dict.fromkeys(OPTIONAL, np.nan)) for frame in (events, other))
    plain, changed = AnomalyDetector().fit(events), AnomalyDetector().fit(empty)
    np.testing.assert_array_equal(plain.score_samples(other), changed.score_samples(other_empty))


def test_two_summaries_of_one_hour_are_refused(day):
    with pytest.raises(ProjectError, match="share an hour"):
        merge_summaries([summarise(day), summarise(day.iloc[:1])])


@pytest.mark.parametrize("with_context", [True, False])
def test_slices_score_as_the_whole_does(day, next_day, with_context):
    prepare = add_context if with_context else pd.DataFrame.copy
    slices = [prepare(part) for part in by_hour(day)]
    history = remember(merge_summaries([summarise(part) for part in slices]))
    model = fit([lambda part=part: part for part in slices], history)
    named = name_attacks(merge_summaries([summarise(part) for part in by_hour(next_day)]), model, has_past=True)
    judged = [judge_slice(prepare(part), model, named, has_past=True)[0]["score"] for part in by_hour(next_day)]
    sliced = pd.concat(judged).reindex(next_day.index)
    detector = AnomalyDetector().fit(day)
    np.testing.assert_allclose(-sliced.to_numpy(), detector.score_samples(next_day), rtol=0, atol=1e-9)
    assert detector.model is not None
    assert model.alert_score == pytest.approx(detector.model.alert_score, abs=1e-9)


@settings(deadline=None, max_examples=4)
@given(events=EVENTS, other=EVENTS, data=st.data())
def test_the_order_of_rows_does_not_matter(events, other, data):
    order = data.draw(st.permutations(range(len(events))))
    shuffled = events.iloc[order].reset_index(drop=True)
    both = AnomalyDetector().fit_score_samples(events), AnomalyDetector().fit_score_samples(shuffled)
    np.testing.assert_allclose(both[0][order], both[1], rtol=0, atol=1e-9)
    again = AnomalyDetector().fit(events).score_samples(other), AnomalyDetector().fit(shuffled).score_samples(other)
    np.testing.assert_allclose(*again, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=4)
@given(events=EVENTS, other=EVENTS, names=st.permutations(HOSTS[:3]))
def test_the_names_of_hosts_do_not_matter(events, other, names):
    # Within the network: the named detectors know inside from outside.
    renaming = dict(zip(HOSTS, [*names, *HOSTS[3:]], strict=True))
    renamed, other_renamed = (
        frame.assign(src_ip=frame["src_ip"].map(renaming), dst_ip=frame["dst_ip"].map(renaming))
        for frame in (events, other)
    )
    detectors = AnomalyDetector().fit(events), AnomalyDetector().fit(renamed)
    for plain, changed in ((events, renamed), (other, other_renamed)):
        scores = detectors[0].score_samples(plain), detectors[1].score_samples(changed)
        np.testing.assert_allclose(*scores, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=4)
@given(events=EVENTS)
def test_times_text_and_missing_numbers_may_come_in_any_form(events):
    times = pd.to_datetime(events["timestamp"], unit="s", utc=True)
    forms = [
        events.assign(timestamp=times.astype("datetime64[ns, UTC]")),
        events.assign(timestamp=times.astype("datetime64[s, UTC]"), protocol=events["protocol"].str.lower()),
        events.assign(timestamp=times.dt.tz_convert("Asia/Tokyo"), duration=events["duration"].fillna(0.0)),
        events.astype({"src_ip": "category", "dst_ip": "category", "protocol": "category"}),
    ]
    expected = AnomalyDetector().fit_score_samples(events)
    for form in forms:
        np.testing.assert_array_equal(AnomalyDetector().fit_score_samples(form), expected)


def with_ports(day: pd.DataFrame, every: int) -> pd.DataFrame:
    """Return events whose first columns of ports and directions are known in every so-manieth row."""
    known = np.arange(len(day)) % every == 0
    values = {"src_port": 40_000.0, "dst_port": 443.0, "src_bytes": 100.0, "dst_bytes": day["bytes"]}
    return day.assign(**{name: np.where(known, value, np.nan) for name, value in values.items()})


EDGES = {
    "one host": lambda day: day.assign(src_ip="10.0.0.1", dst_ip="10.0.0.1"),
    "one protocol": lambda day: day.assign(protocol="TCP"),
    "ten events": lambda day: day.head(10),
    "one event": lambda day: day.head(1),
    "constant columns": lambda day: day.assign(bytes=0, duration=0.0, src_ip="a", dst_ip="b", timestamp=1e9),
    "nothing": lambda day: day.head(0),
    "attacks only": lambda day: scan(0, 500, 3600),
    "missing numbers": lambda day: day.assign(bytes=np.nan, duration=np.nan),
    "one minute": lambda day: day.assign(timestamp=START + np.arange(len(day)) % 60.0),
    "one flow again and again": lambda day: pd.concat([day.head(1)] * 500, ignore_index=True),
    "near 1970": lambda day: day.assign(timestamp=day["timestamp"] - day["timestamp"].min()),
    "names of networks": lambda day: day.assign(src_ip="AS" + day["src_ip"], dst_ip=day["dst_ip"].str[-1]),
    "IPv6 only": lambda day: day.assign(src_ip="2001:db8::1", dst_ip="fe80::" + day["dst_ip"].str[-1]),
    "ports for half of the rows": lambda day: with_ports(day, every=2),
    "ports for all rows": lambda day: with_ports(day, every=1),
    "huge numbers": lambda day: day.head(50).assign(bytes=2.0**53, duration=1e12),
}


@pytest.fixture(scope="module")
def normal(next_day) -> pd.DataFrame:
    return next_day.head(2_000)


@pytest.fixture(scope="module")
def known(normal) -> AnomalyDetector:
    """A detector of the normal events, which the odd ones are judged by."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return AnomalyDetector().fit(normal)


@pytest.mark.parametrize("name", EDGES)
def test_an_odd_day_has_finite_scores_and_no_warnings(name, day, normal, known):
    odd = EDGES[name](day.head(2_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judge_both_ways(odd, normal, known)


def judge_both_ways(odd: pd.DataFrame, normal: pd.DataFrame, known: AnomalyDetector) -> None:
    detector = AnomalyDetector().fit(odd)
    for scores, events in (
        (AnomalyDetector().fit_score_samples(odd), odd),
        (detector.score_samples(normal), normal),
        (known.score_samples(odd), odd),
    ):
        assert scores.shape == (len(events),)
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all()
    past = remember(summarise(odd))
    for found in (detect(summarise(odd), past), detect(summarise(odd)), detect(summarise(normal), past)):
        assert set(found["score"].between(50, 100)) <= {True}
    explained = detector.explain(normal)
    assert explained.index.equals(normal.index)
    assert explained["sentence"].str.len().min() > 0


def test_a_normal_day_without_a_past_has_findings_of_half_certainty_at_least(normal):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(detect(summarise(normal))["score"].between(50, 100)) <= {True}


@pytest.mark.parametrize(("of_past", "of_day"), [(1, 0), (0, 1), (2, 1)], ids=["past", "day", "half of the past"])
def test_a_past_may_have_other_columns_than_the_day(of_past, of_day, day, next_day):
    past = with_ports(day, of_past) if of_past else day
    today = with_ports(next_day, of_day) if of_day else next_day
    plain = AnomalyDetector().fit(day).score_samples(next_day)
    scores = AnomalyDetector().fit(past).score_samples(today)
    assert np.isfinite(scores).all()
    if of_past == 0:  # what the past does not know is no evidence
        np.testing.assert_allclose(scores, plain, rtol=0, atol=1e-9)
    # Else ports may decide which conversation-hours of the past are left out.
    assert pd.Series(scores).corr(pd.Series(plain), method="spearman") > 0.95


def test_a_past_of_one_hour_and_one_that_is_mostly_attack_still_tell_a_scan(day, next_day):
    attack = np.arange(len(next_day)) >= len(next_day) - 200
    hour = day[day["timestamp"] // 3600 == day["timestamp"].iloc[len(day) // 2] // 3600]
    flooded = pd.concat([day, flood(0, 500, 3 * len(day))], ignore_index=True)
    for past in (hour, flooded):
        scores = AnomalyDetector().fit(past).score_samples(next_day)
        assert np.median(scores[attack]) < np.quantile(scores[~attack], 0.02)


def test_findings_raise_the_scores_of_their_flows_and_say_so(day, next_day):
    scanned = np.arange(len(next_day)) >= len(next_day) - 200
    detector = AnomalyDetector().fit(day)
    assert detector.model is not None
    raised = -detector.score_samples(next_day)
    own = pd.concat([score(part, detector.model)["score"] for part in by_hour(next_day)]).reindex(next_day.index)
    assert (raised[scanned] > own[scanned] + 4).all()
    assert (raised >= own - 1e-9).all()
    assert np.isclose(raised, own)[~scanned].mean() > 0.99
    explained = detector.explain(next_day)
    assert explained.loc[scanned, "finding"].str.contains("probed").all()
    assert explained.loc[scanned, "sentence"].str.contains("Part of a finding").all()
    assert (explained.loc[~scanned, "finding"] == "").mean() > 0.99


def test_an_event_that_repeats_the_past_is_no_anomaly_and_a_strange_one_is(day, next_day):
    scores = AnomalyDetector().fit(day).score_samples(next_day)
    attack = np.arange(len(next_day)) >= len(next_day) - 200
    assert np.median(scores[attack]) < np.quantile(scores[~attack], 0.01)


def test_a_reason_is_no_rarer_than_the_reference_can_tell(day, next_day):
    detector = AnomalyDetector().fit(day)
    explained = detector.explain(next_day)
    assert explained["score"].to_numpy() == pytest.approx(-detector.score_samples(next_day))
    assert detector.model is not None
    sentence = explained.loc[explained["score"].idxmax(), "sentence"]
    assert f"rarer than 1 in {detector.model.rows:,}" in sentence
    words = explained[["reason_1", "reason_2", "reason_3"]].stack()
    one_in = words.str.extract(r"1 in ([\d,]+)")[0].dropna().str.replace(",", "").astype(int)
    assert one_in.max() <= detector.model.rows


def test_what_cannot_be_scored_is_said(day):
    with pytest.raises(ProjectError, match="not fitted"):
        AnomalyDetector().score_samples(day)
    with pytest.raises(ProjectError, match="no column protocol"):
        AnomalyDetector().fit(day.drop(columns="protocol"))
    with pytest.raises(ProjectError, match="no src_ip"):
        AnomalyDetector().fit(day.assign(src_ip=None))
    with pytest.raises(ProjectError, match="no timestamp"):
        AnomalyDetector().fit(day.assign(timestamp=np.nan))
