"""Which cells a grid has, and what it refuses."""

import pytest

from paretune.bench.running.choices import named_preferences
from paretune.bench.running.grid import Grid, agent_arguments, slug

TOY = "paretune/TokenConvex-v0"


def grid(**arguments):
    """A small grid with these arguments over its own."""
    given = {"envs": [TOY], "agents": ["rloo"], "weightings": ["fixed", "saw"], "seeds": 2, "steps": 3}
    return Grid(**(given | arguments))


def test_a_grid_is_the_product_of_its_parts():
    cells = grid(
        envs=[TOY, "paretune/TokenConcave-v0"],
        agents=["rloo", "grpo"],
        preferences={"left": [1, 0], "right": [0, 1], "middle": "equal"},
    ).cells()
    assert len(cells) == 2 * 2 * 2 * 3 * 2
    assert len({cell.name for cell in cells}) == len(cells)
    assert cells[0].name == "TokenConvex-v0/rloo/fixed/left/seed-0"
    assert cells[0].setup["preference"] == [1.0, 0.0]
    assert cells[4].setup["preference"] is None


def test_settings_come_from_the_grid_then_the_environment_then_the_agent():
    one = grid(
        envs=[{"id": TOY, "settings": {"lr": 0.2, "group_size": 4}, "steps": 7, "policy": "gru"}],
        agents=[{"name": "rloo", "settings": {"group_size": 2}}],
        weightings=["fixed"],
        settings={"lr": 0.1, "gamma": 0.9},
    ).cells()[1]
    assert one.setup["settings"] == {"lr": 0.2, "group_size": 2, "gamma": 0.9, "seed": 1}
    assert (one.setup["steps"], one.setup["policy"]) == (7, "gru")
    arguments = agent_arguments(one.setup)
    assert arguments["lr"] == 0.2
    assert arguments["keep"] == "fronts"


def test_arms_of_a_comparison_share_everything_but_weighting_and_preference():
    cells = grid(weightings=["fixed", {"name": "hypervolume", "options": {"exact_paper": True}}]).cells()
    own = ("weighting", "weighting_options", "preference")
    shared = [{name: value for name, value in cell.setup.items() if name not in own} for cell in cells]
    assert shared[0] == shared[2]
    assert shared[1] == shared[3]


def test_a_weighting_may_be_trained_for_some_preferences_only():
    cells = grid(
        weightings=["fixed", {"name": "gradient", "preferences": ["middle"]}],
        preferences={"left": [1, 0], "middle": "equal"},
        seeds=1,
    ).cells()
    assert [(cell.weighting, cell.preference) for cell in cells] == [
        ("fixed", "left"),
        ("fixed", "middle"),
        ("gradient", "middle"),
    ]


def test_an_environment_may_have_preferences_of_its_own():
    three = {"id": "paretune/TokenThree-v0", "preferences": [[2, 1, 1]]}
    labels = [cell.preference for cell in grid(envs=[TOY, three], seeds=1).cells()]
    assert labels == ["equal", "equal", "0.5 0.25 0.25", "0.5 0.25 0.25"]


def test_seeds_may_be_listed():
    assert [cell.seed for cell in grid(seeds=[7, 3], weightings=["fixed"]).cells()] == [7, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weightings": ["fixd"], "baseline": "fixd"}, "unknown weighting 'fixd'"),
        ({"weightings": ["saw"]}, "unknown baseline 'fixed'"),
        ({"agents": ["ppo"]}, "unknown agent 'ppo'"),
        ({"envs": ["paretune/TokenConvexe-v0"]}, "TokenConvex"),
        ({"preferences": [[1, 1, 1]]}, "preference: must have 2 weights"),
        ({"settings": {"lr": -1}}, "lr: must be None or a finite number above 0, got -1"),
        ({"settings": {"learning_rate": 1}}, "unknown setting 'learning_rate'"),
        ({"settings": {"group_size": 1}}, "group_size: must be at least 2 for rloo"),
        ({"steps": 0}, "steps: must be a whole number of at least 1, got 0"),
        ({"test_prompts": 0}, "test_prompts: must be None or a whole number of at least 1, got 0"),
        ({"weightings": ["fixed", {"name": "saw", "options": {"epsilon": -1}}]}, "epsilon: must be"),
        ({"weightings": ["fixed", {"name": "saw", "settings": {"clip": 2}}]}, "clip: must be"),
    ],
)
def test_what_does_not_fit_is_found_before_anything_runs(arguments, message):
    with pytest.raises(ValueError, match=message):
        grid(**arguments).check()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weightings": "fixed"}, "weightings: must be a list, got 'fixed'"),
        ({"weightings": [{"label": "x"}]}, "weightings: must be names, or tables with the key 'name'"),
        (
            {"weightings": [{"name": "saw", "option": {}}]},
            "'saw': unknown key 'option': did you mean 'options'",
        ),
        (
            {"envs": [{"id": TOY, "steps": "many"}]},
            "envs: .* steps: must be None or a whole number .*, got 'many'",
        ),
        ({"weightings": ["fixed", "fixed"]}, "label: .* got two arms called 'TokenConvex-v0/rloo/fixed/equal/seed-0'"),
        ({"weightings": ["fixed", {"name": "saw", "label": "Fixed"}]}, "two arms called"),
        ({"weightings": [{"name": "saw", "preferences": ["lft"]}], "preferences": {"left": [1, 0]}}, "did you mean"),
        ({"seeds": 0}, "seeds: must be"),
        ({"seeds": [1, 1]}, "seeds: must be"),
        ({"settings": {"seed": 3}}, "settings: must not have 'seed'"),
        ({"settings": {"keep": "all"}}, "settings: must not have 'keep'"),
        ({"preferences": [[1, -1]]}, "preferences: "),
        ({"preferences": ["even"]}, 'must be lists of weights, or "equal"'),
        ({"preferences": []}, "preferences: must be a table or a list"),
    ],
)
def test_what_is_no_grid_is_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        grid(**arguments).cells()


def test_names_of_cells_are_safe_as_folders():
    for label in ("../..", "a/b", "", "..", "x" * 5, "ü ß", "a\\b", "\0"):
        assert slug(label).strip(".")
        assert not set(slug(label)) & set("/\\\0 ")


def test_preferences_are_normalised_and_named_by_their_weights():
    assert named_preferences([[2, 1, 1], "equal"]) == {"0.5 0.25 0.25": [0.5, 0.25, 0.25], "equal": None}
