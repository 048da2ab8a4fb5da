"""The doctor's checks of this machine: Python, packages, and folders that a run writes to."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from network_anomalies.upkeep.checks import Finding

DISTRIBUTION = "network-anomalies"
LEAST_FREE_BYTES = 1 << 30
ADVICE = "pip install -c constraints.txt -e ."


def check_python() -> Iterator[Finding]:
    """Check that this Python has a version that the installed distribution allows."""
    required, present = distribution(DISTRIBUTION).metadata["Requires-Python"], platform.python_version()
    if SpecifierSet(required).contains(present, prereleases=True):
        yield Finding("python", "OK", present)
    else:
        advice = "make an environment with such a Python"
        yield Finding("python", "FAIL", f"{present}, this project needs {required}: {advice}")


def check_packages(constraints: Path) -> Iterator[Finding]:
    """Compare installed packages with the distribution's requirements, and with the pins in ``constraints``, if any."""
    requirements = [Requirement(line) for line in distribution(DISTRIBUTION).requires or []]
    required = [need for need in requirements if need.marker is None or need.marker.evaluate({"extra": ""})]
    faults = [fault for need in required if (fault := _describe_fault(need))]
    pins = read_pins(constraints.read_text()) if constraints.is_file() else {}
    unpinned = [
        f"{name} {found}, pinned {pin}" for name, pin in pins.items() if (found := _find(name)) not in (None, pin)
    ]
    if faults:
        yield Finding("packages", "FAIL", f"{', '.join(faults)}: {ADVICE}")
    if unpinned:
        yield Finding("packages", "WARN", f"{', '.join(unpinned)} (not tested together): {ADVICE}")
    if not faults and not unpinned:
        compared = ", with the pinned versions" if pins else "; there is no constraints.txt here to compare them with"
        yield Finding("packages", "OK", f"{len(required)} required, all installed{compared}")


def read_pins(text: str) -> dict[str, str]:
    """Return the versions that a constraints file pins, by canonical name."""
    lines = (line.partition("#")[0].strip().partition("==") for line in text.splitlines())
    return {str(canonicalize_name(name)): pin for name, equals, pin in lines if equals}


def check_folder(name: str, folder: Path) -> Iterator[Finding]:
    """Check that files and hard links can be made in a folder, or in the folder above if it does not exist."""
    place = folder
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as probe:
            written = Path(probe) / "written"
            written.write_bytes(b"probe")
            os.link(written, Path(probe) / "linked")
    except OSError as error:
        advice = "a run needs to write files and hard links there: allow it, or mount a volume that supports them"
        yield Finding(name, "FAIL", f"{place}: {error.strerror}; {advice}")
        return
    free = shutil.disk_usage(place).free
    state = f"{folder} can be written to, {free / 2**30:.1f} GiB free"
    if free > LEAST_FREE_BYTES:
        yield Finding(name, "OK", state)
    else:
        yield Finding(name, "WARN", f"{state}: free space, a day may not fit")


def _describe_fault(need: Requirement) -> str | None:
    installed = _find(need.name)
    if installed is None:
        return f"{need.name} is missing"
    is_allowed = need.specifier.contains(installed, prereleases=True)
    return None if is_allowed else f"{need.name} {installed}, needed {need.specifier}"


def _find(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
