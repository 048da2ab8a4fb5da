"""Whether the synthetic traffic of every profile looks as measured networks do, on any seed and date."""

from datetime import date

import pandas as pd
import pytest
from conftest import generator_parameters
from hypothesis import given, settings
from hypothesis import strategies as st

from network_anomalies.errors import ContractError
from network_anomalies.generator.day import build_curve
from network_anomalies.generator.realism_measures import TARGETS, count_hours, find_dispersion
from network_anomalies.pipelines.realism.nodes import draw_days, measure_profile, plot_profile

DAY = date(2026, 11, 18)
PROFILES = sorted(generator_parameters().profiles)


def measure(day: date = DAY, **changes: object) -> pd.DataFrame:
    return measure_profile(draw_days(generator_parameters(**changes), day), day)


def missed(report: pd.DataFrame) -> str:
    return report.loc[~report["within"], ["target", "measured"]].to_string()


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_meets_every_target(profile):
    report = measure(profile=profile)
    assert report["within"].all(), missed(report)
    assert report["target"].tolist() == [target[0] for target in TARGETS]
    assert report["source"].str.len().gt(10).all()


@settings(max_examples=8, deadline=None)
@given(
    profile=st.sampled_from(PROFILES),
    seed=st.sampled_from([0, 2**63]) | st.integers(0, 2**128),
    day=st.dates(date(1700, 1, 10), date(2261, 12, 20)),
)
def test_any_seed_and_date_stay_inside(profile, seed, day):
    report = measure(day, profile=profile, seed=seed)
    assert report["within"].all(), missed(report)


def test_a_larger_day_looks_the_same():
    report = measure(n_events=400_000, part_events=90_000)
    assert report["within"].all(), missed(report)


def change_profile(**changes: object) -> dict:
    own = generator_parameters().profiles["enterprise"].model_dump()
    return {"profiles": {"enterprise": own | changes}}


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"night": 0.5}, "night over office hours"),
        ({"weekend": 1.0}, "office hours of a weekend over a working day's"),
        ({"one_offs": 0.6}, "one-off outside destinations"),
        ({"zero_duration": 0.05}, "durations of exactly 0"),
        ({"client_shift": 50.0}, "flows of the 4 busiest sources"),
        ({"clients": 60_000}, "flows of pairs seen the day before"),
    ],
)
def test_a_profile_that_is_off_is_noticed(change, target):
    report = measure(**change_profile(**change)).set_index("target")
    assert not report.at[target, "within"]


def test_independent_arrivals_are_not_bursty():
    times = pd.Series(pd.date_range(DAY, periods=86_400, freq="s", tz="UTC"))
    assert find_dispersion(times, 10) == pytest.approx(0)
    assert count_hours(times).tolist() == [3600] * 24


def test_nights_are_quiet_and_weekends_flatter():
    profile = generator_parameters().profiles["enterprise"]
    working, weekend = build_curve(profile, False), build_curve(profile, True)
    assert working.min() / working.max() == pytest.approx(profile.night, rel=0.05)
    assert weekend.max() < working.max()


def test_too_few_events_say_nothing():
    with pytest.raises(ContractError, match="realism is measured on 50000 events or more"):
        draw_days(generator_parameters(n_events=49_999), DAY)


def test_the_report_is_plotted():
    days = draw_days(generator_parameters(), DAY)
    figure = plot_profile(days, measure_profile(days, DAY), DAY)
    assert [title.text for title in figure.layout.annotations] == [
        *("Flows larger than", "Hosts by popularity", "Flows by hour (UTC)", "Targets: from lowest to highest"),
    ]


def test_the_report_and_its_plot_are_kept(embedded):
    assert embedded.run(pipeline="realism") == "SUCCESS"
    catalog = embedded.session().load_context().catalog
    assert catalog.load("realism_report")["within"].all()
    assert sum(len(trace.x) for trace in catalog.load("realism_plot").data) < 4_000
