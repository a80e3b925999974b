# Two images: `worker` (the default, no torch) and `trainer`.
FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# libgomp1: onnxruntime, and the trainer's LightGBM. The user owns nothing but the models' folder.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/hark --create-home hark
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY schemas schemas
COPY models models
COPY streams streams
COPY ops ops
# Models live in a volume, shared by the trainer and the workers.
ENV HARK_MODEL__REGISTRY=/var/lib/hark/registry \
    HARK_HTTP__HOST=0.0.0.0 \
    NUMBA_CACHE_DIR=/tmp/numba
WORKDIR /var/lib/hark
EXPOSE 9464
ENTRYPOINT ["hark"]

FROM base AS trainer
RUN pip install -c /src/constraints.txt "/src[train]" && rm -rf /src/build
USER hark
CMD ["trainer"]

FROM base AS worker
RUN pip install -c /src/constraints.txt /src && rm -rf /src/build
USER hark
# Ready: state restored and consuming. A draining worker is not.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9464/readyz', timeout=2)"]
CMD ["worker"]
