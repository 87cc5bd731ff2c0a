ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS builder

WORKDIR /app

# Wheels only, so that no package's build runs here; and pip stays outside the environment.
# The bytecode is never compared with its source: neither changes any more, and it survives new file times.
COPY requirements/prod.txt /tmp/
RUN python3 -m venv --without-pip /venv \
    && python3 -m pip --python /venv/bin/python install --no-cache-dir --no-compile --disable-pip-version-check \
        --only-binary=:all: --require-hashes --requirement /tmp/prod.txt \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib

COPY alembic.ini ./
COPY alembic alembic/
COPY src src/
# The modes come from a developer's disk; the service's user must be able to read what is there.
RUN chmod -R a+rX . && python3 -m compileall -q --invalidation-mode unchecked-hash .


FROM ${BASE}

# The AI provider is reached over TLS: a base without certificates fails here, and not at the first call.
# Official images come without bytecode of the standard library, which every start and health check would make anew.
RUN python3 -c 'import ssl; assert ssl.create_default_context().get_ca_certs(), "no CA certificates"' \
    && python3 -m compileall -q -j 0 -x site-packages "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && groupadd --gid 10001 app \
    && useradd --no-log-init --uid 10001 --gid app --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin app

COPY --from=builder /venv /venv
COPY --from=builder /app /app

WORKDIR /app
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ENVIRONMENT=production \
    HOST=0.0.0.0 \
    PORT=8000
EXPOSE 8000
USER 10001:10001

# http.client takes no notice of HTTP_PROXY, as urllib would; localhost is reached whether HOST is IPv4 or IPv6.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, sys; from http.client import HTTPConnection as C; c = C('localhost', os.environ.get('PORT') or 8000, timeout=2); c.request('GET', '/health/live'); sys.exit(c.getresponse().status != 200)"]

CMD ["python", "-m", "src"]

ARG REVISION=unknown
LABEL org.opencontainers.image.title="audit-trail" \
      org.opencontainers.image.description="Who did what to which entity, over a JSON REST API on PostgreSQL" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"
