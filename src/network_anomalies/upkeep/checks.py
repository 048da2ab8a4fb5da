"""Checks of `kedro doctor`. They run in parallel, with a time limit; an error in one does not stop the others."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from network_anomalies.errors import explain

State = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table: what was checked, its state, and what to do if the state is not OK."""

    check: str
    state: State
    text: str


Check = Callable[[], Iterable[Finding]]


def run_checks(checks: dict[str, Check], seconds: float) -> list[Finding]:
    """Run every check in a thread and return their findings, in the order of the checks.

    A check that raises an error is a FAIL with the text of ``explain``. A check that takes longer than ``seconds`` is
    a FAIL too. The end of the process does not wait for its thread.
    """
    results: dict[str, list[Finding]] = {}
    threads = [
        threading.Thread(target=_run, args=(name, check, results), daemon=True) for name, check in checks.items()
    ]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer within {seconds:g} s: see that the server is up and reachable from here"
    return [finding for name in checks for finding in results.get(name) or [Finding(name, "FAIL", late)]]


def to_table(findings: list[Finding]) -> Iterator[str]:
    """Yield a line for each finding, in columns, and the number of findings in each state."""
    width = max((len(finding.check) for finding in findings), default=0)
    for finding in findings:
        yield f"{finding.state:<4}  {finding.check:<{width}}  {finding.text}"
    counts = {state: sum(finding.state == state for finding in findings) for state in ("OK", "WARN", "FAIL")}
    yield ", ".join(f"{count} {state}" for state, count in counts.items())


def _run(name: str, check: Check, results: dict[str, list[Finding]]) -> None:
    findings: list[Finding] = []
    try:
        findings.extend(check())
    except Exception as error:
        findings.append(Finding(name, "FAIL", explain(error)))
    results[name] = findings
