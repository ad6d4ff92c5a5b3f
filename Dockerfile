# The one image of the project: every role is a sub-command of its entry point.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/fraudstream
ENV PATH=/opt/fraudstream/bin:${PATH}

# Dependencies first: they change seldom, and the layer is kept while only our code changes.
COPY requirements.lock pyproject.toml setup.cfg README.md LICENSE ./
RUN mkdir -p fraudstream \
    && touch fraudstream/__init__.py \
    && pip install --constraint requirements.lock setuptools wheel \
    && pip install --constraint requirements.lock --no-build-isolation . \
    && pip uninstall --yes fraudstream \
    && rm -rf fraudstream build ./*.egg-info

# The hot modules of the core are compiled from the sources that are installed.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && pip install --constraint requirements.lock mypy

COPY fraudstream fraudstream
COPY agents agents
COPY tables tables
COPY setup.py ./
RUN pip install --no-deps --no-build-isolation . \
    && cd / \
    && python -m fraudstream.compiled \
    && pip uninstall --yes mypy wheel

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="fraudstream" \
      org.opencontainers.image.description="Online fraud detection on Faust and River" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/fraudstream fraudstream \
    && install --directory --owner=fraudstream --group=fraudstream /var/lib/fraudstream
COPY --from=build /opt/fraudstream /opt/fraudstream
ENV PATH=/opt/fraudstream/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    FRAUDSTREAM_DATA_DIR=/var/lib/fraudstream \
    FRAUDSTREAM_METRICS_HOST=0.0.0.0 \
    FRAUDSTREAM_METRICS_PORT=9100
WORKDIR /var/lib/fraudstream
USER 10001:10001
EXPOSE 9100
# The supervisor hands SIGTERM on and reaps its processes: no further init is needed.
ENTRYPOINT ["fraudstream"]
CMD ["worker"]
