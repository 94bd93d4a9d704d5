# One image for every actor: the command chooses, as in `docker run jobwire serve gateway`.

# The version of Python with which everything is tested.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /source
# The installer comes from the lock, with its hashes, like all that it installs.
COPY requirements.lock ./
RUN sed -n '/^uv==/,/^    # via/p' requirements.lock > installer.txt \
    && pip install --no-cache-dir --require-hashes -r installer.txt \
    && uv venv --python /usr/local/bin/python3 /opt/jobwire
# What the product needs of the lock, without the tools of its development. The hashes of a
# constraint are checked; a package that the lock does not name has none, and there is none.
COPY pyproject.toml ./
RUN uv pip install --no-cache --compile-bytecode --python /opt/jobwire \
    --constraints requirements.lock --requirements pyproject.toml
COPY README.md LICENSE ./
COPY src src
COPY schemas schemas
COPY actors actors
RUN uv pip install --no-cache --compile-bytecode --python /opt/jobwire \
    --no-deps --build-constraints requirements.lock .

FROM python:${PYTHON}
LABEL org.opencontainers.image.title="Jobwire" \
      org.opencontainers.image.description="Event-driven job control" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number that is nobody's on usual hosts. The folder is made here, so that a new volume is its.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data jobwire \
    && install --directory --owner=jobwire --group=jobwire --mode=700 /data
COPY --from=build /opt/jobwire /opt/jobwire
COPY deploy/probe.py /opt/jobwire/probe.py
# In a container, loopback is nobody: the gateway listens on all of the container's addresses.
ENV PATH=/opt/jobwire/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    JOBWIRE_DATA=/data \
    JOBWIRE_HOST=0.0.0.0
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8640
# Alive, not ready: whoever restarts what is unhealthy must not do so because a broker is away.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "/opt/jobwire/probe.py", "/health/live"]
ENTRYPOINT ["jobwire"]
CMD ["up"]
