"""What the weighting of a run could have seen, step by step: enough to replay another one on it.

Shapes: S training steps, P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paretune.weighting.gram_estimate import GramEstimate

Array = NDArray[np.float64]

PRECISIONS = {"f32": "<f4", "f64": "<f8"}
"""Number formats of rewards, by the ending of their file."""


@dataclass(frozen=True)
class Records:
    """A file of records of the same size, each a step and an array; nothing else is in it, all little-endian.

    Attributes:
        path: The file; it need not exist.
        number: NumPy's code of the arrays' number format.
        shape: Shape of the arrays.
    """

    path: Path
    number: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[np.void]:
        """One record."""
        return np.dtype([("step", "<i8"), ("value", self.number, self.shape)])

    def append(self, step: int, value: Array) -> None:
        """Add a record."""
        assert value.shape == self.shape, (value.shape, self.shape)
        record = np.empty(1, self.dtype)
        record["step"], record["value"] = step, value
        with self.path.open("ab") as file:
            file.write(record.tobytes())

    def read(self) -> dict[int, Array]:
        """Return the arrays by step, without a record that was cut off while it was written."""
        return {int(record["step"]): record["value"].astype(np.float64) for record in self._complete()}

    def forget_after(self, step: int) -> None:
        """Drop the records of steps behind `step`, which are the last ones, and one that was cut off."""
        if self.path.exists():
            kept = int((self._complete()["step"] <= step).sum())
            os.truncate(self.path, kept * self.dtype.itemsize)

    def _complete(self) -> NDArray[np.void]:
        data = self.path.read_bytes() if self.path.exists() else b""
        return np.frombuffer(data, self.dtype, count=len(data) // self.dtype.itemsize)


@dataclass(frozen=True)
class History:
    """The rewards of every training step and, where they were computed, the Gram matrices, in the folder of a run.

    rewards.f32     or rewards.f64; a record a step: the step (int64), the rewards (P, G, K)
    gram.f64        a record for each step with a Gram matrix: the step (int64), the matrix (K, K)
    gram_noise.f64  a record for each of these whose matrix is an estimate: the step (int64), the squared norms of the
                    batch's gradients (K) and, not a number where they are not known, the covariances (2, K, K, K, K)

    Rewards of language models are float32 by contract, so float32 loses nothing. Discounted returns of stepped
    environments are float64 and stay so: rounded, a replay would not be exact.

    Attributes:
        folder: Where the files are.
        shape: P, G and K.
    """

    folder: Path
    shape: tuple[int, int, int]

    def append(self, step: int, rewards: Array, gram: Array | GramEstimate | None, *, single: bool) -> None:
        """Add a step.

        Args:
            step: The training step, from 1.
            rewards: (P, G, K).
            gram: (K, K), or an estimate of it, or None where none was computed.
            single: Whether float32 holds the rewards.
        """
        self.folder.mkdir(exist_ok=True)
        self._rewards("f32" if single else "f64").append(step, rewards)
        if isinstance(gram, GramEstimate):
            self._grams.append(step, gram.matrix)
            unknown = np.full(self._noise.shape[0] - self.shape[-1], np.nan)
            noise = unknown if gram.noise is None else gram.noise.ravel()
            self._noise.append(step, np.concatenate([gram.squares, noise]))
        elif gram is not None:
            self._grams.append(step, gram)

    def rewards(self) -> dict[int, Array]:
        """Return the rewards (P, G, K) by step."""
        return {step: value for ending in PRECISIONS for step, value in self._rewards(ending).read().items()}

    def grams(self) -> dict[int, Array | GramEstimate]:
        """Return the Gram matrices (K, K), or estimates of them, by step, of the steps that have one."""
        k, noise = self.shape[-1], self._noise.read()
        found: dict[int, Array | GramEstimate] = {}
        for step, gram_KK in self._grams.read().items():
            if step not in noise:
                found[step] = gram_KK
                continue
            squares_K, rest = noise[step][:k], noise[step][k:].reshape(2, k, k, k, k)
            found[step] = GramEstimate(gram_KK, squares_K, None if np.isnan(rest).any() else rest)
        return found

    def forget_after(self, step: int) -> None:
        """Drop what belongs to steps behind `step`, and what was cut off while it was written."""
        for records in self._files:
            records.forget_after(step)

    def copy_until(self, step: int, other: History) -> None:
        """Copy the steps up to `step` to another run's history, which has none yet."""
        for mine, copy in zip(self._files, other._files, strict=True):
            if mine.path.exists():
                other.folder.mkdir(exist_ok=True)
                shutil.copyfile(mine.path, copy.path)
        other.forget_after(step)

    @property
    def _grams(self) -> Records:
        k = self.shape[-1]
        return Records(self.folder / "gram.f64", "<f8", (k, k))

    @property
    def _noise(self) -> Records:
        k = self.shape[-1]
        return Records(self.folder / "gram_noise.f64", "<f8", (k + 2 * k**4,))

    @property
    def _files(self) -> list[Records]:
        return [*map(self._rewards, PRECISIONS), self._grams, self._noise]

    def _rewards(self, ending: str) -> Records:
        return Records(self.folder / f"rewards.{ending}", PRECISIONS[ending], self.shape)
