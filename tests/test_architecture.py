"""The house: which way imports run, how full rooms are, what they say of themselves, and what modules are called."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = sorted(path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests")
ROOMS = sorted(path.parent for folder in FOLDERS for path in folder.rglob("__init__.py"))
MOST_MODULES = 16
ROLES = {"__init__", "__main__", "base", "catalog"}
"""Names that every room may have: its interface, and what turns names into parts."""
ADAPTERS = ROOT / "integrations"
"""Its rooms are to other systems what each is to its own, so that their modules have the same names."""
TEXTS = {".py", ".md", ".toml"}
OLD_WORDS = {"CHANGELOG.md"}
"""Files that tell of what was."""


def imports_are_sound(root: Path, folder: Path) -> bool:
    """Whether import-linter keeps the contracts of pyproject.toml for the code folders in `root`."""
    folder.mkdir()
    (folder / "paretune").symlink_to(root)
    command = [
        sys.executable,
        "-c",
        "import sys; from importlinter.cli import lint_imports_command as c; sys.exit(c())",
    ]
    done = subprocess.run(
        [*command, "--no-cache", "--no-logo", str(ROOT / "pyproject.toml")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "Contracts:" in done.stdout, done.stdout + done.stderr
    return done.returncode == 0


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code folders, to plant something in."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in FOLDERS:
        shutil.copytree(folder, copy / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_imports_run_one_way(tmp_path: Path) -> None:
    assert imports_are_sound(ROOT, tmp_path / "path")


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("weighting/archive.py", "paretune.agents.seeds"),  # from a lower floor to a higher one
        ("weighting/base.py", "paretune.envs.suggest"),  # between neighbours on a floor
        ("agents/seeds.py", "paretune.agents.agent"),  # a circle of modules
        ("agents/sequences/packing.py", "paretune.agents.updates.losses"),  # a circle of rooms, of different modules
        ("weighting/strategies/rays.py", "paretune.weighting.strategies.rays_hypervolume"),  # within a room
        ("weighting/strategies/fixed.py", "paretune.weighting.catalog"),  # of a room and what stands above it
    ],
)
def test_an_import_that_runs_the_other_way_is_found(tmp_path: Path, copied: Path, module: str, imported: str) -> None:
    path = copied / module
    before = path.read_text(encoding="utf-8")
    planted = f"\n\ndef planted() -> None:\n    import {imported}\n"
    try:
        path.write_text(before + planted, encoding="utf-8")
        assert not imports_are_sound(copied, tmp_path / "path")
    finally:
        path.write_text(before, encoding="utf-8")


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(ROOT).as_posix())
def test_a_room_is_not_too_full_and_says_what_lives_there(room: Path) -> None:
    assert len(_modules(room)) <= MOST_MODULES
    tree = ast.parse((room / "__init__.py").read_text(encoding="utf-8"))
    said = ast.get_docstring(tree)
    assert said and re.search(r"^[A-Z].{20,}", said.splitlines()[0]), "no sentence"
    names = {target.id for node in tree.body for target in _targets(node)}
    assert "__all__" in names


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.relative_to(ROOT).as_posix())
def test_no_module_is_the_plural_of_its_neighbour(room: Path) -> None:
    names = {path.stem for path in _modules(room)} | {path.parent.name for path in room.glob("*/__init__.py")}
    assert [name for name in names if {f"{name}s", f"{name}es", re.sub("y$", "ies", name)} & (names - {name})] == []


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != ADAPTERS], ids=lambda folder: folder.name)
def test_a_name_is_used_once_in_a_folder(folder: Path) -> None:
    number = Counter(path.stem for room in ROOMS if room.is_relative_to(folder) for path in _modules(room))
    assert [name for name, times in number.items() if times > 1 and name not in ROLES] == []


def test_every_module_that_is_named_anywhere_is_there() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a clone, whose files git lists")
    paths = [ROOT / name for name in listed.stdout.splitlines() if name not in OLD_WORDS]
    folders = "|".join(folder.name for folder in FOLDERS)
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in paths
        if path.suffix in TEXTS and path.is_file()
        for name in re.findall(rf"paretune\.(?:{folders})(?:\.[a-z]\w*)*", path.read_text(encoding="utf-8"))
        if not _leads_somewhere(name.split("."))
    }
    assert missing == set()


def _modules(room: Path) -> list[Path]:
    return [path for path in room.glob("*.py") if path.stem != "__init__"]


def _targets(node: ast.stmt) -> list[ast.Name]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target for target in targets if isinstance(target, ast.Name)]


def _leads_somewhere(parts: list[str]) -> bool:
    """Whether a dotted name is that of a module, or of what a module says something about."""
    folder = ROOT
    for n, part in enumerate(parts[1:], start=1):
        if (folder / part).is_dir():
            folder /= part
            continue
        module = folder / f"{part}.py"
        rest = parts[n + 1 :]
        if not module.is_file():
            module, rest = folder / "__init__.py", parts[n:]
        return not rest or (module.is_file() and re.search(rf"\b{rest[0]}\b", module.read_text("utf-8")) is not None)
    return True
