from __future__ import annotations

import pytest

from paretune.cli.main import main
from paretune.weighting import WEIGHTINGS
from paretune.weighting.catalog import option_names

Capture = pytest.CaptureFixture[str]


def test_all_strategies_are_listed_with_when_to_use_them(capsys: Capture) -> None:
    assert main(["weightings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for strategy, line in zip(WEIGHTINGS.values(), lines[1:], strict=True):
        assert line.split()[0] == strategy.name
        assert strategy.when in line and strategy.when.endswith(".")
        assert line.split()[-1] == strategy.paper if strategy.paper else line.endswith(strategy.when)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_every_option_is_listed_with_default_and_meaning(name: str, capsys: Capture) -> None:
    assert main(["weightings", name]) == 0
    head, _, table = capsys.readouterr().out.partition("\n\noption")
    assert head.startswith(f"{name}: ") and WEIGHTINGS[name].when in head
    rows = table.splitlines()[1:]
    assert [row.split()[0] for row in rows] == option_names(name)
    assert all(len(row.split()) > 6 for row in rows), "an option without a meaning below its field"


def test_a_strategys_own_option_is_explained_as_its_own(capsys: Capture) -> None:
    main(["weightings", "gradient"])
    assert "Pull towards the initial weights" in capsys.readouterr().out
    main(["weightings", "fixed"])
    assert "Share of the preference that is mixed" in capsys.readouterr().out


def test_an_unknown_strategy_is_answered_with_the_nearest(capsys: Capture) -> None:
    assert main(["weightings", "gradiant"]) == 2
    assert "did you mean 'gradient'" in capsys.readouterr().err
