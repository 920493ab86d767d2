from __future__ import annotations

import pytest

from paretune.cli.main import main
from paretune.envs import EnvInfo, list_envs

Capture = pytest.CaptureFixture[str]


def test_all_environments_are_listed_with_objectives_and_summary(capsys: Capture) -> None:
    assert main(["envs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["id", "objectives", "summary"]
    for info, line in zip(list_envs(), lines[1:], strict=True):
        assert line.split()[0] == info.id
        assert ", ".join(info.objectives) in line and line.endswith(info.summary)


@pytest.mark.parametrize("info", list_envs(), ids=lambda info: info.id)
def test_every_option_is_listed_with_default_and_meaning(info: EnvInfo, capsys: Capture) -> None:
    assert main(["envs", info.id]) == 0
    head, _, table = capsys.readouterr().out.partition("\n\n")
    assert head.splitlines()[1] == "objectives: " + ", ".join(info.objectives)
    rows = table.splitlines()[1:]
    assert [row.split()[0] for row in rows] == list(info.options)
    assert all(len(row.split()) > 3 for row in rows), "an option without a meaning in the docstring"


def test_what_is_scored_is_explained(capsys: Capture) -> None:
    assert main(["envs", "paretune/Arithmetic-v0"]) == 0
    explained = capsys.readouterr().out.splitlines()[2:5]
    assert [line.split()[0] for line in explained] == ["accuracy", "conciseness", "clarity"]
    assert explained[1].endswith(
        "1 - tokens / max_tokens, and 0 for longer responses and for those that do not answer."
    )


def test_an_unknown_environment_is_answered_with_the_nearest(capsys: Capture) -> None:
    assert main(["envs", "paretune/Arithmetik-v0"]) == 2
    assert "did you mean 'paretune/Arithmetic-v0'" in capsys.readouterr().err


def test_an_environment_of_another_package_is_told_apart_from_a_typing_mistake(capsys: Capture) -> None:
    assert main(["envs", "CartPole-v1"]) == 2
    assert "got 'CartPole-v1', which comes from another package" in capsys.readouterr().err
