# Everything runs in a .venv made with plain pip. PyPI's torch for Linux brings gigabytes of GPU libraries: to take the
# CPU build instead, name the CPU wheel index from pytorch.org:  make install TORCH_INDEX=https://…/whl/cpu
PYTHON ?= python3
TORCH_INDEX ?=
BIN := .venv/bin
# One thread a process for torch and BLAS: two on two busy cores ran 40 times slower than one.
export OMP_NUM_THREADS = 1
export OPENBLAS_NUM_THREADS = 1
export MKL_NUM_THREADS = 1

.PHONY: install demo test quick lint format docs wheel clean

install: .venv/installed

.venv/installed: pyproject.toml src/offbeat/__init__.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "torch>=2.13,<2.14"
	$(BIN)/python -m pip install -q -e ".[dev]"
	touch $@

demo: install
	$(BIN)/python examples/demo.py demo

test: install
	$(BIN)/python -m pytest -q -n 2

quick: install
	$(BIN)/python -m pytest -q -m "not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install
	$(BIN)/python docs/make_reference.py

wheel: install
	$(BIN)/python -m pip wheel -q --no-deps -w dist .

clean:
	rm -rf .venv demo dist build
