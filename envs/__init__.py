"""Text-generation tasks as MO-Gymnasium environments with vector rewards, and the objectives they are scored by."""

from paretune.envs.accuracy import Accuracy
from paretune.envs.arithmetic import ArithmeticEnv
from paretune.envs.checker import check_env
from paretune.envs.clarity import Clarity
from paretune.envs.combine import FunctionObjective, Gated, Product, WeightedSum, as_objective
from paretune.envs.conciseness import Conciseness, RelativeConciseness
from paretune.envs.conformance import ConformanceError
from paretune.envs.deceptive import DeceptiveEnv
from paretune.envs.math_dataset import MathEnv
from paretune.envs.objectives import Objective, Scores
from paretune.envs.prompts import SPLITS, Message, Prompt, Response, Split, as_prompts
from paretune.envs.registration import EnvInfo, list_envs, make_env, register_envs
from paretune.envs.response import ResponseEnv
from paretune.envs.reward_model import RewardModel
from paretune.envs.scheduled import Scheduled
from paretune.envs.spaces import UnicodeText
from paretune.envs.style import StyleEnv
from paretune.envs.thresholded import Thresholded
from paretune.envs.token_env import TokenEnv
from paretune.envs.token_text import TokenText
from paretune.envs.token_vector import TokenVectorEnv
from paretune.envs.vector import vector_of

__all__ = [
    "SPLITS",
    "Accuracy",
    "ArithmeticEnv",
    "Clarity",
    "Conciseness",
    "ConformanceError",
    "DeceptiveEnv",
    "EnvInfo",
    "FunctionObjective",
    "Gated",
    "MathEnv",
    "Message",
    "Objective",
    "Product",
    "Prompt",
    "RelativeConciseness",
    "Response",
    "ResponseEnv",
    "RewardModel",
    "Scheduled",
    "Scores",
    "Split",
    "StyleEnv",
    "Thresholded",
    "TokenEnv",
    "TokenText",
    "TokenVectorEnv",
    "UnicodeText",
    "WeightedSum",
    "as_objective",
    "as_prompts",
    "check_env",
    "list_envs",
    "make_env",
    "register_envs",
    "vector_of",
]

register_envs()
