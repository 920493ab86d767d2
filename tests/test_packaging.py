from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
CODE_FOLDERS = sorted(path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without network from a copy of the sources (so that no earlier build's files slip in)."""
    source = tmp_path_factory.mktemp("source")
    for folder in CODE_FOLDERS:
        shutil.copytree(folder, source / folder.name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(target.glob("paretune-*.whl"))


def test_every_file_of_the_code_folders_is_in_the_wheel(wheel: Path) -> None:
    expected = {
        f"paretune/{path.relative_to(ROOT).as_posix()}"
        for folder in CODE_FOLDERS
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert {f"paretune/{name}/py.typed" for name in ("agents", "cli", "envs", "integrations", "weighting")} < expected
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected


def test_the_wheel_has_licence_and_entry_point(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    texts = {name.partition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name}
    assert archive.read(texts["licenses/LICENSE"]).decode() == (ROOT / "LICENSE").read_text()
    entry_points = configparser.ConfigParser()
    entry_points.read_string(archive.read(texts["entry_points.txt"]).decode())
    assert dict(entry_points["console_scripts"]) == {"paretune": "paretune.cli.main:main"}
    assert "License-Expression: Apache-2.0" in archive.read(texts["METADATA"]).decode()


def test_the_pinned_versions_fit_every_requirement_of_base_and_dev() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))
    for text in project["dependencies"] + project["optional-dependencies"]["dev"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[requirement.name]), text
