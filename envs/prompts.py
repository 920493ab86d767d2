"""What goes into a policy and what comes out of it: prompts and responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Message(TypedDict):
    """One turn of a conversation, in the form that chat templates take."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A task for the policy.

    Attributes:
        messages: The conversation so far; a policy with a chat template renders it, others read `text`.
        answer: The reference answer; objectives may look at it, policies never see it.
        split: The split the prompt belongs to.
    """

    messages: tuple[Message, ...]
    answer: str = ""
    split: Split = "train"

    def __hash__(self) -> int:
        """Hash the texts; the messages themselves are dictionaries."""
        return hash((self.text, self.answer, self.split))

    @property
    def text(self) -> str:
        """The contents of all messages as plain text, blank lines between them."""
        return "\n\n".join(message["content"] for message in self.messages)

    @classmethod
    def from_question(
        cls, question: str, answer: str = "", *, split: Split = "train", system_prompt: str = "", instruction: str = ""
    ) -> Prompt:
        """Make a one-question conversation.

        Args:
            question: What the user asks.
            answer: The reference answer.
            split: The split the prompt belongs to.
            system_prompt: Content of a leading system message; none if empty.
            instruction: Text put behind the question, on a line of its own; none if empty.
        """
        content = f"{question}\n{instruction}" if instruction else question
        messages = [Message(role="user", content=content)]
        if system_prompt:
            messages.insert(0, Message(role="system", content=system_prompt))
        return cls(tuple(messages), answer, split)


class Response(str):
    """A response text that knows its length in tokens; everywhere else it is a plain `str`.

    Attributes:
        tokens: Number of tokens the policy spent on it, the end token included; None if unknown.

    Example:
        >>> Response("17", tokens=3).tokens
        3
    """

    __slots__ = ("tokens",)
    tokens: int | None

    def __new__(cls, text: str, tokens: int | None = None) -> Response:
        """Wrap `text`, made of `tokens` tokens."""
        response = super().__new__(cls, text)
        response.tokens = tokens
        return response

    def __reduce__(self) -> tuple[type[Response], tuple[str, int | None]]:
        """What `copy` and `pickle` make it from again."""
        return type(self), (str(self), self.tokens)


def as_prompts(prompts: Sequence[Prompt | str]) -> list[Prompt]:
    """Return `prompts` with plain strings turned into one-message prompts without a reference answer."""
    return [prompt if isinstance(prompt, Prompt) else Prompt.from_question(prompt) for prompt in prompts]
