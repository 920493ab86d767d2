import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.envs.objectives.clarity import Clarity, shows_steps
from paretune.envs.prompts import Prompt

PROMPT = Prompt.from_question("What is (3 + 4) * 2?")


@pytest.mark.parametrize(
    "text",
    [
        "1. Add 3 and 4.\n2. Double the sum.",
        "1) Add 3 and 4\n2) Double the sum",
        "(1) Add 3 and 4.\n(2) Double it.",
        "Step 1: 3 + 4 = 7. Step 2: 7 * 2 = 14.",
        "Step 1 - add\nStep 2 - double",
        "STEP 1. add\n\nSTEP 2. double",
        "### Step 1\nadd\n### Step 2\ndouble",
        "**Step 1:** add\n**Step 2:** double",
        "**1.** add\n**2.** double",
        "## 1. Add\nwords\n## 2. Double\nwords",
        "Let us see: 1. 3 + 4 = 7. 2. 7 * 2 = 14.",
        "0. Prepare\n1. Do it",
        "1. 3+4=7\n\n   2. 7*2=14\n",
        "1. add\nwords\nmore words\n2. double\n3. done",
        "First, add 3 and 4. Second, double the sum.",
        "First we add. Then we double.",
        "first, add 3 and 4\nthen double",
        "Firstly add. Finally double.",
        "Then we add. Next we double.",
        "- First, add.\n- Finally, double.",
    ],
)
def test_steps_are_recognised(text):
    assert shows_steps(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is 14.",
        "a - b is negative, and so we get 4.",
        "a - b = 3. Hence the answer is 4.",
        "It is 1.5 and 2.5.",
        "1.5 litres\n2.5 litres",
        "We get x = 1. And then y = 2. Done.",
        "so x = 1. 2 is not a solution.",
        "1. Only one step.",
        "2. Not from the start.\n1. Not in order.",
        "3. Not from\n4. the start",
        "1. Two kinds\n(2) do not mix",
        "1. 2. 3.",
        "Step 1: Step 2: ",
        "First, only one ordinal.",
        "Finally, add. First, double.",
        "The first is 3, the second is 4, and then 5.",
        "First-order terms vanish. Second-order terms remain.",
        "Secondary school. Thirdness.",
        "Step 1.5 is odd. Step 2.5 is odder.",
        "- a\n- b\n- c",
    ],
)
def test_what_enumerates_nothing_is_not_steps(text):
    assert not shows_steps(text)


def test_clarity_needs_steps_and_a_box_with_content():
    steps = "1. 3 + 4 = 7\n2. 7 * 2 = 14\n"
    responses = [
        steps + r"\boxed{14}",
        steps,
        steps + r"\boxed{}",
        r"3 + 4 = 7, so \boxed{14}",
        r"a - b ... 4. \boxed{4}",
    ]
    scores = Clarity()([PROMPT] * 5, responses)
    assert scores.dtype == np.float32
    assert scores.tolist() == [1, 0, 0, 0, 0]


@given(st.text(alphabet="12.):( \nStepFirstThen*#-$", max_size=200))
def test_any_text_can_be_judged(text):
    assert shows_steps(text) in (True, False)


@pytest.mark.parametrize(
    "unit", ["1. ", "1.", "\n", " ", ". ", ".)", "#", "* ", "Step ", "Then ", "(", ".\n \n", ":*_ "]
)
def test_a_megabyte_of_anything_is_judged_in_linear_time(unit):
    shows_steps(unit * (1_000_000 // len(unit)))
