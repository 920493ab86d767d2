"""LoRA: what is trained, the reference without a second model, checkpoints, and a user's own adapters."""

from __future__ import annotations

import builtins
import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from paretune.agents import GRPO, Agent, LanguageModelPolicy, TransformersSampler, load_policy
from paretune.agents.policies.adapters import adapter_off
from paretune.cli.main import main
from paretune.envs import Prompt
from tests.agents.letters import LearningEnv, LettersEnv, letter_tokenizer, random_policy
from tests.agents.test_resume import StopAt, assert_same_run

SETTINGS = {"prompts_per_step": 3, "group_size": 4, "lr": 3e-2, "eval_every": 3, "checkpoint_every": 2}
SETTINGS |= {"pictures": False, "max_new_tokens": 8}


@pytest.fixture
def base(tmp_path) -> str:
    """The folder of a base model."""
    random_policy().save(tmp_path / "base")
    return str(tmp_path / "base")


def own_adapter(seed: int = 0, **options) -> LanguageModelPolicy:
    """A user's own adapted model; its base has no name."""
    torch.manual_seed(seed)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], **options)
    return LanguageModelPolicy(get_peft_model(random_policy().model, config), letter_tokenizer())


def some_tokens(policy: LanguageModelPolicy):
    prompts = [Prompt.from_question(text) for text in ("a", "bcd", "dd dd")]
    return TransformersSampler(policy=policy, max_new_tokens=6).sample(prompts, np.random.default_rng(0)).tokens


def test_adapters_alone_are_trained_and_learn(base):
    agent = GRPO(LettersEnv(), base, lora_rank=2, **SETTINGS)
    names = agent.policy.trained_parameters()
    assert names and all("lora_" in name for name in names)
    assert {name.split(".")[-4] for name in names} == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    }
    frozen = {name: p.clone() for name, p in agent.policy.model.named_parameters() if name not in names}
    result = agent.train(12)
    assert result.performance_after.sum() > result.performance_before.sum() + 0.1
    assert all(torch.equal(p, frozen[name]) for name, p in agent.policy.model.named_parameters() if name in frozen)


def test_rank_alpha_and_targets_are_those_of_the_settings(base):
    policy = GRPO(LettersEnv(), base, lora_rank=3, lora_alpha=12, lora_targets="v_proj", **SETTINGS).policy
    layers = [m for name, m in policy.model.named_modules() if name.endswith("v_proj")]
    assert [layer.scaling["default"] for layer in layers] == [4.0, 4.0]
    assert [layer.lora_A["default"].weight.shape[0] for layer in layers] == [3, 3]
    assert all(".v_proj." in name for name in policy.trained_parameters())


def test_the_seed_decides_the_adapters(base):
    def first(seed: int) -> torch.Tensor:
        model = GRPO(LettersEnv(), base, lora_rank=2, seed=seed, **SETTINGS).policy.model
        return torch.cat([p.flatten() for name, p in model.named_parameters() if "lora_A" in name])

    assert torch.equal(first(1), first(1)) and not torch.equal(first(1), first(2))


@pytest.mark.numeric
def test_the_reference_is_the_policy_with_the_adapter_off(base):
    agent = GRPO(LettersEnv(), base, lora_rank=2, kl=0.1, **SETTINGS)
    reference = agent.updater.reference
    assert reference.model is agent.policy.model
    assert agent.train(3).steps == 3
    tokens = some_tokens(random_policy())
    with torch.no_grad():
        torch.testing.assert_close(reference.log_probs(tokens), random_policy().log_probs(tokens), atol=1e-6, rtol=0)
        assert (agent.policy.log_probs(tokens) - reference.log_probs(tokens)).abs().max() > 1e-3
    assert agent.updater.trained and all(parameter.requires_grad for parameter in agent.updater.trained)


def test_an_adapter_that_had_learned_before_is_part_of_the_reference():
    policy = own_adapter(init_lora_weights=False)
    reference = policy.reference()
    assert reference.model is not policy.model
    tokens = some_tokens(random_policy())
    before = policy.log_probs(tokens).detach()
    assert (before - random_policy().log_probs(tokens)).abs().max() > 1e-3
    assert torch.equal(reference.log_probs(tokens), before)


def test_what_was_frozen_stays_frozen_when_the_adapter_is_off_for_a_while():
    policy = own_adapter()
    kept = [name for name in policy.trained_parameters() if "lora_B" in name]
    policy.train_only(kept)
    with adapter_off(policy.model):
        pass
    assert policy.trained_parameters() == kept


@pytest.mark.parametrize("kl", [0.0, 0.05])
def test_a_run_resumes_bit_for_bit(tmp_path, base, kl):
    def made(name: str) -> Agent:
        return GRPO(LearningEnv(), base, "gradient", out=tmp_path / name, lora_rank=2, kl=kl, **SETTINGS)

    made("whole").train(5)
    cut = made("cut")
    cut.recorder._display = StopAt(3, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert cut.train(5).interrupted
    loaded = Agent.load(tmp_path / "cut", env=LearningEnv())
    assert loaded.settings.lora_rank == 2 and loaded.policy.name == base
    loaded.train(2)
    assert_same_run(tmp_path / "whole", tmp_path / "cut", "adapter_model.safetensors")
    assert not (tmp_path / "cut" / "reference").exists()


def test_a_checkpoint_holds_the_adapter_alone_and_peft_reads_it(tmp_path, base):
    agent = GRPO(LettersEnv(), base, out=tmp_path / "run", lora_rank=2, **SETTINGS)
    agent.train(2)
    folder = tmp_path / "run" / "checkpoints" / "step-000002"
    assert not list(folder.rglob("model*.safetensors"))
    assert all("lora_" in name for name in load_file(folder / "adapter_model.safetensors"))
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == base
    tokens = some_tokens(random_policy())
    expected = agent.policy.log_probs(tokens).detach()
    assert torch.equal(load_policy(folder, "cpu").log_probs(tokens), expected)
    theirs = LanguageModelPolicy(PeftModel.from_pretrained(random_policy().model, folder), letter_tokenizer())
    assert torch.equal(theirs.log_probs(tokens), expected)


def test_training_goes_on_from_the_adapter_of_another_run(tmp_path, base):
    GRPO(LettersEnv(), base, out=tmp_path / "first", lora_rank=2, **SETTINGS).train(2)
    folder = tmp_path / "first" / "checkpoints" / "step-000002"
    second = GRPO(LettersEnv(), folder, out=tmp_path / "second", kl=0.1, **SETTINGS)
    assert second.train(2).steps == 2
    again = Agent.load(tmp_path / "second", env=LettersEnv())
    assert again.train(1).steps == 3
    with pytest.raises(ValueError, match="lora_rank: must be left out where the policy is"):
        GRPO(LettersEnv(), folder, lora_rank=4, **SETTINGS)


def test_a_base_that_changed_is_found(tmp_path, base):
    GRPO(LettersEnv(), base, out=tmp_path / "run", lora_rank=2, **SETTINGS).train(1)
    random_policy(seed=1).save(base)
    with pytest.raises(ValueError, match=r"trained on the weights that '.*base' has now, got .* trained on others"):
        Agent.load(tmp_path / "run", env=LettersEnv())


def test_a_users_own_adapter_trains_and_its_base_is_saved_with_it(tmp_path):
    agent = GRPO(LettersEnv(), own_adapter(), out=tmp_path / "run", kl=0.1, **SETTINGS)
    agent.train(2)
    folder = tmp_path / "run" / "checkpoints" / "step-000002"
    assert {path.name for path in folder.glob("*")} >= {"adapter_model.safetensors", "base"}
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    loaded = Agent.load(tmp_path / "copy", env=LettersEnv())
    tokens = some_tokens(random_policy())
    assert torch.equal(loaded.policy.log_probs(tokens), agent.policy.log_probs(tokens))
    loaded.train(2)
    agent.train(2)
    assert torch.equal(loaded.policy.log_probs(tokens), agent.policy.log_probs(tokens))


def test_adapters_that_could_not_be_loaded_again_are_refused_before_training(tmp_path):
    policy = own_adapter()
    policy.model.add_adapter("second", LoraConfig(r=2, target_modules=["q_proj"]))
    with pytest.raises(ValueError, match=r"one adapter called 'default'.*got .*'second' \(LORA\)"):
        GRPO(LettersEnv(), policy, out=tmp_path / "run", **SETTINGS)


def test_adapters_of_another_kind_have_a_copy_for_reference():
    model = get_peft_model(
        random_policy().model, IA3Config(target_modules=["v_proj"], feedforward_modules=[], task_type="CAUSAL_LM")
    )
    policy = LanguageModelPolicy(model, letter_tokenizer())
    assert policy.reference().model is not policy.model
    assert GRPO(LettersEnv(), policy, kl=0.1, **SETTINGS).train(1).steps == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora_rank": 0}, "lora_rank: must be None or a whole number of at least 1, got 0"),
        ({"lora_alpha": 4}, "lora_alpha, lora_targets: must come with lora_rank"),
        ({"lora_rank": 2, "lora_targets": ["nothing"]}, r"lora_targets: must be names of linear layers.*'nothing'"),
    ],
)
def test_settings_that_cannot_be(base, settings, message):
    with pytest.raises(ValueError, match=message):
        GRPO(LettersEnv(), base, **SETTINGS | settings)


def test_a_policy_object_has_the_adapters_it_has():
    with pytest.raises(ValueError, match=r"lora_rank: must be left out where the policy is an object.*has none"):
        GRPO(LettersEnv(), random_policy(), lora_rank=2, **SETTINGS)
    with pytest.raises(ValueError, match="lora_rank: must be None for a network"):
        GRPO("paretune/TokenConvex-v0", "mlp", lora_rank=2)


def test_without_peft_the_extra_is_named(base, monkeypatch):
    plain = builtins.__import__

    def no_peft(name, *args, **kwargs):
        if name == "peft":
            raise ImportError(name)
        return plain(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_peft)
    with pytest.raises(ValueError, match=r'need the extra "peft": pip install "paretune\[peft\]"'):
        GRPO(LettersEnv(), base, lora_rank=2, **SETTINGS)


def test_the_command_line_trains_resumes_and_evaluates_adapters_of_the_embedded_model(tmp_path, capsys):
    words = ["train", "--quiet", "--out", str(tmp_path / "run"), "--weighting", "fixed", "--prompts-per-step", "2"]
    words += ["--group-size", "2", "--eval-prompts", "2", "--lora-rank", "2", "--lora-targets", "q_proj", "v_proj"]
    words += ["--gradient-checkpointing", "--precision", "bfloat16", "--max-new-tokens", "12", "--no-pictures"]
    assert main([*words, "--steps", "1"]) == 0
    assert main(["train", "--quiet", "--resume", "--steps", "2", "--out", str(tmp_path / "run")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--prompts", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 2
    foundation = json.loads((tmp_path / "run" / "checkpoints" / "step-000002" / "adapter_base.json").read_text())
    assert foundation["base"] == "tiny-math"
