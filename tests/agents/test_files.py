"""Files that are there in full or not at all, and what a full disk leaves behind."""

from __future__ import annotations

import pytest

from paretune.agents.files import atomic_path, remove, write_json


def test_a_file_appears_when_the_block_ends(tmp_path):
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("folder", [False, True])
def test_a_failure_leaves_the_old_contents(tmp_path, folder):
    old = tmp_path / "a"
    if folder:
        old.mkdir()
        (old / "part").write_text("old")
    else:
        old.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(old) as temporary:
        if folder:
            temporary.mkdir()
        else:
            temporary.write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert ((old / "part") if folder else old).read_text() == "old"


def test_what_a_killed_process_left_is_replaced(tmp_path):
    (tmp_path / ".a.tmp").mkdir()
    (tmp_path / ".a.tmp" / "half").write_text("half")
    with atomic_path(tmp_path / "a") as temporary:
        temporary.mkdir()
        (temporary / "whole").write_text("whole")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["whole"]


def test_json_must_be_readable_by_others(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_removing_nothing_is_fine(tmp_path):
    remove(tmp_path / "nothing")
    assert not list(tmp_path.iterdir())
