"""The golden runs: small, with fixed seeds, and together on the paths that training takes in one process.

All of them go through public names, so that they record a package before and after its modules have moved.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from paretune.agents import Agent, Sweep, agent_class, replay
from paretune.bench import Bench, Grid, LocalProcesses
from paretune.envs import TokenEnv, list_envs, make_env
from paretune.weighting import WEIGHTINGS, make_weighting

from .recording import Record, agent_record, command_line, digest, run_record, score, walked

Run = Callable[[Path], Record]
"""Does a run in an empty folder, and returns its record."""

WRITTEN = Path(__file__).with_name("written")
"""Run folders of two steps that version 0.1.0 wrote; their config.json says of what."""

TEXT, STEPPED, THREE = "paretune/Arithmetic-v0", "paretune/TokenConcave-v0", "paretune/TokenThree-v0"
SETTINGS: Mapping[str, Any] = {
    "prompts_per_step": 2,
    "group_size": 4,
    "eval_prompts": 4,
    "eval_every": 1,
    "checkpoint_every": 2,
    "gradient_responses": 4,
    "pictures": False,
    "device": "cpu",
}
OF_TEXT: dict[str, Any] = {"env": TEXT, "lr": 1e-3, "max_new_tokens": 36, "seed": 1}
OF_STEPS: dict[str, Any] = {"env": STEPPED, "lr": 3e-2, "reference": [-3.0, -3.0], "eval_sampled": True}
OF_THREE = OF_STEPS | {"env": THREE, "reference": [-4.0, -4.0, -4.0]}
OF_CONFLICT = OF_STEPS | {"env": "paretune/TokenDeceptive-v0", "reference": [-4.0, -4.0, -4.0]}
NEEDED: Mapping[str, Mapping[str, Any]] = {
    "lagrangian": {"thresholds": [0.6, None, None]},
    "schedule": {"points": [[1, 1, 0, 0], [3, 0, 1, 1]]},
}
"""Options without which a strategy cannot be made."""


def make_agent(kind: str, weighting: str, folder: Path | None, arguments: Mapping[str, Any]) -> Agent:
    """Make the agent of a run; its environment and settings are those of SETTINGS and `arguments`."""
    return agent_class(kind)(weighting=weighting, out=folder, **{**SETTINGS, **arguments})


def trained(kind: str, weighting: str, folder: Path, *, steps: int = 3, **arguments: Any) -> Record:
    """Train an agent and record its run folder, its weighting, and what it answers to test prompts."""
    agent = make_agent(kind, weighting, folder / "run", arguments)
    agent.train(steps)
    return agent_record(agent, folder / "run")


def resumed(kind: str, weighting: str, folder: Path, **arguments: Any) -> Record:
    """Train two steps, load the run, and train two more."""
    make_agent(kind, weighting, folder / "run", arguments).train(2)
    agent = Agent.load(folder / "run")
    agent.train(2)
    return agent_record(agent, folder / "run")


def continued(name: str, folder: Path) -> Record:
    """Go on for two steps with a copy of a run that was written long ago, replay it, and draw it."""
    shutil.copytree(WRITTEN / name, folder / "run")
    agent = Agent.load(folder / "run")
    before = agent.assess("validation").rewards.tolist()
    agent.train(2)
    with chdir(folder):
        drawn = command_line(["plot", "run"])
    pictures = {path.name: path.stat().st_size > 1000 for path in sorted((folder / "run").glob("*.png"))}
    strategies = (agent.weighting.name, "saw", "mgda")
    return {
        "before": before,
        **agent_record(agent, folder / "run"),
        "replays": {strategy: shown_weights(folder / "run", strategy) for strategy in strategies},
        "drawn": {**drawn, "pictures": pictures},
    }


def shown_weights(folder: Path, strategy: str) -> Record:
    """Replay a strategy on a run."""
    shown = replay(folder, strategy, weighting_options=NEEDED.get(strategy))
    return {"weights": shown.weights.tolist(), "scale": shown.scale.tolist(), "own": shown.own_weights.tolist()}


def replayed(folder: Path) -> Record:
    """Show every strategy what one run has seen."""
    make_agent("grpo", "fixed", folder / "run", {**OF_TEXT, "record_gram": True}).train(4)
    return {name: shown_weights(folder / "run", name) for name in WEIGHTINGS}


def swept(folder: Path) -> Record:
    """Train for three preferences and one between them."""
    arguments = {**SETTINGS, **OF_STEPS}
    sweep = Sweep(
        agent_class("rloo"), arguments.pop("env"), steps=2, preferences=3, refine=1, out=folder / "sweep", **arguments
    )
    result = sweep.run()
    return {
        "preferences": result.preferences.tolist(),
        "performances": result.performances.tolist(),
        "archive": result.archive.state_dict(),
        "share_of_front": result.share_of_front,
        **{path.name: run_record(path) for path in sorted((folder / "sweep").glob("run-*"))},
    }


def benched(folder: Path) -> Record:
    """Run a small grid, and record its outcomes and its summary without what depends on the machine's speed."""
    settings = {name: SETTINGS[name] for name in ("prompts_per_step", "group_size", "eval_prompts", "eval_every")}
    grid = Grid(envs=[STEPPED], agents=["rloo"], weightings=["fixed", "hypervolume"], seeds=2, steps=2)
    grid.settings = {**settings, "lr": 1e-2}
    bench = Bench(grid, folder / "bench")
    assert bench.run(LocalProcesses(1), threads=1), bench.failures()
    outcomes = [asdict(outcome) for outcome in bench.outcomes()]
    for outcome in outcomes:
        outcome["cost"] = {name: outcome["cost"][name] for name in ("updates", "responses", "tokens")}
        for name in [name for name in outcome["measures"] if "second" in name]:
            del outcome["measures"][name]
    return {cell.name: outcome for cell, outcome in zip(bench.cells, outcomes, strict=True)}


def of_trl(kind: str, weighting: str, folder: Path, **settings: Any) -> Record:
    """Train with one of our TRL trainers."""
    from tests.integrations.small_trl import OURS, make_trainer

    own = {"weighting": make_weighting(weighting, 3), "eval_on_start": True, "eval_strategy": "steps", "eval_steps": 1}
    return trainer_record(make_trainer(kind, folder, OURS[kind], **own, **settings))


def with_callback(weighting: str, folder: Path) -> Record:
    """Train with TRL's own trainer, whose reward weights our callback sets."""
    from paretune.integrations.trl import DynamicWeightingCallback
    from tests.integrations.small_trl import make_trainer

    trainer = make_trainer("grpo", folder)
    DynamicWeightingCallback(make_weighting(weighting, 3)).attach(trainer)
    return trainer_record(trainer)


def trainer_record(trainer: Any) -> Record:
    """Train with a TRL trainer, and record its logs without times, and its parameters."""
    trainer.train()
    logs = [
        {name: value for name, value in log.items() if not name.endswith(("runtime", "per_second", "time"))}
        for log in trainer.state.log_history
    ]
    parameters = {"model": digest(trainer.model.state_dict())}
    return {**{f"log {number}": log for number, log in enumerate(logs)}, "parameters": parameters}


def commanded(folder: Path) -> Record:
    """Have the command line train, evaluate, replay and plot, and record what it prints and the run folder."""
    small = ["--prompts-per-step", "2", "--group-size", "4", "--eval-prompts", "4", "--lr", "1e-2"]
    small += ["--reference", "-4", "-4", "-4"]
    commands = [
        ["train", "--env", THREE, "--agent", "rloo", "--weighting", "gradient", "--steps", "2", "--out", "run", *small],
        ["train", "--resume", "--steps", "3", "--out", "run", "--quiet"],
        ["evaluate", "run", "--split", "test"],
        ["replay", "run", "--weighting", "saw", "random"],
        ["plot", "run"],
    ]
    printed = {}
    with chdir(folder):
        for words in commands:
            printed[" ".join(words)] = command_line(words)
    return {"printed": printed, **run_record(folder / "run")}


def environments(folder: Path) -> Record:
    """Record what the environments give for fixed prompts, texts and actions, and their exact fronts."""
    env = make_env(TEXT)
    prompts = env.sample_prompts(6, np.random.default_rng(0))  # type: ignore[attr-defined]
    texts = ["", "7", "The answer is 12.", "3+4=7\n7+5=12\n#### 12", "\\boxed{3}", "1/2 " * 9]
    record: Record = {"Arithmetic-v0": {"prompts": [asdict(prompt) for prompt in prompts]}}
    record["Arithmetic-v0"]["scores"] = score(env, prompts, texts)
    for info in list_envs():
        if info.id == "paretune/Math-v0":
            continue  # needs a file
        env = make_env(info.id)
        if isinstance(env.unwrapped, TokenEnv):
            record[info.id] = {"front": [p.tolist() for p in env.unwrapped.pareto_front(gamma=0.9)], **walked(env)}
    return record


def text(kind: str, weighting: str, **arguments: Any) -> Run:
    """A run of the embedded language model on arithmetic."""
    return partial(trained, kind, weighting, **{**OF_TEXT, **arguments})


def steps(kind: str, weighting: str, **arguments: Any) -> Run:
    """A run of a small network on a stepped environment."""
    return partial(trained, kind, weighting, **{**OF_STEPS, **arguments})


KINDS, STRATEGIES = ("reinforce", "rloo", "grpo"), ("fixed", "hypervolume", "gradient", "saw")
QUICK: Mapping[str, Any] = {"steps": 1, "eval_prompts": 2}
RUNS: dict[str, Run] = {
    "quick/text": text("grpo", "gradient", order="normalise_first", seed=0, **QUICK),
    "quick/text kl": text("rloo", "hypervolume", kl=0.1, entropy=0.01, epochs=2, minibatches=2, **QUICK),
    "quick/text lora": text("grpo", "saw", lora_rank=2, record_gram=True, **QUICK),
    "quick/steps": steps("grpo", "gradient", steps=2),
    "quick/steps gru": steps("reinforce", "hypervolume", steps=2, policy="gru", policy_options={"hidden": [8]}),
    "quick/written network": partial(continued, "network"),
    "quick/written adapter": partial(continued, "adapter"),
    **{f"text/{kind}/{name}": text(kind, name, steps=2) for kind in KINDS for name in STRATEGIES},
    **{f"steps/{kind}/{name}": steps(kind, name) for kind in KINDS for name in STRATEGIES},
    **{
        f"steps/every/{name}": steps("rloo", name, steps=4, weighting_options=NEEDED.get(name), **OF_CONFLICT)
        for name in WEIGHTINGS
        if name not in STRATEGIES
    },
    "text/normalise first": text("grpo", "hypervolume", order="normalise_first"),
    "text/kl": text("grpo", "fixed", kl=0.1, entropy=0.01),
    "text/lora": text("grpo", "gradient", lora_rank=4, kl=0.1),
    "text/epochs": text("grpo", "gradient", epochs=2, minibatches=3, clip=0.1, schedule="cosine", warmup=1),
    "text/sketch": text("grpo", "gradient", gradient_mode="sketch", gradient_width=8),
    "text/backward": text("rloo", "gradient", gradient_mode="backward", gradient_every=2),
    "text/whole prompts": text("grpo", "gradient", share_prompts=False),
    "text/all responses": text("grpo", "gradient", gradient_responses=8, gradient_reuse=False),
    "text/last layers": text("grpo", "gradient", gradient_parameters="last:1"),
    "text/gram": text("rloo", "fixed", record_gram=True),
    "text/small passes": text(
        "grpo", "gradient", tokens_per_batch=60, logits_at_once=400, sample_batch=3, gradient_checkpointing=True
    ),
    "text/sampler": text("reinforce", "saw", temperature=0.8, top_p=0.9, eval_sampled=True, importance_cap=2.0),
    "text/constant loss": text("grpo", "fixed", loss_mean="constant", max_grad_norm=0.0, weight_decay=0.1),
    "text/resumed": partial(resumed, "grpo", "hypervolume", **OF_TEXT, kl=0.1),
    "text/modified": text("grpo", "saw", weighting_options={"floor": 0.1, "average": 0.5, "warmup": 2}),
    "text/letters": text("rloo", "hypervolume", env="paretune/TokenText-v0"),
    "steps/normalise first": steps("grpo", "gradient", order="normalise_first", **OF_THREE),
    "steps/gru": steps("rloo", "gradient", policy="gru", policy_options={"hidden": [8]}, gamma=0.9),
    "steps/episodes": steps("grpo", "hypervolume", credit="episode", keep="front", **OF_THREE),
    "steps/kl": steps("grpo", "fixed", kl=0.1, entropy=0.1, epochs=2, minibatches=2),
    "steps/resumed": partial(resumed, "rloo", "gradient", **OF_STEPS, gradient_every=2, seed=2),
    "steps/treasure": steps("rloo", "fixed", env="deep-sea-treasure-v0", reference=[0.0, -50.0], max_new_tokens=8),
    "environments": environments,
    "replay": replayed,
    "sweep": swept,
    "command line": commanded,
    "bench": benched,
    "trl/callback": partial(with_callback, "saw"),
    "trl/grpo": partial(of_trl, "grpo", "gradient"),
    "trl/rloo": partial(
        of_trl, "rloo", "hypervolume", multi_objective_aggregation="normalize_then_sum", num_iterations=2, beta=0.1
    ),
}
