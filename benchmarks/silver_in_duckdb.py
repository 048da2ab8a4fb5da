"""Silver's columns computed by one DuckDB query: the peer of the transformation in ``modelling.py``."""

import tempfile
from pathlib import Path

import duckdb

GROUPED = {
    ("src_ip", "hour"): "count(*) AS source_flows_hour, count(DISTINCT dst_ip) AS source_destinations_hour",
    ("src_ip", "minute"): "count(*) AS source_flows_minute, count(DISTINCT dst_ip) AS source_destinations_minute",
    ("dst_ip", "hour"): "count(*) AS destination_flows_hour, count(DISTINCT src_ip) AS destination_sources_hour",
    ("dst_ip", "minute"): "count(*) AS destination_flows_minute, count(DISTINCT src_ip) AS destination_sources_minute",
    ("src_ip", "dst_ip", "hour"): "count(*) AS pair_flows_hour, count(DISTINCT minute) AS pair_minutes_hour",
    ("src_ip", "dst_ip", "minute"): "count(*) AS pair_flows_minute",
    ("src_ip", "dst_ip", "protocol", "hour"): "count(*) AS conversation_flows_hour",
    ("src_ip", "protocol", "hour"): "count(*) AS source_protocol_flows_hour",
    ("protocol", "size_bin", "hour"): "count(*) AS protocol_size_flows_hour",
    ("src_ip", "protocol", "size_bin", "hour"): "count(*) AS source_protocol_size_flows_hour, "
    "count(DISTINCT dst_ip) AS same_size_destinations_hour",
    ("src_ip", "protocol", "size_bin", "minute"): "count(DISTINCT dst_ip) AS same_size_destinations_minute",
}
"""The keys of a group of flows to what is counted in it."""
EVENTS = """
    SELECT *, epoch_us(timestamp) // 3600000000 AS hour, epoch_us(timestamp) // 60000000 AS minute,
        floor(4 * ln(1 + bytes))::INTEGER AS size_bin,
        CASE WHEN duration > 0 THEN bytes / duration END AS bytes_per_second,
        extract('hour' FROM timestamp AT TIME ZONE 'UTC')::TINYINT AS timestamp_hour,
        CASE WHEN bytes < 500 THEN 'small' WHEN bytes < 1500 THEN 'medium' ELSE 'large' END AS flow_size_category
    FROM read_parquet('{path}')"""
GAPS = """
    SELECT src_ip, dst_ip, hour, ln(1 + (epoch_us(timestamp) - lag(epoch_us(timestamp)) OVER (
        PARTITION BY src_ip, dst_ip, hour ORDER BY timestamp)) / 1000.0) AS gap
    FROM events"""
RHYTHM = """
    SELECT src_ip, dst_ip, hour, CASE WHEN count(*) >= 5 THEN stddev_pop(gap) END AS pair_gap_spread_hour
    FROM gaps GROUP BY ALL"""


def write_silver(events: Path, silver: Path) -> None:
    """Read events from a Parquet file and write them with silver's columns as another one.

    The optimiser for the order of joins is off: it plans so many joins badly.
    """
    tables = {f"group_{number}": group for number, group in enumerate(GROUPED.items())}
    with_ = [f"events AS ({EVENTS.format(path=events)})", f"gaps AS ({GAPS})", f"rhythm AS ({RHYTHM})"]
    with_ += [
        f"{name} AS (SELECT {', '.join(keys)}, {counted} FROM events GROUP BY ALL)"
        for name, (keys, counted) in tables.items()
    ]
    joins = [f"JOIN {name} USING ({', '.join(keys)})" for name, (keys, _) in tables.items()]
    query = (
        f"WITH {', '.join(with_)} SELECT * EXCLUDE (hour, minute) FROM events "
        f"JOIN rhythm USING (src_ip, dst_ip, hour) {' '.join(joins)}"
    )
    with tempfile.TemporaryDirectory() as spill, duckdb.connect() as connection:
        connection.execute(f"SET temp_directory = '{spill}'; SET max_temp_directory_size = '50GB'; SET threads = 2")
        connection.execute("SET TimeZone = 'UTC'; SET disabled_optimizers = 'join_order'")
        connection.execute(f"COPY ({query}) TO '{silver}' (FORMAT parquet)")
