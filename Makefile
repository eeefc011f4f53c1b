# Two commands set everything up: `make demo` and `make test`. Both install into .venv first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
QUIET := --quiet --disable-pip-version-check
PIP := $(BIN)/python -m pip
UV := $(BIN)/uv pip install --quiet
HASHED := --constraint hashes.txt --build-constraint hashes.txt
# What looks at what is installed, from outside.
AUDIT := .venvs/audit
# The BigQuery emulator pins other libraries, so it has an environment of its own.
BIGQUERY := .venv-bigquery
BIGQUERY_PINS := tests/emulators/bigquery/constraints.txt tests/emulators/bigquery/local_bigquery.txt
# So has the validator of the CELLxGENE schema, which pins an older anndata.
CELLXGENE := .venv-cellxgene
CELLXGENE_PINS := deploy/cellxgene-constraints.txt
# And so have the trainers that read releases: .venvs/torch, .venvs/cellarium, .venvs/annbatch.
TRAINERS := $(patsubst %,.venvs/%/.installed,torch cellarium annbatch)
PYTHON312 ?= python3.12

# The tests start hundreds of Python processes, which would compile every module of Nexus again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo gcp-demo sbom audit test lint types unit cellxgene test-cellxgene test-training test-faults test-concurrency test-browser fuzz test-crash soak pipelines docs site rates bench scale-demo images pins up clean
.DELETE_ON_ERROR:

demo: $(INSTALLED)
	$(BIN)/nexus demo

# The whole main job in gcp mode, against emulators of Cloud Storage, BigQuery and Vertex AI; ARGS=--up keeps the web UI.
gcp-demo: $(INSTALLED) $(BIGQUERY)/.installed
	$(BIN)/python -m tests.emulators.gcp_demo $(ARGS)

up: $(INSTALLED)
	$(BIN)/nexus up

# Side by side: the types are checked and the emulator is installed on a core that would idle.
test: $(INSTALLED)
	$(MAKE) --jobs 2 lint types unit

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

unit: $(INSTALLED) $(BIGQUERY)/.installed
	$(BIN)/pytest -n 2 --dist worksteal

# The environment of the CELLxGENE gate (validation.cellxgene_schema); NEXUS_CELLXGENE_PYTHON names another.
cellxgene: $(CELLXGENE)/.installed

# The contract of the gate, which `make test` holds over a stand-in, over the real validator; some minutes.
test-cellxgene: cellxgene
	$(BIN)/pytest tests/contracts/real_cellxgene.py

# Real trainers on small releases: PyTorch, cellarium-ml, and annbatch, which needs Python 3.12. Some minutes; torch is big.
test-training: $(INSTALLED) $(TRAINERS)
	$(BIN)/python -m tests.training --torch .venvs/torch/bin/python --cellarium .venvs/cellarium/bin/python \
		--annbatch .venvs/annbatch/bin/python

# Sixty flipped bits of every kind of stored file, and every fault of disks, stores and services; some minutes.
test-faults: $(INSTALLED) $(BIGQUERY)/.installed
	NEXUS_FAULT_FLIPS=60 $(BIN)/pytest --timeout 3600 tests/nexus_assets/cli/test_damaged_files.py \
		tests/omics_datastore/test_disk_faults.py tests/omics_datastore/storage/test_cloud_storage_faults.py \
		tests/omics_datastore/warehouse/test_bigquery_faults.py tests/nexus_resources/pipelines/test_vertex.py

# Everything that reads what somebody wrote, under atheris (coverage-guided); inputs and findings stay in .fuzz.
FUZZ_SECONDS ?= 1800
fuzz: $(INSTALLED) .venvs/fuzz/.installed
	.venvs/fuzz/bin/python -m tests.fuzz --seconds $(FUZZ_SECONDS)
# Many processes at once, models of the commit protocol, round trips of any source: the long version. SCALE and PARTS.
SCALE ?= 1
test-concurrency: $(INSTALLED) $(BIGQUERY)/.installed
	$(BIN)/python -m tests.omics_datastore.concurrency --scale $(SCALE) $(PARTS)

# What an operator does, in Debian's Chromium (apt-get install chromium); pictures of it go to .screenshots/.
test-browser: $(INSTALLED)
	$(BIN)/pytest tests/browser

# Every operation killed at durable steps and random moments, in a folder, in an emulated cloud, and as the real commands.
# Half an hour and more; without --sample at every step, which takes hours. docs/reliability.md has what was seen.
test-crash: $(INSTALLED) $(BIGQUERY)/.installed
	$(BIN)/python -m tests.crash folder --sample 14 --moments 2
	$(BIN)/python -m tests.crash cloud --sample 5 --moments 1
	$(BIN)/python -m tests.crash commands --moments 5

# One root loaded for long while nexus up serves it; ARGS may keep the samples and draw them (--samples FILE --plot FILE).
SOAK_MINUTES ?= 30
soak: $(INSTALLED)
	$(BIN)/python -m tests.soak --minutes $(SOAK_MINUTES) $(ARGS)

# The compiled pipelines are committed; a test checks that they are current.
pipelines: $(INSTALLED)
	$(BIN)/python -m kfp_components.compile_pipelines

# The pages that are written by programs: the tables, the cost of scale. Tests check that they are current.
docs: $(INSTALLED)
	$(BIN)/python -m omics_datastore.schema.markdown > docs/tables.md
	$(BIN)/python -m benchmarks.scale_cost > docs/scale.md
	$(BIN)/python -W ignore -m nexus_assets.reference docs/reference

# The documentation as a static site in site/, from the pages as they are; a warning is an error.
site: $(INSTALLED)
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs site

# What the cost of scale rests on, measured on this machine; some minutes.
rates: $(INSTALLED)
	$(BIN)/python -m benchmarks.measure_rates

# The two images. PYTHON_DIGEST is the digest of the base image (deploy/README.md), TAG what to call them.
# CELLXGENE_GATE=with puts the CELLxGENE validator into the worker image, which grows by 1 GB.
TAG ?= local
CELLXGENE_GATE ?= without
images:
	@test -n "$(PYTHON_DIGEST)" || { echo 'make images PYTHON_DIGEST=sha256:...  (see deploy/README.md)' >&2; exit 2; }
	docker build --file deploy/Dockerfile --build-arg PYTHON_DIGEST=$(PYTHON_DIGEST) --tag nexus-platform:$(TAG) .
	docker build --file deploy/worker.Dockerfile --build-arg CELLXGENE=$(CELLXGENE_GATE) --build-arg PYTHON_DIGEST=$(PYTHON_DIGEST) --tag nexus-worker:$(TAG) .

# 1,000 small datasets dropped into one machine's inbox, to green assets and a curriculum over all of them: on SQLite, then
# on a PostgreSQL of its own (docs/how-to/operate.md); a quarter of an hour each.
DATASETS ?= 1000
scale-demo: $(INSTALLED)
	$(BIN)/python -W ignore -m benchmarks.many_datasets --datasets $(DATASETS)
	$(BIN)/python -W ignore -m benchmarks.many_datasets --datasets $(DATASETS) --postgres

# Nexus beside a floor program, anndata and peers, verified. CELLS, FILES and REPEATS say how much; ARGS may name the
# interpreters of peers (--tiledbsoma-python, --annbatch-python), run all but Nexus and the floor --once, --json and --plot.
CELLS ?= 100000
FILES ?= 10
REPEATS ?= 3
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.speed --cells $(CELLS) --files $(FILES) --repeats $(REPEATS) $(ARGS)

# The pins of constraints.txt from the ranges of pyproject.toml, and the SHA-256 of every file of each in hashes.txt.
COMPILE := $(BIN)/uv pip compile --quiet --no-header --no-annotate
pins: $(INSTALLED)
	$(COMPILE) --extra dev --output-file constraints.txt pyproject.toml
	$(COMPILE) --extra dev --generate-hashes --constraint constraints.txt --output-file hashes.txt pyproject.toml
	$(COMPILE) --generate-hashes --output-file deploy/audit.txt deploy/audit.in

# What the two images have in them, as CycloneDX: sbom/platform.json and sbom/worker.json. They are installed as the
# images are, in environments of their own.
sbom: $(AUDIT)/.installed
	mkdir -p sbom
	for image in platform worker; do \
		$(PYTHON) -m venv --clear --without-pip .venvs/$$image \
		&& $(UV) --python .venvs/$$image/bin/python $(HASHED) \
			"$$(test $$image = worker && echo . || echo '.[platform]')" \
		&& $(AUDIT)/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
			--output-file sbom/$$image.json .venvs/$$image/bin/python || exit 1; \
	done

# What is known of the pins against advisories: asks PyPI, so it needs the network. `make test` does the rest of an audit.
audit: $(AUDIT)/.installed
	$(AUDIT)/bin/pip-audit --strict --disable-pip --require-hashes --requirement hashes.txt

$(AUDIT)/.installed: deploy/audit.txt $(INSTALLED)
	$(PYTHON) -m venv --clear --without-pip $(AUDIT)
	$(UV) --python $(AUDIT)/bin/python --require-hashes --requirement deploy/audit.txt
	touch $@

# uv is five times faster than pip, which does it where uv cannot, behind an index that only pip is told of for example.
# Both take only files whose SHA-256 is in hashes.txt, uv itself first.
$(INSTALLED): pyproject.toml constraints.txt hashes.txt
	$(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\]$$/p' hashes.txt > $(VENV)/uv.txt
	$(PIP) install $(QUIET) --require-hashes --requirement $(VENV)/uv.txt
	$(UV) --python $(BIN)/python $(HASHED) --editable '.[dev]' \
		|| { $(PIP) install $(QUIET) --require-hashes --requirement hashes.txt \
			&& $(PIP) install $(QUIET) --no-deps --no-build-isolation --editable .; }
	touch $@

$(BIGQUERY)/.installed: $(BIGQUERY_PINS) $(INSTALLED)
	$(PYTHON) -m venv --without-pip $(BIGQUERY)
	$(UV) --python $(BIGQUERY)/bin/python --requirement $(word 1,$(BIGQUERY_PINS)) \
		|| $(PIP) --python $(BIGQUERY)/bin/python install $(QUIET) --requirement $(word 1,$(BIGQUERY_PINS))
	$(PIP) --python $(BIGQUERY)/bin/python install $(QUIET) --no-deps --ignore-requires-python \
		--requirement $(word 2,$(BIGQUERY_PINS))
	touch $@

$(CELLXGENE)/.installed: $(CELLXGENE_PINS) $(INSTALLED)
	$(PYTHON) -m venv --without-pip $(CELLXGENE)
	$(UV) --python $(CELLXGENE)/bin/python --requirement $(CELLXGENE_PINS) \
		|| $(PIP) --python $(CELLXGENE)/bin/python install $(QUIET) --requirement $(CELLXGENE_PINS)
	touch $@

# atheris alone: the rest its environment takes from that of Nexus.
.venvs/fuzz/.installed: tests/fuzz/atheris.txt $(INSTALLED)
	$(PYTHON) -m venv --clear --without-pip .venvs/fuzz
	$(UV) --python .venvs/fuzz/bin/python --requirement $< \
		|| $(PIP) --python .venvs/fuzz/bin/python install $(QUIET) --requirement $<
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> $$(.venvs/fuzz/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nexus.pth
	touch $@

# pip and not uv: where an index is configured that has torch for the CPU alone, pip takes it.
.venvs/%/.installed: tests/training/%.txt $(INSTALLED)
	$(if $(filter annbatch,$*),$(PYTHON312),$(PYTHON)) -m venv --clear .venvs/$*
	.venvs/$*/bin/python -m pip install $(QUIET) --requirement $<
	$(if $(filter torch,$*),.venvs/$*/bin/python -m pip install $(QUIET) --constraint constraints.txt --constraint $< \
		--editable '.[torch]')
	touch $@

clean:
	rm -rf $(VENV) .venvs $(BIGQUERY) $(CELLXGENE) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
