"""The doctor on this machine: Python, packages, a folder that can be written to."""

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
    """Hold this Python to what the installed distribution requires."""
    needed, found = distribution(DISTRIBUTION).metadata["Requires-Python"], platform.python_version()
    if SpecifierSet(needed).contains(found, prereleases=True):
        yield Finding("python", "OK", found)
    else:
        yield Finding("python", "FAIL", f"{found}, this project needs {needed}: make an environment with such a Python")


def check_packages(constraints: Path) -> Iterator[Finding]:
    """Hold installed packages to the distribution's requirements, and to the pins of ``constraints`` if it is there."""
    wanted = [Requirement(line) for line in distribution(DISTRIBUTION).requires or []]
    wanted = [need for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    faults = [fault for need in wanted if (fault := _describe_fault(need))]
    pins = read_pins(constraints.read_text()) if constraints.is_file() else {}
    strays = [
        f"{name} {found}, pinned {pin}" for name, pin in pins.items() if (found := _find(name)) not in (None, pin)
    ]
    if faults:
        yield Finding("packages", "FAIL", f"{', '.join(faults)}: {ADVICE}")
    if strays:
        yield Finding("packages", "WARN", f"{', '.join(strays)} (not tried together): {ADVICE}")
    if not faults and not strays:
        held = " and at their pins" if pins else "; no constraints.txt here to hold them to"
        yield Finding("packages", "OK", f"{len(wanted)} required, all there{held}")


def read_pins(text: str) -> dict[str, str]:
    """Return the versions that a constraints file pins, by canonical name."""
    lines = (line.partition("#")[0].strip().partition("==") for line in text.splitlines())
    return {str(canonicalize_name(name)): pin for name, equals, pin in lines if equals}


def check_folder(name: str, folder: Path) -> Iterator[Finding]:
    """See that files and hard links can be made in a folder, or where a run would make that folder."""
    place = folder
    while not place.exists():
        place = place.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as probe:
            written = Path(probe) / "written"
            written.write_bytes(b"probe")
            os.link(written, Path(probe) / "linked")
    except OSError as error:
        advice = "a run needs to write files and hard links there: grant that, or mount a volume that takes them"
        yield Finding(name, "FAIL", f"{place}: {error.strerror}; {advice}")
        return
    free = shutil.disk_usage(place).free
    state = f"{folder} can be written to, {free / 2**30:.1f} GiB free"
    if free > LEAST_FREE_BYTES:
        yield Finding(name, "OK", state)
    else:
        yield Finding(name, "WARN", f"{state}: free some, a day may not fit")


def _describe_fault(need: Requirement) -> str | None:
    found = _find(need.name)
    if found is None:
        return f"{need.name} is missing"
    return None if need.specifier.contains(found, prereleases=True) else f"{need.name} {found}, needed {need.specifier}"


def _find(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
