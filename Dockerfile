# One image for all components: `webhook`, `controller`, `proxy` (the sidecar), and the command line.
#
#     docker build --tag REGISTRY/coalmine:0.1.0 .
#     docker build --build-arg BASE=REGISTRY/python:3.11-slim --build-arg PIP_INDEX_URL=URL --tag ...   # behind a mirror
#
# What is installed is what the lock files name, by hash. It runs as no one (65532), on a read-only root, without a
# shell: restarts, probes and the sidecar's preStop all start the same program.
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
# for the sidecar's hot path, compiled below
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
WORKDIR /src
COPY requirements.lock requirements-image.lock ./
# /tools builds and stays behind; /opt/coalmine is what goes along
RUN python -m venv /tools \
 && /tools/bin/pip install --require-hashes --requirement requirements.lock \
 && python -m venv --without-pip /opt/coalmine \
 && /tools/bin/pip --python /opt/coalmine/bin/python install --no-compile --require-hashes --requirement requirements-image.lock
COPY pyproject.toml README.md ./
COPY core core
COPY webhook webhook
COPY proxy proxy
COPY controller controller
COPY cli cli
COPY sandbox sandbox
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && /tools/bin/pip --python /opt/coalmine/bin/python install --no-compile --no-deps --no-index dist/*.whl \
 && PATH=/tools/bin:$PATH /tools/bin/python proxy/compile.py build/compiled \
 && cp -R build/compiled/. /opt/coalmine/lib/python3*/site-packages/
# Left out: the demo and the sandbox, a control plane for one machine; the Kubernetes client's generated models and calls,
# 120 MB that it loads when they are asked for, and we do not ask; what compiled libraries carry of their sources. The
# byte code is made here, as nothing can be written there.
RUN cd /opt/coalmine/lib/python3*/site-packages \
 && rm -rf .compiled coalmine_cli/demo.py coalmine_cli/sandbox.py coalmine_cli/sandbox_screen.py coalmine_cli/stage coalmine_sandbox \
 && find kubernetes/client kubernetes/aio/client -path '*/client/models/*' ! -name __init__.py -delete \
 && find kubernetes/client kubernetes/aio/client -path '*/client/api/*' ! -name __init__.py -delete \
 && find . \( -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' \) -delete \
 && find . -type d -name tests -prune -exec rm -rf {} + \
 && /opt/coalmine/bin/python -m compileall -q . \
 && /opt/coalmine/bin/python -c 'from kubernetes.aio import client, config; client.ApiClient' \
 && for program in webhook controller proxy check; do /opt/coalmine/bin/coalmine $program --help > /dev/null || exit 1; done

FROM ${BASE}
COPY --from=build /opt/coalmine /opt/coalmine
ENV PATH=/opt/coalmine/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 65532:65532
ENTRYPOINT ["coalmine"]
