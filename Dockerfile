# A service that judges with one exported model: no torch, no root, nothing written.
#
#   docker build -t knowbound .
#   export KNOWBOUND_TOKEN="$(openssl rand -hex 32)"
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges -p 8000:8000 \
#     -e KNOWBOUND_TOKEN -v "$PWD/model.onnx:/model/model.onnx:ro" knowbound
#
# A new model is noticed where its folder is mounted (-v "$PWD/models:/model:ro"), not the file.
# Another base with Python 3.11 or later as `python`: --build-arg BASE=...
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE} AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src ./src
RUN python -m venv /app \
 && /app/bin/pip install --no-cache-dir --no-compile --constraint constraints.txt '.[serve,onnx-runtime]' \
 && /app/bin/python -m compileall -q /app/lib

FROM ${BASE}
COPY --from=build /app /app
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["/app/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["/app/bin/knowbound", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["/model/model.onnx"]
