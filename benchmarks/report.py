"""What the daily report adds to scoring: processor time of its nodes, as a share of the rest of the stage.

    python benchmarks/report.py --events 1000000

A node is charged with everything up to the next node, what it saves included.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kedro.framework.hooks import hook_impl
from kedro.framework.project import configure_project, settings
from project import make_project

from network_anomalies.pipelines.scoring import nodes
from network_anomalies.runs.session import start_session

DAY = "2024-04-19"
OF_REPORT = (*("profile_day", "count_days", "compare_days", "draw_day", "write_report", "write_index"),)


WITHIN_NODES = ("profile_flows", "trace_hosts")
"""Functions of the report that other nodes call."""


class Clock:
    """Adds up the processor time of each node, and that of functions within nodes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.within: dict[str, float] = {}
        self._node, self._since = "", time.process_time()

    @hook_impl
    def before_dataset_loaded(self, node: object) -> None:
        """Charge the node before."""
        self.charge(str(getattr(node, "name", "")))

    def watch(self, function: Callable[..., object]) -> Callable[..., object]:
        """Return a function that also adds up its own processor time."""

        def timed(*arguments: object) -> object:
            started = time.thread_time()
            made = function(*arguments)
            spent = time.thread_time() - started
            self.within[function.__name__] = self.within.get(function.__name__, 0.0) + spent
            return made

        return timed

    def charge(self, node: str) -> None:
        """Charge the node at work, and go on with another."""
        now = time.process_time()
        self.seconds[self._node] = self.seconds.get(self._node, 0.0) + now - self._since
        self._node, self._since = node, now


def main() -> None:
    """Model a day, then score it once more under a clock."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=1_000_000)
    events = options.parse_args().events
    configure_project("network_anomalies")
    params = {"logical_date": DAY, "generator": {"n_events": events}}
    clock = Clock()

    with tempfile.TemporaryDirectory() as folder:
        root = make_project(Path(folder))
        with start_session(root, None, params) as session:
            session.run(pipeline_names=["full"], to_nodes=["assemble_model"])
        for name in WITHIN_NODES:
            setattr(nodes, name, clock.watch(getattr(nodes, name)))
        settings.set("HOOKS", (*settings.HOOKS, clock))
        with start_session(root, None, params) as session:
            session.run(pipeline_names=["scoring"])
        clock.charge("")
    own = {name: clock.seconds[name] for name in OF_REPORT} | clock.within
    whole = sum(seconds for name, seconds in clock.seconds.items() if name)
    rest = whole - sum(own.values())
    for name, seconds in own.items():
        print(f"{name:15} {seconds:7.2f} s  {seconds / rest:6.2%}")
    print(f"report of {events:,} flows: {sum(own.values()):.2f} s beside {rest:.2f} s, {sum(own.values()) / rest:.2%}")


if __name__ == "__main__":
    main()
