# One image for every program: crm-sync api | worker | relay | migrate | topics.
# The interpreter is the one that CI runs.
FROM python:3.11-slim-bookworm AS build
WORKDIR /app
COPY requirements.lock pyproject.toml LICENSE README.md ./
# What runs in production, and the sandbox: each package in the version, and checked against the hash, that
# requirements.lock holds. The embedded servers, the test tools and the linters stay out.
RUN pip install --no-cache-dir "$(grep -o '^uv==[0-9.]*' requirements.lock)" \
 && uv venv /venv \
 && uv pip install --python /venv --no-cache --constraints requirements.lock --requirements pyproject.toml --extra sandbox setuptools
COPY schemas schemas
COPY crm crm
COPY consumer consumer
COPY producer_api producer_api
COPY cli cli
COPY sandbox sandbox
COPY migrations migrations
COPY alembic.ini ./
RUN uv pip install --python /venv --no-cache --no-deps --no-build-isolation --editable . \
 && /venv/bin/python -m compileall -q /app

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="morket-crm-sync" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin crm-sync
COPY --from=build /venv /venv
COPY --from=build /app /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 10001
# Signals reach the program itself: SIGTERM stops it after the commands in flight.
ENTRYPOINT ["crm-sync"]
CMD ["--help"]
