"""A reward manager for verl that scores responses with the objectives of a paretune environment.

Shapes: K objectives.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from omegaconf import DictConfig
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import register
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from paretune.envs import SPLITS, Prompt, Response
from paretune.integrations.verl.settings import VerlSettings
from paretune.weighting import resolve_preference


@register("paretune")
class EnvRewardManager(RewardManagerBase):
    """Scores each response with all objectives of `paretune.env`; runs in each of verl's reward workers.

    verl hands it one response at a time: prompt from `raw_prompt`, reference answer from `reward_model.ground_truth`,
    split from `extra_info.split` ("train" if there is none). What objectives learn from training responses they learn
    from those of their own worker, and no checkpoint keeps it.

    Attributes:
        env: The environment.
    """

    def __init__(self, config: DictConfig, tokenizer: Any, compute_score: Any = None, **_: Any) -> None:
        """Make the environment.

        Args:
            config: verl's configuration, with settings under `paretune`.
            tokenizer: Turns response tokens into text.
            compute_score: verl's reward function, which is not called.
            _: What else verl hands to reward managers.

        Raises:
            ValueError: If a setting breaks its rule.
        """
        super().__init__(config, tokenizer, compute_score)
        settings = VerlSettings.of(config)
        self.env = settings.make_env()
        preference = settings.preference if settings.preference is not None else len(self.env.objectives)
        self._preference_K = np.array(resolve_preference(preference))
        self._thread = ThreadPoolExecutor(max_workers=1)  # objectives may keep counts and processes: one at a time

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Return the rewards of the last response in `data`.

        Returns:
            "reward_extra_info": by the objectives' names; outside of training also those for evaluation only.
            "reward_score": the rewards weighed by the preference, which verl logs; our estimators do not use it.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._score, data[-1])

    def _score(self, item: Any) -> dict[str, Any]:
        fields = item.non_tensor_batch
        split = (fields.get("extra_info") or {}).get("split", "train")
        prompt = Prompt(
            tuple({"role": message["role"], "content": message["content"]} for message in fields["raw_prompt"]),
            str((fields.get("reward_model") or {}).get("ground_truth", "")),
            split if split in SPLITS else "test",
        )
        tokens = int(item.batch["attention_mask"][len(item.batch["prompts"]) :].sum())
        text = self.tokenizer.decode(item.batch["responses"][:tokens], skip_special_tokens=True)
        batch = [prompt], [Response(text, tokens)]
        rewards_K = self.env.score(*batch)[0]
        info = dict(zip(self.env.objectives, rewards_K.tolist(), strict=True))
        if prompt.split != "train":
            info |= dict(zip(self.env.evaluation_only, self.env.report(*batch)[0].tolist(), strict=True))
        return {"reward_score": float(self._preference_K @ rewards_K), "reward_extra_info": info}
