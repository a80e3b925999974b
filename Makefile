# The menu. Every target that needs .venv makes it first; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help install lint format test test-slow demo bench bench-faults bench-restore fuzz schemas audit sbom clean

BIN := .venv/bin
STAMP := .venv/.installed
TOOLS := .tools/.installed
PACKAGES := schemas models streams ops
# What else to hand to pytest, e.g. `make test ARGS=tests/models`.
ARGS ?=
# How many processes run tests; each starts a broker of its own when a test asks for one.
JOBS ?= 2

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

install: $(STAMP) ## set up .venv: the trainer and the development tools included

$(STAMP): pyproject.toml constraints.txt
	@.ci/install

lint: $(STAMP) ## ruff, mypy strict, import layers, no circles
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/no_cycles schemas models streams ops

format: $(STAMP) ## let ruff format and fix what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(STAMP) ## every promise's proof, on real brokers; says at its end what was left out
	$(BIN)/python -m pytest -m "not slow" -n $(JOBS) $(ARGS)

test-slow: $(STAMP) ## the long forms: faults, demos, benchmarks, nights, all examples
	$(BIN)/python -m pytest -m slow -n $(JOBS) $(ARGS)
	HARK_TEST_EXAMPLES=all $(BIN)/python -m pytest -m "hypothesis and not slow" -n $(JOBS) $(ARGS)

demo: $(STAMP) ## everything at once, with a summary; DATA=file.csv for real events
	$(BIN)/hark demo $(if $(DATA),--data "$(DATA)") $(ARGS)

bench: $(STAMP) ## how fast it takes events in, against what Faust does alone
	$(BIN)/hark bench ingest $(ARGS)

bench-faults: $(STAMP) ## break workers, brokers and the network for minutes, count what was lost
	$(BIN)/hark bench faults $(ARGS)

bench-restore: $(STAMP) ## save and restore the state of a million users
	$(BIN)/hark bench restore $(ARGS)

fuzz: $(STAMP) ## 100,000 odd records and 2,000 damaged models; the codec guided by coverage too
	$(BIN)/python -m tests.fuzz codec --count 100000 $(ARGS)
	$(BIN)/python -m tests.fuzz artefacts --count 2000 $(ARGS)
	@$(BIN)/pip install -q -c constraints.txt atheris || echo "no atheris for this Python: no guided part"
	@! $(BIN)/python -c "import atheris" 2>/dev/null || $(BIN)/python -m tests.fuzz.guided -max_total_time=60

schemas: $(STAMP) ## write the JSON Schema files and the AsyncAPI document again
	$(BIN)/hark schemas generate

audit: $(TOOLS) ## look up every pinned package for known vulnerabilities; 2: not reachable
	@.tools/bin/python .ci/audit

sbom: $(STAMP) $(TOOLS) ## write sbom.json: all that .venv has, as CycloneDX
	@.tools/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml \
		--output-reproducible --of JSON -o sbom.json
	@.tools/bin/python .ci/sbom_covers sbom.json $(BIN)/python

$(TOOLS): .ci/tools.txt $(STAMP)
	@rm -rf .tools && $(BIN)/python -m venv .tools
	@.tools/bin/python -m pip install -q --no-deps -r .ci/tools.txt && touch $(TOOLS)

clean: ## remove .venv and all caches of this checkout
	rm -rf .venv .tools build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
