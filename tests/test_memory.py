"""Memory that a command frees goes back to the system."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from network_anomalies.events.ahead import THREADS, work_ahead
from network_anomalies.runs import memory

SHOW_POOL = "import network_anomalies.settings, pyarrow; print(pyarrow.default_memory_pool().backend_name)"


@pytest.mark.parametrize(("given", "used"), [({}, "system"), ({"ARROW_DEFAULT_MEMORY_POOL": "mimalloc"}, "mimalloc")])
def test_the_settings_choose_the_pool_before_arrow_does(given, used):
    without = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    shown = subprocess.check_output([sys.executable, "-c", SHOW_POOL], env=without | given, text=True)
    assert shown.strip() == used


@pytest.mark.parametrize(("platform", "library"), [("darwin", None), ("linux", SimpleNamespace())])
def test_another_c_library_is_left_alone(platform, library, monkeypatch):
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    monkeypatch.setattr(memory.sys, "platform", platform)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: library)
    memory.return_memory()
    assert os.environ["ARROW_DEFAULT_MEMORY_POOL"] == "jemalloc"


def test_no_more_calls_than_threads_are_begun_before_a_result_is_used():
    begun = []
    results = work_ahead(lambda place=place: begun.append(place) or place for place in range(10))
    used = []
    for place in results:
        used.append(place)
        assert len(begun) <= len(used) + THREADS - 1
    assert used == list(range(10))
