"""`make test` runs the numeric tests once more as on other processors: the settings for that take effect."""

from __future__ import annotations

import os
import platform

import pytest
import torch

pytestmark = [
    pytest.mark.numeric,
    pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the settings are those of x86-64"),
]


@pytest.mark.skipif("ATEN_CPU_CAPABILITY" not in os.environ, reason="ATEN_CPU_CAPABILITY is not set")
def test_torchs_kernels_are_those_that_were_asked_for() -> None:
    assert torch.backends.cpu.get_cpu_capability().lower() == os.environ["ATEN_CPU_CAPABILITY"]


@pytest.mark.skipif("ONEDNN_MAX_CPU_ISA" not in os.environ, reason="ONEDNN_MAX_CPU_ISA is not set")
def test_onednns_kernels_are_as_old_as_was_asked_for() -> None:
    """It multiplies in bfloat16 from AVX-512 on."""
    assert os.environ["ONEDNN_MAX_CPU_ISA"] in ("SSE41", "AVX2")
    assert not torch.ops.mkldnn._is_mkldnn_bf16_supported()
