"""Text-generation tasks as MO-Gymnasium environments with vector rewards, and the objectives they are scored by."""

from paretune.envs.catalog import EnvInfo, list_envs, make_env, register_envs
from paretune.envs.checks.checker import check_env
from paretune.envs.checks.conformance import ConformanceError
from paretune.envs.objectives.accuracy import Accuracy
from paretune.envs.objectives.base import Objective, Scores
from paretune.envs.objectives.clarity import Clarity
from paretune.envs.objectives.combining import FunctionObjective, Gated, Product, WeightedSum, as_objective
from paretune.envs.objectives.conciseness import Conciseness, RelativeConciseness
from paretune.envs.objectives.reward_model import RewardModel
from paretune.envs.objectives.scheduled import Scheduled
from paretune.envs.objectives.thresholded import Thresholded
from paretune.envs.prompts import SPLITS, Message, Prompt, Response, Split, as_prompts
from paretune.envs.text.arithmetic import ArithmeticEnv
from paretune.envs.text.math_dataset import MathEnv
from paretune.envs.text.response import ResponseEnv
from paretune.envs.text.spaces import UnicodeText
from paretune.envs.text.token_text import TokenText
from paretune.envs.tokens.deceptive import DeceptiveEnv
from paretune.envs.tokens.style import StyleEnv
from paretune.envs.tokens.token_env import TokenEnv
from paretune.envs.tokens.token_vector import TokenVectorEnv
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
