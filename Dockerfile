# The processor: renders Envoy's files, serves Envoy's ext_proc streams, records usage. Envoy runs beside it from its
# own image, on the files in /var/lib/gateway that both mount; docker-compose.yaml and deploy/k8s show how.

FROM docker.io/library/python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md ./
COPY envoy/envoy.yaml envoy/
COPY processor processor
# Without the extra `envoy`: the binary is the other container's, a hundred megabytes that nothing here runs.
RUN python -m venv --without-pip /opt/gateway \
 && pip --python /opt/gateway install --no-cache-dir .

FROM docker.io/library/python:3.11-slim
# The same number in both containers: each must open the other's sockets and logs, and nobody else may.
RUN groupadd --gid 65532 gateway \
 && useradd --uid 65532 --gid gateway --no-create-home --home-dir /var/lib/gateway --shell /usr/sbin/nologin gateway \
 && install --directory --owner gateway --group gateway --mode 0700 /var/lib/gateway
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_STATE=/var/lib/gateway
USER 65532:65532
WORKDIR /var/lib/gateway
VOLUME /var/lib/gateway
ENTRYPOINT ["python", "-m", "processor"]
CMD ["serve"]
