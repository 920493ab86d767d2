"""Where morl-baselines 1.3.0 itself stops, on our environments as on those of MO-Gymnasium.

A test that fails here says that a fault is gone: then the agent belongs in test_morl_baselines.py.
"""

from __future__ import annotations

from typing import Any

import mo_gymnasium
import pytest

from tests.envs.morl import REFERENCE, small_env

pytest.importorskip("morl_baselines", reason='needs morl-baselines: pip install "paretune[morl]"')
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_an_empty_folder")]


def make(name: str) -> Any:
    return small_env() if name == "TokenConvex-v0" else mo_gymnasium.make(name)


@pytest.mark.parametrize("name", ["TokenConvex-v0", "deep-sea-treasure-concave-v0"])
def test_gpi_pd_plans_only_in_environments_that_it_knows_by_name(name: str) -> None:
    """`ModelEnv` in common/model_based/utils.py has the ends of episodes of a few environments built in, by id.

    So GPI-PD trains elsewhere only up to `dynamics_rollout_starts` (5000 steps unless told otherwise), where its model
    would begin to imagine transitions.
    """
    from morl_baselines.multi_policy.gpi_pd.gpi_pd import GPIPD

    env = make(name)
    agent = GPIPD(
        env,
        net_arch=[16, 16],
        batch_size=16,
        buffer_size=1000,
        dynamics_net_arch=[16],
        dynamics_ensemble_size=2,
        dynamics_rollout_starts=500,
        log=False,
    )
    with pytest.raises(NotImplementedError):
        agent.train(500, env, REFERENCE, timesteps_per_iter=500, num_eval_weights_for_front=2, checkpoints=False)
    assert agent.global_step == 500


@pytest.mark.parametrize(
    ("method", "message"),
    [("ws", "must be Tensor, not numpy.ndarray"), ("tch", "missing 1 required positional argument: 'weights'")],
)
@pytest.mark.parametrize("name", ["TokenConvex-v0", "deep-sea-treasure-v0"])
def test_morl_d_cannot_train_eupg(name: str, method: str, message: str) -> None:
    """`EUPG.update` calls its scalarization once with a NumPy array and weights, once with a tensor and without them.

    MORL/D (multi_policy/morld/morld.py) gives it `torch.matmul` or a Tchebicheff function, and neither takes both.
    """
    from morl_baselines.multi_policy.morld.morld import MORLD

    env = make(name)
    agent = MORLD(
        env,
        scalarization_method=method,
        evaluation_mode="esr",
        policy_name="EUPG",
        pop_size=2,
        exchange_every=200,
        log=False,
    )
    with pytest.raises(TypeError, match=message):
        agent.train(400, env, REFERENCE, num_eval_episodes_for_front=1, checkpoints=False)
