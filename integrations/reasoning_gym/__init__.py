"""Any dataset of Reasoning Gym as a text environment, and the judge that its scorers run in."""

from paretune.integrations.reasoning_gym.environment import (
    AnswerFormat,
    ReasoningGymEnv,
    TaskAccuracy,
    evaluates_answers,
    last_answer,
)

__all__ = ["AnswerFormat", "ReasoningGymEnv", "TaskAccuracy", "evaluates_answers", "last_answer"]
