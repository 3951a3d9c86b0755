# The platform's own images, one target each: `service` (REST service), `web` (web servers, daemon, Docker policy proxy)
# and `runs` (code servers, runs, reaper; the default, and the first, since the legacy builder makes all that stands before).
# Builds with the legacy builder and with BuildKit.
#
# Without a network, fill ./wheelhouse (see docs/deployment.md) and build with
#   --network none --build-arg PIP_ARGS="--no-index --find-links /wheelhouse"
# PIP_ARGS and whatever else pip is told hold for uv too, which installs: see deploy/image/install.py.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS base
# One unprivileged user, and the places where volumes are mounted: a new volume takes over the owner of its place.
# Written by hand instead of by useradd, whose files hold the day of the build.
RUN echo 'mlops:x:10001:10001::/var/lib/mlops-assets:/usr/sbin/nologin' >>/etc/passwd \
 && echo 'mlops:x:10001:' >>/etc/group \
 && home=/var/lib/mlops-assets \
 && install -d -m 0750 -o 10001 -g 10001 "$home" "$home/landing" "$home/exports" "$home/inference_log" "$home/reports" "$home/cache" "$home/alerts" "$home/lakes" \
      "$home/lakes/restricted" "$home/lakes/restricted/data" "$home/lakes/curated" "$home/lakes/curated/data" \
 && install -d -m 0700 -o 10001 -g 10001 "$home/errors" "$home/scratch" /run/docker-proxy /run/docker-proxy/launch /run/docker-proxy/end \
      /run/docker-proxy/reap /run/code /run/code/plumbing /run/code/wrangling \
      /run/code/modeling /run/pages /run/service /run/secrets /run/secrets/storage /run/secrets/own /secrets \
 && for reader in authority clients tokens postgres proxy service storage plumbing wrangling modeling reaper; do \
      install -d -m 0700 -o 10001 -g 10001 "/secrets/$reader"; done \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
 && touch -d @0 /etc/passwd /etc/group /etc /run /var/lib / \
 && find /run /secrets "$home" -exec touch -h -d @0 {} +
ENV PATH=/opt/mlops-assets/code/bin:/opt/mlops-assets/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    DAGSTER_HOME=/opt/dagster \
    MLOPS_ASSETS_HOME=/var/lib/mlops-assets \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

# Every dependency of every target, from the lock with hashes and without what nobody needs. A change of code reuses these
# layers. What is done here is done once, and no file of it is copied into a target's own layer because it is touched.
FROM base AS dependencies
ARG PIP_ARGS=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONHASHSEED=0
COPY requirements-runtime.lock wheelhous[e] /wheelhouse/
COPY deploy/image /build
RUN python3 -m venv /opt/mlops-assets \
 && python3 /build/install.py /wheelhouse/requirements-runtime.lock ${PIP_ARGS} \
 && python3 -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "code.pth").write_text("/opt/mlops-assets/code\n")' \
 && python3 /build/slim.py \
 && rm -rf /wheelhouse

FROM dependencies AS service-dependencies
RUN python3 /build/slim.py \
      --keep litestar uvicorn h11 httptools uvloop msgspec numpy onnx onnxruntime prometheus-client pyarrow 'pyjwt[crypto]' pydantic-settings \
        typer rich \
      --compile litestar litestar.openapi uvicorn uvloop httptools msgspec jwt cryptography.x509 pydantic_settings onnx onnxruntime pyarrow.compute \
        typer rich.console rich.table

FROM dependencies AS web-dependencies
RUN python3 /build/slim.py \
      --keep dagster dagster-webserver dagster-docker dagster-postgres psycopg2-binary sqlalchemy 'pyjwt[crypto]' \
        pydantic-settings typer rich \
      --compile dagster_webserver.cli dagster._daemon.cli dagster_docker dagster_postgres sqlalchemy.dialects.postgresql \
        psycopg2 pydantic_settings typer rich.console rich.table cryptography.x509

FROM dependencies AS runs-dependencies
RUN python3 /build/slim.py \
      --keep dagster dagster-docker dagster-postgres duckdb duckdb-extension-ducklake duckdb-extension-postgres-scanner \
        duckdb-extension-sqlite-scanner fsspec httpx 'ibis-framework[duckdb]' jinja2 matplotlib msgspec numpy onnx onnxruntime 'pandera[ibis]' \
        psycopg2-binary pyarrow pydantic-settings 'pyjwt[crypto]' pymysql rich scikit-learn scipy skl2onnx sqlalchemy sqlglot threadpoolctl \
        typer \
      --compile dagster._cli.api dagster._grpc.server dagster._core.definitions.repository_definition.repository_data_builder \
        dagster._core.definitions.external_asset dagster._core.execution.execute_in_process dagster._core.executor.in_process \
        dagster._core.instance.factory dagster._core.instance.runs.run_domain dagster._core.launcher.sync_in_memory_run_launcher \
        dagster._core.storage.migration.utils dagster._core.storage.noop_compute_log_manager dagster._core.storage.root \
        dagster._core.system_config.composite_descent \
        upath.implementations.local fsspec.implementations.local \
        dagster_docker dagster_postgres sqlalchemy.dialects.postgresql psycopg2 duckdb ibis ibis.backends.duckdb ibis.formats.pyarrow \
        pyarrow pyarrow.pandas_compat pyarrow.vendored.version pyarrow.parquet pyarrow_hotfix pandas pandera.ibis pandera.backends.ibis.builtin_checks \
        pandera.strategies.base_strategies httpx jwt msgspec pymysql cryptography.x509 onnx onnxruntime skl2onnx \
        jinja2 matplotlib.figure matplotlib.backends.backend_agg matplotlib.backends.backend_svg \
        sklearn.linear_model sklearn.ensemble sklearn.isotonic scipy.optimize scipy.stats scipy.sparse threadpoolctl \
        pydantic_settings typer rich.console rich.table

# The package itself, compiled, in a folder of its own that the environment looks into. Its metadata and its command come
# first: a change of its modules copies and compiles them, and nothing else. By pip, since uv would note when it came in.
FROM dependencies AS code
COPY pyproject.toml README.md LICENSE /build/
COPY mlops_assets/__init__.py /build/mlops_assets/
RUN python3 -m pip install --quiet --no-compile --no-deps --no-build-isolation --no-index --target /opt/mlops-assets/code /build
COPY mlops_assets /opt/mlops-assets/code/mlops_assets
ARG SOURCE_DATE_EPOCH=0
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/mlops-assets/code \
 && chmod -R u=rwX,go=rX /opt/mlops-assets/code \
 && find /opt/mlops-assets/code -exec touch -h -d "@${SOURCE_DATE_EPOCH}" {} +

# What is the same for every commit comes first in each target, so that a change of code makes three layers and not a dozen.
FROM base AS runs
COPY --from=runs-dependencies /opt/mlops-assets /opt/mlops-assets
COPY dagster.yaml /opt/dagster/
# Whoever builds may have files that only they can read.
RUN chmod 0644 /opt/dagster/*
ARG VERSION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="mlops-assets code servers and runs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.source="${SOURCE}"
USER 10001:10001
WORKDIR /var/lib/mlops-assets
CMD ["mlops-assets", "--help"]
COPY --from=code /opt/mlops-assets/code /opt/mlops-assets/code
ARG COMMIT=unknown
LABEL org.opencontainers.image.revision="${COMMIT}"

FROM base AS web
COPY --from=web-dependencies /opt/mlops-assets /opt/mlops-assets
COPY dagster.yaml deploy/workspace.yaml /opt/dagster/
COPY deploy/docker-policy.json deploy/roles.toml /etc/mlops-assets/
RUN chmod 0644 /opt/dagster/* /etc/mlops-assets/*
ARG VERSION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="mlops-assets web server and daemon" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.source="${SOURCE}"
ENV MLOPS_ASSETS_ROLES=/etc/mlops-assets/roles.toml
USER 10001:10001
WORKDIR /opt/dagster
# It answers whoever has no role that there is nothing for them.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m --retries=6 \
  CMD ["python3", "-I", "-S", "-c", "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(4); s.connect('/run/pages/pages.sock'); s.sendall(b'GET /server_info HTTP/1.1\\r\\nHost: pages\\r\\n\\r\\n'); assert b' 403 ' in s.recv(64)"]
CMD ["mlops-assets", "pages", "--workspace", "/opt/dagster/workspace.yaml", "--listen", "/run/pages/pages.sock"]
COPY --from=code /opt/mlops-assets/code /opt/mlops-assets/code
ARG COMMIT=unknown
LABEL org.opencontainers.image.revision="${COMMIT}"

FROM base AS service
COPY --from=service-dependencies /opt/mlops-assets /opt/mlops-assets
ARG VERSION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="mlops-assets service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.source="${SOURCE}"
USER 10001:10001
WORKDIR /var/lib/mlops-assets
# On the socket behind an edge; whoever runs the image otherwise has a check of their own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m --retries=3 \
  CMD ["python3", "-I", "-S", "-c", "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(4); s.connect('/run/service/service.sock'); s.sendall(b'GET /health/live HTTP/1.1\\r\\nHost: service\\r\\nConnection: close\\r\\n\\r\\n'); assert b' 200 ' in s.recv(64)"]
CMD ["mlops-assets", "serve"]
COPY --from=code /opt/mlops-assets/code /opt/mlops-assets/code
ARG COMMIT=unknown
LABEL org.opencontainers.image.revision="${COMMIT}"

# Without a target.
FROM runs
