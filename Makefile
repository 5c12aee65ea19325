# Two commands do all: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ROOTS := runtime models export benchmarks serving tests examples

.PHONY: demo test lint format types pytest endurance bench schema clean

demo: $(VENV)/.base
	@echo; echo "# One utterance, sound and transcript"
	$(BIN)/emo-predict --audio examples/clips/queja.flac \
		--text "¡Llevo tres semanas esperando una solución! ¡Esto es una vergüenza!"
	@echo; echo "# One utterance, transcript alone"
	$(BIN)/emo-predict --text "Qué alegría verte, no sabes cuánto me alegro de que hayas venido."

test: lint types pytest

lint: $(VENV)/.test
	$(BIN)/ruff check $(ROOTS)
	$(BIN)/ruff format --check $(ROOTS)

types: $(VENV)/.test
	$(BIN)/mypy

pytest: $(VENV)/.test
	$(BIN)/pytest -m "not endurance" --cov=emo_runtime --cov-report=term --cov-fail-under=95

endurance: $(VENV)/.test
	$(BIN)/pytest -m endurance

bench: $(VENV)/.test
	$(BIN)/emo-bench

format: $(VENV)/.test
	$(BIN)/ruff check --fix $(ROOTS)
	$(BIN)/ruff format $(ROOTS)

# The JSON Schemas in docs/ are generated; tests check that they are current.
schema: $(VENV)/.test
	$(BIN)/python -c "import json; from emo_runtime.manifest import json_schema; \
		print(json.dumps(json_schema(), indent=2))" > docs/manifest.schema.json
	$(BIN)/python -c "import json; from emo_bench.report import report_schema; \
		print(json.dumps(report_schema(), indent=2))" > docs/report.schema.json

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable ".[test]"
	@touch $@ $(VENV)/.base
