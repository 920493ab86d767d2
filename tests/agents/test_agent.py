"""The agent as users meet it: it learns, it records, it refuses what cannot work."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from paretune.agents import (
    AGENTS,
    GRPO,
    REINFORCE,
    RLOO,
    Agent,
    LanguageModelPolicy,
    NetworkConfig,
    NetworkPolicy,
    RunFolder,
)
from paretune.weighting import FixedWeighting, GradientWeighting, HypervolumeWeighting
from tests.agents.letters import LearningEnv, LettersEnv, random_policy

QUICK = {"prompts_per_step": 4, "group_size": 4, "lr": 3e-2, "eval_every": 2, "checkpoint_every": 2, "pictures": False}


def agent(kind: type[Agent] = GRPO, weighting="fixed", **options) -> Agent:
    return kind(LettersEnv(), random_policy(), weighting, **{**QUICK, **options})


@pytest.mark.numeric
@pytest.mark.parametrize("kind", AGENTS.values(), ids=AGENTS)
@pytest.mark.parametrize("preferred", [0, 1])
def test_every_algorithm_learns_what_the_weights_ask_for(kind, preferred):
    result = agent(kind, preference=[[0.9, 0.1], [0.1, 0.9]][preferred], group_size=8, eval_every=15).train(15)
    assert result.performance_before[preferred] < 0.5
    assert result.performance_after[preferred] > 0.8
    assert result.performance_after[1 - preferred] < 0.2


@pytest.mark.parametrize("order", ["weigh_first", "normalise_first"])
@pytest.mark.parametrize("kind", AGENTS.values(), ids=AGENTS)
@pytest.mark.parametrize("weighting", ["fixed", "hypervolume", "gradient"])
def test_every_combination_runs_and_is_finite(kind, order, weighting):
    made = agent(kind, weighting, order=order)
    result = made.train(3)
    assert result.steps == 3 and np.isfinite(result.performance_after).all()
    assert sorted(made.performances) == [0, 2, 3]
    assert result.front.shape[1] == 2 and result.hypervolume_after >= result.hypervolume_before >= 0
    assert result.folder is None and not result.interrupted


@pytest.mark.parametrize("order", ["weigh_first", "normalise_first"])
@pytest.mark.parametrize("kind", AGENTS.values(), ids=AGENTS)
@pytest.mark.parametrize("exact_paper", [False, True])
def test_the_multiplier_reaches_the_update_unless_the_published_order_cancels_it(kind, order, exact_paper):
    def advantages(scale: float) -> np.ndarray:
        weighting = HypervolumeWeighting([0.5, 0.5], exact_paper=exact_paper)
        made = agent(kind, weighting, order=order)
        made._validate({"times": {}})
        weighting.load_state_dict(weighting.state_dict() | {"meta_reward": scale})
        assert weighting.scale == pytest.approx(scale)
        seen: list[np.ndarray] = []
        made.updater.update = lambda tokens, advantages, *_: seen.append(advantages) or {}
        made._train_step(1e-3)
        return seen[0]

    ratio = np.linalg.norm(advantages(2.0)) / np.linalg.norm(advantages(1.0))
    cancelled = exact_paper and (kind is GRPO or order == "normalise_first")
    assert ratio == pytest.approx(1.0 if cancelled else 2.0, rel=1e-3)


def test_gradient_guided_weights_move_and_stay_on_the_simplex():
    made = agent(RLOO, GradientWeighting(2, shrink=False))
    made.train(4)
    weights = made.weighting.weights
    assert weights.sum() == pytest.approx(1) and not np.allclose(weights, 0.5)


@pytest.mark.parametrize("choice", ["last:1", "name:lm_head"])
def test_gradients_of_chosen_parameters_and_responses(choice):
    made = agent(RLOO, GradientWeighting(2, shrink=False), gradient_parameters=choice, gradient_responses=5)
    made.train(2)
    assert not np.allclose(made.weighting.weights, 0.5)


@pytest.mark.numeric
@pytest.mark.parametrize("kind", [RLOO, GRPO])
def test_weights_under_sketches_are_near_those_of_the_exact_matrices(kind):
    alike = {"gradient_parts": 2, "gradient_responses": 1000}  # whose defaults go by the mode

    def weights(mode: str) -> np.ndarray:
        # small steps: other rounding in the updates, which exact ones take from the analysis, must not change a token
        made = agent(kind, "gradient", gradient_mode=mode, gradient_width=8, lr=1e-4, **alike)
        made.train(6)
        return made.weighting.weights

    exact = weights("exact")
    np.testing.assert_allclose(weights("backward"), exact, atol=1e-4)
    np.testing.assert_allclose(weights("sketch"), exact, atol=0.02)
    assert (weights("sketch") != exact).any()


def test_between_two_comparisons_of_gradients_the_last_one_holds(monkeypatch):
    made = agent(RLOO, GradientWeighting(2), gradient_every=3)
    computed, seen = [], []
    compare, move = made.gradients.compare, made.weighting.on_gram_estimate

    def counted(*args):
        computed.append(compare(*args)[0])
        return computed[-1], None

    monkeypatch.setattr(made.gradients, "compare", counted)
    monkeypatch.setattr(made.weighting, "on_gram_estimate", lambda gram, lr: seen.append(gram) or move(gram, lr))
    made.train(5)
    assert len(computed) == 2 and not np.array_equal(*computed)
    assert [gram is seen[0] for gram in seen] == [True, True, True, False, False]


@pytest.mark.parametrize("weighting", ["gradient", "fixed"])
def test_one_prompt_cannot_be_split(weighting):
    options = {"prompts_per_step": 1, "record_gram": weighting == "fixed"}
    with pytest.raises(ValueError, match=r"prompts_per_step: must be at least 2 where .*got 1; gradient_estimate"):
        agent(RLOO, weighting, **options)
    with pytest.raises(ValueError, match=r"gradient_responses: must be at least 2, one for each part of .*got 1"):
        agent(RLOO, "gradient", gradient_responses=1)
    agent(RLOO, weighting, gradient_estimate="batch", **options).train(1)
    agent(RLOO, "fixed", prompts_per_step=1)


def test_a_batch_with_itself_is_what_the_paper_has(tmp_path):
    made = agent(RLOO, GradientWeighting(2), gradient_estimate="batch", out=tmp_path / "run")
    made.train(1)
    gram = made.gradients.last[1]
    assert isinstance(gram, np.ndarray) and np.linalg.eigvalsh(gram).min() > 0
    assert "influence_errors" not in RunFolder(tmp_path / "run").metrics()[-1]


def test_influences_come_with_their_errors(tmp_path):
    made = agent(RLOO, GradientWeighting(2), out=tmp_path / "run", prompts_per_step=4)
    made.train(2)
    line = RunFolder(tmp_path / "run").metrics()[-1]
    assert line["influences"].keys() == line["influence_errors"].keys()
    assert all(error > 0 for error in line["influence_errors"].values()) and 0 <= line["influence_signal"] < 1


def test_a_run_folder_tells_what_happened(tmp_path):
    made = agent(GRPO, "hypervolume", out=tmp_path / "run", keep="all", pictures=True)
    made.train(4)
    run = RunFolder(tmp_path / "run")
    lines = run.metrics()
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4]
    assert [("validation" in line) for line in lines] == [True, False, True, False, True]
    last = lines[-1]
    assert set(last) >= {"rewards", "weights", "scale", "meta_reward", "hypervolume", "advantage_conflict"}
    assert set(last) >= {"zero_variance_groups", "tokens", "lr", "loss", "grad_norm", "kl", "clip_fraction", "counts"}
    assert last["log_prob_gap"] <= last["log_prob_gap_max"] < 1e-4
    assert set(last["times"]) == {"sample", "score", "update", "validate"}
    assert set(last["rewards"]) == {"a", "b"} == set(last["weights"]) == set(last["validation"])
    assert 0 <= last["rewards"]["a"]["min"] <= last["rewards"]["a"]["mean"] <= last["rewards"]["a"]["max"] <= 1
    assert sum(last["weights"].values()) == pytest.approx(last["scale"])
    hypervolumes = [line["hypervolume"] for line in lines]
    assert hypervolumes == sorted(hypervolumes)
    assert [path.name for path in run.checkpoints()] == ["step-000000", "step-000002", "step-000004"]
    assert (run.path / "front.png").stat().st_size > 10_000 < (run.path / "weights.png").stat().st_size
    assert json.loads((run.path / "versions.json").read_text())["paretune"]
    assert run.config()["steps"] == 4


def test_influences_are_logged_by_objective(tmp_path):
    agent(GRPO, "gradient", out=tmp_path / "run").train(1)
    assert set(RunFolder(tmp_path / "run").metrics()[-1]["influences"]) == {"a", "b"}


@pytest.mark.parametrize("keep", ["last", "front", "fronts"])
def test_checkpoints_that_stay(tmp_path, keep):
    made = agent(GRPO, out=tmp_path / "run", keep=keep, preference=[0.9, 0.1])
    made.train(6)
    front = set(made.archive.tags)
    wanted = {"last": set(), "front": front, "fronts": front | {0, *made.trained_front()}}
    expected = {"step-000006"} | {f"step-{step:06d}" for step in wanted[keep]}
    assert {path.name for path in RunFolder(tmp_path / "run").checkpoints()} == expected


@pytest.mark.numeric
def test_a_rerun_is_equal_bit_for_bit_and_another_seed_is_not():
    def trained(seed: int) -> torch.Tensor:
        made = agent(GRPO, "gradient", seed=seed)
        made.train(3)
        return made.policy.model.lm_head.weight.detach()

    first, again, other = trained(0), trained(0), trained(1)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_saved_agent_loads_and_goes_on(tmp_path):
    made = agent(RLOO, GradientWeighting(2, floor=0.05))
    made.train(2)
    made.save(tmp_path / "saved")
    loaded = Agent.load(tmp_path / "saved", env=LettersEnv())
    assert type(loaded) is RLOO and loaded.config == made.config and loaded.step == 2
    np.testing.assert_array_equal(loaded.evaluate("test"), made.evaluate("test"))
    np.testing.assert_array_equal(loaded.train(2).performance_after, made.train(2).performance_after)
    with pytest.raises(ValueError, match="already holds another run"):
        made.save(tmp_path / "saved")
    with pytest.raises(ValueError, match="'rloo'"):
        GRPO.load(tmp_path / "saved", env=LettersEnv())
    with pytest.raises(ValueError, match=r"env: must be given to load\(\)"):
        Agent.load(tmp_path / "saved")


def test_evaluation_has_standard_errors_and_responses():
    evaluation = agent().assess("test", prompts=5, sampled=True)
    assert evaluation.rewards.shape == (5, 2) and len(evaluation.responses) == 5
    np.testing.assert_allclose(evaluation.standard_error, evaluation.rewards.std(axis=0, ddof=1) / np.sqrt(5))
    assert agent().assess("test", prompts=1).summary()["a"]["standard_error"] is None


def test_a_reference_of_ones_own_is_what_the_kl_term_compares_with():
    initial = random_policy(seed=1)
    made = agent(GRPO, kl=0.1, initial=initial)
    assert made.updater.reference is initial
    assert not any(parameter.requires_grad for parameter in initial.model.parameters())
    before = [parameter.clone() for parameter in initial.model.parameters()]
    made.train(1)
    assert all(torch.equal(x, y) for x, y in zip(before, initial.model.parameters(), strict=True))


@pytest.mark.parametrize("options", [{}, {"lora_rank": 2}], ids=["weights", "adapters"])
def test_a_run_goes_on_with_the_reference_of_ones_own(tmp_path, options):
    initial = random_policy(seed=1)
    random_policy().save(tmp_path / "base")
    options |= {"kl": 0.1, "initial": initial, "out": tmp_path / "run"}
    GRPO(LettersEnv(), tmp_path / "base", "fixed", **QUICK, **options).train(1)
    loaded = Agent.load(tmp_path / "run", env=LettersEnv())
    assert torch.equal(loaded.updater.reference.model.lm_head.weight, initial.model.lm_head.weight)


def test_a_reference_that_is_of_no_use_is_refused():
    with pytest.raises(ValueError, match="initial: must be left out where no KL term compares with it"):
        agent(GRPO, initial=random_policy())
    network = NetworkPolicy(NetworkConfig(kind="mlp", features=2, actions=2, hidden=(2,)), 0, torch.device("cpu"))
    with pytest.raises(ValueError, match="initial: must be a LanguageModelPolicy, as the policy is, got"):
        agent(GRPO, kl=0.1, initial=network)


def test_a_reference_is_kept_for_the_kl_term(tmp_path):
    made = agent(GRPO, kl=0.1, out=tmp_path / "run")
    made.train(2)
    line = RunFolder(tmp_path / "run").metrics()[-1]
    assert line["kl"] > 0
    loaded = Agent.load(tmp_path / "run", env=LettersEnv())
    initial = random_policy().model.lm_head.weight
    assert (loaded.updater.reference.model.lm_head.weight == initial).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_size": 1}, "group_size: must be at least 2 for grpo"),
        ({"lr": 0.0}, "lr: must be None or a finite number above 0, got 0.0"),
        ({"temperature": -1.0}, "temperature: must be"),
        ({"top_p": 0.0}, "top_p: must be a number above 0 and at most 1"),
        ({"prompts_per_step": 0}, "prompts_per_step: must be a whole number of at least 1"),
        ({"temperature": None}, "temperature: must be a finite number above 0, got None"),
        ({"lr": "1e-3"}, "lr: must be None or a finite number above 0, got '1e-3'"),
        ({"stop": ["a", ""]}, r"stop: must be a list \(each text that is not empty\), got \['a', ''\]"),
        ({"minibatches": 99}, r"minibatches: must be at most prompts_per_step \* group_size = 16, got 99"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin': did you mean 'cosine'"),
        ({"grup_size": 4}, "unknown setting 'grup_size': did you mean 'group_size'"),
        ({"preference": [1, 1, 1]}, "must have 2 weights, one for each of a, b, got 3"),
        ({"preference": [-1, 1]}, "preference"),
        ({"preference": [0, 0]}, "preference"),
        ({"weighting": "hypervolum"}, "did you mean 'hypervolume'"),
        ({"gradient_parameters": "last:9"}, "last:9"),
        ({"gradient_mode": "exat"}, "unknown gradient_mode 'exat': did you mean 'exact'"),
        ({"gradient_every": 0}, "gradient_every: must be a whole number of at least 1, got 0"),
        ({"device": "abacus"}, "device: must be auto, cpu"),
        ({"env_options": {"x": 1}}, "env_options: must be empty"),
    ],
)
def test_bad_settings_are_named_before_anything_starts(options, message):
    with pytest.raises(ValueError, match=message):
        GRPO(LettersEnv(), **{"policy": "tiny-math", **QUICK, **options})


def test_one_response_cannot_be_compared():
    with pytest.raises(ValueError, match="prompts_per_step: must be at least 2 with group_size=1"):
        agent(REINFORCE, prompts_per_step=1, group_size=1)


def test_parts_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ValueError, match="must have at least one prompt in its validation split"):
        GRPO(LettersEnv(prompts=0), random_policy(), **QUICK)
    with pytest.raises(ValueError, match="context of 8 tokens"):
        GRPO(LettersEnv(), random_policy(context=8), **QUICK)
    with pytest.raises(ValueError, match="weighting is an object"):
        agent(weighting=FixedWeighting(2), preference=[1, 1])
    with pytest.raises(ValueError, match="steps: must be a whole number of at least 1, got 0"):
        agent().train(0)
    agent(out=tmp_path / "run").train(1)
    with pytest.raises(ValueError, match=r"already holds another run; go on with that one \(--resume;"):
        agent(out=tmp_path / "run")
    agent(out=tmp_path / "run", overwrite=True).train(2)
    assert RunFolder(tmp_path / "run").config()["steps"] == 2


def test_a_refused_start_costs_nothing_already_there(tmp_path):
    agent(out=tmp_path / "run").train(1)
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    with pytest.raises(ValueError, match="tracker: must be none or"):
        agent(out=tmp_path / "run", overwrite=True, tracker="trackio")
    first, second = agent(out=tmp_path / "new"), agent(out=tmp_path / "new")
    first.train(1)
    with pytest.raises(ValueError, match="already holds another run"):
        second.train(1)
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before


def test_evaluating_training_prompts_teaches_objectives_nothing():
    made = GRPO(LearningEnv(), random_policy(), **QUICK)
    made.train(1)
    before = made.env.state_dict()
    evaluation = made.assess("train")
    assert made.env.state_dict() == before
    assert evaluation.rewards[:, 0].max() < 1  # the absolute form


def test_a_policy_object_keeps_its_device_and_precision(tmp_path):
    policy = random_policy()
    policy.precision = torch.bfloat16
    made = GRPO(LettersEnv(), policy, out=tmp_path / "run", **QUICK)
    made.train(1)
    loaded = Agent.load(tmp_path / "run", env=LettersEnv())
    assert loaded.policy.precision == torch.bfloat16
    assert (loaded.settings.device, loaded.settings.precision) == ("cpu", "bfloat16")


def test_the_gradients_of_adapters_alone_can_be_compared():
    policy = random_policy()
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"])
    adapted = LanguageModelPolicy(get_peft_model(policy.model, config), policy.tokenizer)
    made = GRPO(LettersEnv(), adapted, "gradient", gradient_parameters="lora", **QUICK)
    assert made.train(1).steps == 1
    assert all("lora_" in name for name in made.policy.trained_parameters())
    assert all("lora_" in name for name in made.gradients.analyzer.parameters)


def test_a_saved_agent_takes_its_metrics_along(tmp_path):
    made = agent(out=tmp_path / "run")
    made.train(2)
    made.save(tmp_path / "copy")
    assert RunFolder(tmp_path / "copy").metrics() == RunFolder(tmp_path / "run").metrics()


def test_wrappers_that_batches_would_pass_by_are_refused():
    from mo_gymnasium.wrappers import LinearReward

    with pytest.raises(ValueError, match="without further wrappers"):
        GRPO(LinearReward(LettersEnv()), random_policy(), **QUICK)


def test_whole_numbers_serve_as_settings_that_are_numbers():
    made = agent(temperature=2, lr=1, kl=0)
    assert all(isinstance(getattr(made.settings, name), float) for name in ("temperature", "lr", "kl"))
    made.train(1)
