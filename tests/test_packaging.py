"""What an sdist and the wheel built from it hold, and that the wheel works from any folder."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

NEEDED = ["pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "constraints.txt"]
SOURCES = ["zsr_sim", "envs", "agents"]
STALE = "deleted_long_ago.py"


@dataclass(frozen=True)
class Built:
    """An sdist made from a copy of the checkout, the wheel made from that sdist, and the wheel unpacked."""

    sdist: Path
    wheel: Path
    site: Path


def run(*command: str | Path, cwd: Path) -> str:
    """Return what the command prints; fail with all of it where it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} exited with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(kind: str, source: Path, out: Path) -> Path:
    """Build the ``sdist`` or ``wheel`` of the tree `source` with the installed setuptools, so without a network."""
    run(sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", out, source, cwd=out)
    (path,) = (p for p in out.iterdir() if p.name.endswith({"sdist": ".tar.gz", "wheel": ".whl"}[kind]))
    return path


@pytest.fixture(scope="module")
def built(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    work = tmp_path_factory.mktemp("packaging")
    checkout, out, site = work / "checkout", work / "out", work / "site"
    checkout.mkdir()
    out.mkdir()
    for name in NEEDED:
        shutil.copy(project / name, checkout)
    for name in SOURCES:
        shutil.copytree(project / name, checkout / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    sdist = build("sdist", checkout, out)
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from Python 3.11.4 on
        archive.extractall(work)
    unpacked = work / sdist.name.removesuffix(".tar.gz")
    stale = unpacked / "build" / "lib" / "zsr_sim" / STALE  # as an earlier build of older sources leaves it
    stale.parent.mkdir(parents=True)
    stale.touch()
    wheel = build("wheel", unpacked, out)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return Built(sdist, wheel, site)


def python(code: str, built: Built, cwd: Path) -> str:
    """Run `code` with the unpacked wheel before all else on the path, and nothing of the checkout (-I)."""
    prelude = f"import sys; sys.path.insert(0, {str(built.site)!r}); "
    return run(sys.executable, "-I", "-c", prelude + code, cwd=cwd)


def test_links_are_relative(project: Path) -> None:
    assert {name: str((project / "zsr_sim" / name).readlink()) for name in ("envs", "agents")} == {
        "envs": "../envs",
        "agents": "../agents",
    }


def test_the_wheel_installs_nothing_but_zsr_sim(built: Built) -> None:
    names = {path.name for path in built.site.iterdir()}
    assert names == {"zsr_sim", f"{built.wheel.name.split('-py3')[0]}.dist-info"}


def test_the_wheel_holds_every_module_and_data_file_and_no_other(project: Path, built: Built) -> None:
    package = project / "zsr_sim"
    folders = [package, package / "envs", package / "agents"]  # rglob does not go through links
    expected = {
        path.relative_to(package).as_posix()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    installed = built.site / "zsr_sim"
    packed = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}
    assert packed == expected
    assert {"py.typed", "envs/__init__.py", "agents/__init__.py"} <= packed
    assert {"datasets/builtin/films.csv", "datasets/builtin/books.csv"} <= packed


def test_a_stale_build_folder_smuggles_nothing_in(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        assert not [name for name in archive.namelist() if name.endswith(STALE)]


def test_the_sdist_holds_what_a_build_needs_and_no_tests(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        links = [member.name for member in archive if member.issym() or member.islnk()]
    assert set(NEEDED) <= names
    assert not links
    assert not [name for name in names if name.startswith("tests/")]


def test_the_wheel_works_from_an_unrelated_folder(built: Built, tmp_path: Path) -> None:
    code = "from zsr_sim import agents, envs, errors; print(*(m.__file__ for m in (agents, envs, errors)), sep='\\n')"
    files = python(code, built, cwd=tmp_path).split()
    expected = ["agents/__init__.py", "envs/__init__.py", "errors.py"]
    assert files == [str(built.site / "zsr_sim" / name) for name in expected]


def test_the_metadata_says_version_licence_and_command(project: Path, built: Built) -> None:
    info = next(built.site.glob("*.dist-info"))
    metadata = (info / "METADATA").read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.+)"$', (project / "zsr_sim/__init__.py").read_text(encoding="utf-8"), re.M)
    assert version is not None
    assert f"\nVersion: {version[1]}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "zsr-sim = zsr_sim.cli:main" in (info / "entry_points.txt").read_text(encoding="utf-8")


def test_constraints_pin_every_declared_requirement(project: Path) -> None:
    declared = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = declared["dependencies"] + [r for extra in declared["optional-dependencies"].values() for r in extra]
    lines = (project / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert all(re.fullmatch(r"[\w.]+", version) for version in pins.values())  # one release each, no local label

    def normal(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    wanted = {normal(re.split(r"[\[<>=]", requirement)[0]) for requirement in requirements} - {"zsr-sim"}
    assert wanted <= {normal(name) for name in pins}
