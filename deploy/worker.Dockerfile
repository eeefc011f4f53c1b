# The worker image: what a task of a Vertex pipeline runs in. No Dagster, no web server, no command line.
# Build it with `make images`, which passes the digest of the base image; see deploy/README.md.
ARG PYTHON_DIGEST

FROM python:3.11-slim-bookworm@${PYTHON_DIGEST} AS build
WORKDIR /src
RUN python -m venv --without-pip /opt/nexus
COPY pyproject.toml hashes.txt README.md LICENSE ./
COPY omics_datastore omics_datastore
COPY kfp_components kfp_components
# Only files whose SHA-256 is in hashes.txt are taken, uv itself first.
RUN sed -n '/^uv==/,/[^\\]$/p' hashes.txt > uv.txt \
    && python -m pip install --no-cache-dir --require-hashes --requirement uv.txt \
    && uv pip install --no-cache --python /opt/nexus/bin/python --constraint hashes.txt --build-constraint hashes.txt . \
    && uv pip check --python /opt/nexus/bin/python

# The validator of the CELLxGENE schema, for datasets whose sidecar asks for it: 1 GB, so only with CELLXGENE=with.
FROM python:3.11-slim-bookworm@${PYTHON_DIGEST} AS cellxgene
ARG CELLXGENE=without
WORKDIR /src
COPY deploy/cellxgene-constraints.txt ./
RUN mkdir /opt/cellxgene \
    && if [ "$CELLXGENE" = with ]; then \
        python -m venv /opt/cellxgene \
        && /opt/cellxgene/bin/pip install --no-cache-dir --require-hashes --requirement cellxgene-constraints.txt \
        && /opt/cellxgene/bin/pip check; \
    fi

FROM python:3.11-slim-bookworm@${PYTHON_DIGEST}
RUN useradd --system --uid 10001 --create-home --home-dir /home/nexus nexus
COPY --from=build /opt/nexus /opt/nexus
COPY --from=cellxgene /opt/cellxgene /opt/cellxgene
ENV PATH=/opt/nexus/bin:$PATH \
    PYTHONUNBUFFERED=1
WORKDIR /home/nexus
USER 10001
# Vertex AI gives each task its command; started by hand, the image says what it is.
CMD ["python", "-c", "import importlib.metadata as m; print('nexus worker', m.version('nexus-omics'))"]
