from __future__ import annotations

import pickle
from copy import deepcopy

import pytest
from gymnasium.spaces import Text
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from hypothesis import given
from hypothesis import strategies as st

from paretune.envs.prompts import Response
from paretune.envs.text.spaces import LONGEST_SAMPLE, UnicodeText


@given(st.text(max_size=20), st.integers(0, 20))
def test_contains_exactly_the_texts_that_are_short_enough(text: str, max_length: int) -> None:
    assert (text in UnicodeText(max_length)) == (len(text) <= max_length)


@pytest.mark.parametrize("other", [None, 3, b"abc", ["a"], ("a",)])
def test_contains_nothing_but_text(other: object) -> None:
    assert other not in UnicodeText(10)


def test_contains_responses_and_lone_surrogates() -> None:
    assert Response("17", tokens=3) in UnicodeText(2)
    assert "\ud800" in UnicodeText(1)


@given(st.integers(0, 400), st.integers(0, 2**31 - 1))
def test_samples_are_short_printable_members_and_follow_the_seed(max_length: int, seed: int) -> None:
    space, same = UnicodeText(max_length, seed=seed), UnicodeText(max_length)
    same.seed(seed)
    samples = [space.sample() for _ in range(3)]
    assert all(
        type(text) is str and text in space and text.isascii() and len(text) <= LONGEST_SAMPLE for text in samples
    )
    assert all(text.isprintable() for text in samples)
    assert samples == [same.sample() for _ in range(3)]


def test_samples_reach_both_ends() -> None:
    space = UnicodeText(2, seed=0)
    assert {len(space.sample()) for _ in range(50)} == {0, 1, 2}


def test_sample_takes_the_masks_of_text_spaces() -> None:
    assert len(UnicodeText(1000, seed=0).sample(mask=(700, None))) == 700
    assert len(UnicodeText(10, seed=0).sample(probability=(4, None))) == 4


def test_equality_and_repr() -> None:
    assert UnicodeText(5) == UnicodeText(5, seed=3)
    assert UnicodeText(5) != UnicodeText(6)
    assert UnicodeText(5) != Text(5, min_length=0)
    assert Text(5, min_length=0) != UnicodeText(5)
    assert eval(repr(UnicodeText(5))) == UnicodeText(5)


@pytest.mark.parametrize("copy", [deepcopy, lambda space: pickle.loads(pickle.dumps(space))])
def test_copies_are_equal_and_continue_the_samples(copy: object) -> None:
    space = UnicodeText(50, seed=1)
    space.sample()
    twin = copy(space)
    assert twin == space
    assert [twin.sample() for _ in range(3)] == [space.sample() for _ in range(3)]


def test_pickles_small() -> None:
    assert len(pickle.dumps(UnicodeText(1_000_000))) < 10_000


def test_batches() -> None:
    space = UnicodeText(30, seed=0)
    batch = batch_space(space, 3)
    batch.seed(7)
    texts = batch.sample()
    assert len(set(texts)) == 3
    assert texts in batch
    assert concatenate(space, list(iterate(batch, texts)), create_empty_array(space, 3)) == texts
    assert create_empty_array(space, 2) == ("", "")


def test_is_not_flattenable() -> None:
    assert not UnicodeText(5).is_np_flattenable


@pytest.mark.parametrize(("max_length", "error"), [(-1, ValueError), (2.5, TypeError)])
def test_refuses_impossible_lengths(max_length: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="length"):
        UnicodeText(max_length)
