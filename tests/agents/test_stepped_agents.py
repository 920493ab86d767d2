"""The agents in stepped environments: MO-Gymnasium's own and ours."""

from __future__ import annotations

import json
from threading import Lock
from typing import ClassVar

import gymnasium as gym
import mo_gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from mo_gymnasium.wrappers import LinearReward, MONormalizeReward

from paretune.agents import AGENTS, GRPO, RLOO, Agent, NetworkConfig, NetworkPolicy
from paretune.agents.display import SilentDisplay
from paretune.cli.main import main
from paretune.envs import StyleEnv
from paretune.weighting import GradientWeighting
from tests.agents.letters import LettersEnv, random_policy

QUICK = {"prompts_per_step": 2, "group_size": 4, "eval_every": 2, "eval_prompts": 2, "pictures": False}
ENVS = {
    "deep-sea-treasure-v0": [-1, -101],
    "deep-sea-treasure-concave-v0": [-1, -101],
    "fruit-tree-v0": [0] * 6,
    "resource-gathering-v0": [-1, -1, -1],
    "four-room-v0": [-1, -1, -1],
    "breakable-bottles-v0": [-101, -1, -101],
    "paretune/TokenConvex-v0": [-10] * 2,
    "paretune/TokenThree-v0": [-10] * 3,
    "paretune/TokenDeceptive-v0": [-10] * 3,
}


@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize("policy", ["mlp", "gru"])
@pytest.mark.parametrize("weighting", ["hypervolume", "gradient"])
def test_every_environment_trains(env, policy, weighting):
    made = GRPO(env, policy, weighting, reference=ENVS[env], **QUICK)
    result = made.train(2)
    assert result.steps == 2 and np.isfinite(result.front).all()
    assert made.archive.hypervolume() > 0
    assert not torch.equal(  # the policy has changed
        next(made.policy.model.parameters()), next(GRPO(env, policy, **QUICK).policy.model.parameters())
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", AGENTS.values(), ids=AGENTS)
def test_every_agent_learns_the_best_compromise(kind, seed):
    env = StyleEnv(8, 6, shape="convex")
    made = kind(env, "mlp", "fixed", prompts_per_step=4, group_size=8, seed=seed, lr=1e-2, entropy=0.05)
    made.train(60)
    assert made.performances[0].mean() < 0 < made.evaluate("test").mean()
    assert made.evaluate("test").mean() > 0.95 * np.mean(env.pareto_front(), axis=1).max()


class Recall(gym.Env):
    """Shows a bit, then nothing, and pays for naming it at last (twice as much for a one)."""

    observation_space = Discrete(3)
    action_space = Discrete(2)
    reward_space = Box(0, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.bit, self.time = int(self.np_random.integers(2)), 0
        return self.bit, {}

    def step(self, action):
        self.time += 1
        right = self.time == 3 and action == self.bit
        return 2, np.array([right, right * (1 + self.bit) / 2], dtype=np.float32), self.time == 3, False, {}


@pytest.mark.parametrize(("policy", "low", "high"), [("gru", 0.95, 1.0), ("mlp", 0.0, 0.8)])
def test_a_memory_knows_what_the_observation_does_not_tell(policy, low, high):
    made = RLOO(Recall(), policy, "fixed", prompts_per_step=8, group_size=8, lr=1e-2)
    made.train(60)
    assert low <= made.evaluate("test")[0] <= high


class Bargain(gym.Env):
    """Action 0 ends the episode; 1 pays both objectives, and the next step pays one of them at the other's cost."""

    observation_space = Discrete(2)
    action_space = Discrete(2)
    reward_space = Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return 0, {}

    def step(self, action):
        self.time += 1
        if self.time == 2:
            return 1, np.array([0.5, -0.5]), True, False, {}
        return 1, np.full(2, float(action)), action == 0, False, {}


def test_the_conflict_is_that_of_decisions_and_not_of_padding():
    made = RLOO(Bargain(), prompts_per_step=1, group_size=2, weighting="fixed", lr=1e-9)
    lines = [made._train_step(1e-9) for _ in range(10)]
    for line in lines:  # advantages (1.5, 0.5) and (-1.5, -0.5) at first, then (0.5, -0.5); else all zero
        assert line["advantage_conflict"] == pytest.approx(0.2 if line["env_steps"] == 3 else 0.0)
    assert {line["env_steps"] for line in lines} == {2, 3, 4}


@pytest.mark.numeric
def test_the_same_seed_gives_the_same_run():
    def weights(seed: int) -> torch.Tensor:
        made = GRPO("deep-sea-treasure-v0", "gru", "gradient", seed=seed, **QUICK)
        made.train(3)
        return torch.cat([parameter.detach().ravel() for parameter in made.policy.model.parameters()])

    assert torch.equal(weights(0), weights(0)) and not torch.equal(weights(0), weights(1))


@pytest.mark.parametrize("policy", ["mlp", "gru"])
def test_a_resumed_run_is_the_uninterrupted_one(policy, tmp_path):
    def start(folder: str) -> Agent:
        options = {"lr": 1e-2, "kl": 0.01, "entropy": 0.01, "epochs": 2, "minibatches": 2, "checkpoint_every": 2}
        return GRPO("resource-gathering-v0", policy, "gradient", out=tmp_path / folder, **QUICK, **options)

    start("whole").train(4)
    start("parts").train(2)
    Agent.load(tmp_path / "parts").train(2)
    whole, parts = ((tmp_path / name / "checkpoints" / "step-000004") for name in ("whole", "parts"))
    for file in ("model.safetensors", "optimizer.safetensors", "network.json"):
        assert (whole / file).read_bytes() == (parts / file).read_bytes()
    lines = [
        [json.loads(line) | {"times": None} for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "parts")
    ]
    assert lines[0] == lines[1] and lines[0][-1]["env_steps"] > 0


@pytest.mark.numeric
def test_the_weights_of_the_gradient_guided_method_come_from_single_decisions():
    made = RLOO(StyleEnv(4, 5), "mlp", GradientWeighting(2), gradient_responses=1000, loss_mean="token", **QUICK)
    outcome = made.task.act([100, 100, 200, 200], np.random.default_rng(0))
    credit_BTK = made.task.credit(outcome, made.task.returns(outcome))
    gram, _ = made.gradients.compare(outcome.decisions, credit_BTK, np.arange(4))

    gradients = []
    for credit_BT in torch.as_tensor(credit_BTK.astype(np.float32)).moveaxis(2, 0):
        loss = (made.policy.log_probs(outcome.decisions) * credit_BT).sum() / outcome.decisions.mask.sum()
        by_parameter = torch.autograd.grad(loss, made.policy.model.parameters())
        gradients.append(torch.cat([gradient.ravel() for gradient in by_parameter]).double())
    expected = torch.stack(gradients) @ torch.stack(gradients).T
    np.testing.assert_allclose(gram, expected, rtol=1e-4)


@pytest.mark.numeric
def test_episodes_that_are_judged_as_a_whole_are_compared_in_every_mode():
    grams = []
    for mode in ("exact", "backward"):
        made = RLOO(StyleEnv(4, 5), "mlp", "gradient", credit="episode", gradient_mode=mode, **QUICK)
        outcome = made.task.act([100, 100, 200, 200], np.random.default_rng(0))
        credit_B1K = made.task.credit(outcome, made.task.returns(outcome))
        grams.append(made.gradients.compare(outcome.decisions, credit_B1K, np.arange(4))[0])
    np.testing.assert_allclose(*grams, rtol=1e-4)


def test_networks_with_a_memory_need_a_backward_pass_for_each_objective():
    assert RLOO(StyleEnv(4, 5), "gru", "gradient", **QUICK).gradients.analyzer.mode == "backward"
    with pytest.raises(ValueError, match=r"got GRU with 'memory.weight_ih_l0'"):
        RLOO(StyleEnv(4, 5), "gru", "gradient", gradient_mode="exact", **QUICK)


def test_wrapped_environments_keep_their_wrappers():
    env = MONormalizeReward(mo_gymnasium.make("deep-sea-treasure-v0"), idx=1)
    made = GRPO(env, weighting="fixed", reference=[0, -1000], **QUICK)
    made.train(1)
    plain = GRPO("deep-sea-treasure-v0", weighting="fixed", **QUICK)
    assert made.objectives == plain.objectives == ("objective_0", "objective_1")
    assert made.performances[0][1] != plain.assess("validation").mean[1]


def test_the_reference_point_reaches_archive_and_weighting():
    made = GRPO("deep-sea-treasure-v0", weighting="hypervolume", reference=[0, -50], **QUICK)
    assert made.archive.reference.tolist() == made.weighting.archive.reference.tolist() == [0, -50]
    own = GRPO(
        "deep-sea-treasure-v0", weighting="hypervolume", reference=[0, -50], weighting_options={"reference": (0, -9)}
    )
    assert own.weighting.archive.reference.tolist() == [0, -9]


def test_a_scalar_reward_is_refused_at_the_first_step():
    env = LinearReward(mo_gymnasium.make("deep-sea-treasure-v0"))
    with pytest.raises(ValueError, match=r"env: must return rewards of shape \(2,\), one number for each objective"):
        GRPO(env, weighting="fixed", **QUICK).train(1)


@pytest.mark.parametrize("objectives", [3, {"x", "y"}, ["x"], [1, 2], None])
def test_objectives_without_proper_names_are_numbered(objectives):
    env = Recall()
    env.objectives = objectives
    assert GRPO(env, **QUICK).objectives == ("objective_0", "objective_1")


@pytest.mark.parametrize("kind", ["wrapped", "other time limit"])
def test_a_run_in_an_environment_that_no_id_makes_again_needs_it(kind, tmp_path):
    def make():
        if kind == "wrapped":
            return MONormalizeReward(mo_gymnasium.make("deep-sea-treasure-v0"), idx=1)
        return mo_gymnasium.make("deep-sea-treasure-v0", max_episode_steps=7)

    GRPO(make(), weighting="fixed", out=tmp_path / "run", **QUICK).train(1)
    with pytest.raises(ValueError, match=r"must be given to load\(\) for a run that was given an environment object"):
        Agent.load(tmp_path / "run")
    assert Agent.load(tmp_path / "run", env=make()).train(1).steps == 2


class Locked(Recall):
    """Holds what cannot be copied."""

    def __init__(self):
        self.lock = Lock()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": "water-reservoir-v0"}, "env: must have text or a Discrete space for actions, got Box"),
        ({"env": "deep-sea-treasure-v0", "policy": "tiny-math"}, "unknown policy of a stepped environment 'tiny-math'"),
        ({"env": "deep-sea-treasure-v0", "policy": random_policy()}, "must be a NetworkPolicy .* LanguageModelPolicy"),
        ({"env": LettersEnv(), "policy": NetworkPolicy(NetworkConfig(kind="mlp", features=2, actions=2))},
         "must be a LanguageModelPolicy"),
        ({"env": "deep-sea-treasure-v0", "policy": NetworkPolicy(NetworkConfig(kind="mlp", features=2, actions=2))},
         "must read 24 features and choose among 4 actions"),
        ({"env": "deep-sea-treasure-v0", "policy_options": {"hiden": [3]}}, "did you mean 'hidden'"),
        ({"env": "deep-sea-treasure-v0", "policy_options": {"hidden": [0]}}, r"hidden: must be a list of widths"),
        ({"env": "deep-sea-treasure-v0", "reference": [0]}, "reference: must have 2 numbers"),
        ({"env": "deep-sea-treasure-v0", "gamma": 1.5}, "gamma: must be a number from 0 to 1, got 1.5"),
        ({"env": LettersEnv(), "policy": random_policy(), "gamma": 0.9}, "gamma: must be 1"),
        ({"env": "CartPole-v1"}, "must have a vector reward"),
        ({"env": Locked()}, r"env: must be one that copy\.deepcopy can copy"),
        ({"env": "deep-sea-treasure-v0", "top_p": 0.5}, r"top_p: must be 1\.0 for a network policy, got 0\.5"),
        ({"env": "deep-sea-treasure-v0", "stop": ["x"]}, r"stop: must be \(\) for a network policy"),
        ({"env": "deep-sea-treasure-v0", "precision": "bfloat16"}, "precision: must be 'float32' for a network policy"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GRPO(**arguments)


def test_the_command_line_trains_resumes_and_evaluates(tmp_path, capsys):
    out = str(tmp_path / "run")
    words = ["train", "--env", "deep-sea-treasure-v0", "--policy-options", "hidden=[16]", "--reference", "0", "-50"]
    words += ["--eval-every", "1", "--out", out, "--quiet"]
    assert main([*words, "--steps", "2"]) == 0
    assert main(["train", "--resume", "--out", out, "--steps", "3", "--quiet"]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["policy"] == "mlp" and config["policy_options"] == {"hidden": [16]} and config["steps"] == 3
    assert main(["evaluate", out, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["objectives"]) == {"objective_0", "objective_1"}
    assert (tmp_path / "run" / "front.png").stat().st_size > 0


def test_a_start_below_the_reference_point_is_told():
    class Messages(SilentDisplay):
        texts: ClassVar[list[str]] = []

        def message(self, text):
            self.texts.append(text)

    GRPO("deep-sea-treasure-v0", weighting="fixed", display=Messages(), **QUICK).train(1)
    assert Messages.texts == [
        "objective_1 starts at -100, below the reference point's 0: until it is above, there is no hypervolume "
        "(setting reference)"
    ]
