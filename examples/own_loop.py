"""Any loop of yours: a weighting, the gradient analyzer and a Pareto archive without our agents.

    python examples/own_loop.py

A policy writes eight letters. One objective pays letters late in the alphabet, the other pays
wide jumps between neighbours: they pull in different directions. The five places where paretune comes in are numbered.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from paretune.weighting import GradientAnalyzer, GradientWeighting, ParetoArchive, Split

LETTERS, LENGTH, GROUPS, GROUP, LR = 26, 8, 4, 16, 0.005
START = LETTERS  # what stands before the first letter


def write(policy: nn.Module, n: int) -> torch.Tensor:
    """Return n sequences (n, LENGTH) of letters drawn from the policy."""
    rows = torch.full((n, 1), START)
    for _ in range(LENGTH):
        rows = torch.cat([rows, torch.multinomial(policy(rows[:, -1]).softmax(-1), 1)], dim=1)
    return rows[:, 1:]


def judge(letters: torch.Tensor) -> torch.Tensor:
    """Return the rewards (n, 2) of sequences, in [0, 1]."""
    late, jumps = letters.float().mean(1), letters.diff(dim=1).abs().float().mean(1)
    return torch.stack([late, jumps], dim=1) / (LETTERS - 1)


def train(steps: int) -> ParetoArchive:
    """Train a policy for some steps, and return the archive of its performances."""
    torch.manual_seed(0)
    policy = nn.Sequential(nn.Embedding(LETTERS + 1, 32), nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, LETTERS))
    optimizer = torch.optim.Adam(policy.parameters(), lr=LR)
    weighting, archive = GradientWeighting(2, floor=0.1), ParetoArchive(2)  # 1: make them
    analyzer = GradientAnalyzer(policy, mode="backward")  # "exact" is for decoders, which see a sequence as one row
    split = Split.of_groups(GROUPS, GROUP, GROUPS, np.random.default_rng(0))  # whole groups, in four parts
    for step in range(steps):
        letters = write(policy, GROUPS * GROUP)
        before = torch.cat([torch.full((len(letters), 1), START), letters[:, :-1]], dim=1)
        rewards = judge(letters).view(GROUPS, GROUP, 2)
        advantages = ((rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-6)).flatten(0, 1)
        weighting.on_rewards(rewards.numpy())  # 2: rewards (prompts, responses to each, objectives)
        if weighting.needs_gram:  # 3: the Gram matrix of the objectives' gradients, from products of different parts
            with analyzer.watch():
                scores = policy(before).log_softmax(-1).gather(2, letters[..., None]).sum((1, 2))
            weighting.on_gram_estimate(analyzer.estimate(scores, advantages, split), LR)
        direction = torch.tensor(weighting.direction, dtype=torch.float32)  # 4: weigh; a multiplier comes last
        log_probs = policy(before).log_softmax(-1).gather(2, letters[..., None]).sum((1, 2))
        loss = -(log_probs * (advantages @ direction) * weighting.scale).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 9:
            performance = judge(write(policy, 256)).double().mean(0).numpy()
            weighting.on_validation(performance)
            archive.add(performance, tag=step + 1)  # 5: keep what is not dominated
            print(f"step {step + 1:4} performance {performance.round(3)} weights {weighting.weights.round(3)}")
    print(f"hypervolume {archive.hypervolume():.3f}, members from steps {archive.tags}")
    return archive


def main(argv: Sequence[str] | None = None) -> int:
    """Train for the steps in the first argument, or 200."""
    argv = sys.argv[1:] if argv is None else argv
    train(int(argv[0]) if argv else 200)
    return 0


if __name__ == "__main__":
    sys.exit(main())
