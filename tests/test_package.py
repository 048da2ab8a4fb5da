"""The wheel and the configuration archive that `kedro package` makes run outside the repository."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import DAY, ROOT, Project

# `kedro package`, but the build uses the setuptools that is installed: nothing is fetched.
PACKAGE = """
import sys
import kedro.framework.cli.project as project
call = project.call
project.call = lambda command, **rest: call(command + ["--no-isolation"] * ("build" in command), **rest)
from kedro.framework.cli.cli import main
sys.argv = ["kedro", "package"]
main()
"""


class Packaged(NamedTuple):
    """What `kedro package` made: the wheel's files, the configuration, and a folder to run in."""

    site: Path
    archive: Path
    elsewhere: Project

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Outside of a project Kedro's own logging shows the results, which breaks lines at this width.
        return self.elsewhere.cli(*arguments, PYTHONPATH=str(self.site), COLUMNS="300")


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Packaged:
    pytest.importorskip("setuptools", minversion="77", reason="the wheel needs the setuptools of the dev extra")
    root, site, elsewhere = (tmp_path_factory.mktemp(name) for name in ("project", "site", "elsewhere"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root)
    for name in ("src", "conf"):
        ignored = shutil.ignore_patterns("local", "__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    (root / "conf/local").mkdir()
    (root / "conf/local/credentials.yml").write_text("mine: {key: a-secret}\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", PACKAGE]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (root / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    return Packaged(site, root / "dist/conf-network_anomalies.tar.gz", Project(elsewhere))


def test_the_wheel_holds_the_package_and_its_license(packaged):
    names = {path.relative_to(packaged.site).as_posix() for path in packaged.site.rglob("*") if path.is_file()}
    source = ROOT / "src/network_anomalies"
    modules = {f"network_anomalies/{path.relative_to(source).as_posix()}" for path in source.rglob("*.py")}
    assert modules <= names
    (metadata,) = packaged.site.glob("*.dist-info")
    assert "License-Expression: Apache-2.0" in (metadata / "METADATA").read_text()
    assert (metadata / "licenses/LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_archive_holds_no_persons_own_files(packaged):
    with tarfile.open(packaged.archive) as archive:
        names = archive.getnames()
    assert "conf/base/parameters_profile_campus.yml" in names
    assert not [name for name in names if name.startswith("conf/local/")]


def test_a_run_outside_the_repository_takes_its_configuration_from_the_archive(packaged):
    where = subprocess.run(
        [sys.executable, "-c", "import network_anomalies; print(network_anomalies.__file__)"],
        cwd=packaged.elsewhere.root, env=os.environ | {"PYTHONPATH": str(packaged.site)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(packaged.site))
    params = f"logical_date={DAY},generator.n_events=500,generator.profile=campus"
    arguments = ("run", "--conf-source", str(packaged.archive), "--params", params)
    first, second = packaged.run(*arguments), packaged.run(*arguments)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "500 accepted, 0 rejected" in first.stdout and "SUCCESS" in first.stdout
    assert "UNCHANGED" in second.stdout
    assert (packaged.elsewhere.root / "data/registry.db").exists()


def test_a_profile_or_environment_that_the_archive_lacks_is_one_line(packaged):
    arguments = ("run", "--conf-source", str(packaged.archive))
    profile = packaged.run(*arguments, "--params", "generator.profile=big")
    assert profile.stderr.splitlines() == [
        "Error: parameter generator: there is no profile big: there are campus, enterprise, provider"
    ]
    env = packaged.run(*arguments, "--env", "nowhere")
    assert env.stderr.splitlines() == ["Error: there is no environment nowhere: conf holds embedded, minio, local"]


def test_the_other_commands_read_the_unpacked_archive(packaged):
    subprocess.run(["tar", "-xf", packaged.archive, "-C", packaged.elsewhere.root], check=True)
    shown = packaged.run("status", "--params", "generator.n_events=500,generator.profile=campus")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert f"{DAY}  done" in shown.stdout
