from __future__ import annotations

from dataclasses import dataclass

import pytest
import tyro

from paretune.agents.rules import Vector
from paretune.cli.arguments.vectors import VECTORS, format_vector, parse_vector

Capture = pytest.CaptureFixture[str]


@dataclass(kw_only=True)
class Settings:
    reference: Vector | None = None
    seed: int = 0


def read(*words: str) -> Vector | None:
    return tyro.cli(Settings, args=list(words), registry=VECTORS).reference


def test_every_setting_of_several_numbers_is_read() -> None:
    assert read("--reference", "0", "-100", "1e3", "--seed", "1") == (0.0, -100.0, 1000.0)
    assert read("--reference", "None") is None
    assert read() is None


def test_the_help_says_what_to_write(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        read("--help")
    assert "--reference FLOAT ... " in capsys.readouterr().out


@pytest.mark.parametrize("words", [["0.5,0.25,0.25"], ["a", "b"], ["None", "1"], []])
def test_other_words_are_refused_in_plain_words(words: list[str], capsys: Capture) -> None:
    with pytest.raises(ValueError, match=f"must be numbers with spaces between them.* got '{' '.join(words)}'"):
        parse_vector(words)
    with pytest.raises(SystemExit):
        read("--reference", *words)
    assert "--reference: must be numbers with spaces between them" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("vector", [None, (0.5,), (-100.0, 1e-300, 124.0)])
def test_formatting_is_the_inverse_of_parsing(vector: Vector | None) -> None:
    assert parse_vector(format_vector(vector)) == vector
