# One image for code locations, runs and the service. It builds with the legacy builder and with BuildKit. Without a
# network, fill ./wheelhouse (make wheelhouse) and build with
#   --network none --build-arg PIP_ARGS="--no-index --find-links /wheelhouse"
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}

ARG PIP_ARGS=""
ENV PATH=/opt/mlops-assets/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    DAGSTER_HOME=/opt/dagster \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
RUN groupadd --gid 10001 mlops \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/mlops-assets --create-home mlops

# Dependencies first: a change of code reuses their layer.
COPY requirements-runtime.lock wheelhous[e] /wheelhouse/
RUN python3 -m venv /opt/mlops-assets \
 && python3 -m pip install --quiet ${PIP_ARGS} --no-deps --require-hashes --only-binary :all: -r /wheelhouse/requirements-runtime.lock \
 && rm -rf /wheelhouse

COPY pyproject.toml README.md LICENSE /build/
COPY mlops_assets /build/mlops_assets
COPY dagster.yaml /opt/dagster/dagster.yaml
RUN python3 -m pip install --quiet --no-deps --no-build-isolation --no-index /build

ARG COMMIT=unknown
LABEL org.opencontainers.image.title="mlops-assets" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${COMMIT}"
USER 10001:10001
WORKDIR /var/lib/mlops-assets
CMD ["mlops-assets", "--help"]
