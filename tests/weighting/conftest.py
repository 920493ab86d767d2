import numpy as np
import pytest
from hypothesis import settings

# Examples are checked for what they show, not for how long a busy machine takes over them.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture
def train():
    """A trainer in small: exact policy gradients of a softmax over actions that pay the rewards (A, K)."""

    def run(weighting, rewards, steps, lr=1.0, start=None, seed=0):
        """Return the expected rewards (steps, K); the weighting sees 64 samples of each step."""
        rewards, rng = np.array(rewards, dtype=np.float64), np.random.default_rng(seed)
        logits = np.zeros(len(rewards)) if start is None else np.array(start, dtype=np.float64)
        history = []
        for _ in range(steps):
            probabilities = np.exp(logits - logits.max())
            probabilities /= probabilities.sum()
            performance = probabilities @ rewards
            gradients = (rewards - performance).T * probabilities
            weighting.on_validation(performance)
            weighting.on_rewards(rewards[rng.choice(len(rewards), (8, 8), p=probabilities)])
            if weighting.needs_gram:
                weighting.on_gradients(gradients @ gradients.T, lr)
            logits = logits + lr * weighting.direction @ gradients
            history.append(performance)
        return np.array(history)

    return run
