# One image for every process: `serve`, `worker`, `scheduler`, `migrate` and the other verbs.
FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/linli
ENV PATH=/opt/linli/bin:$PATH
WORKDIR /src
# The libraries first: their layer stays while only our own code changes.
COPY requirements/run.txt requirements/run.txt
RUN pip install --require-hashes -r requirements/run.txt
COPY . .
RUN pip install --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/linli linli
COPY --from=build /opt/linli /opt/linli
ENV PATH=/opt/linli/bin:$PATH \
    PYTHONUTF8=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LINLI_HOST=0.0.0.0 \
    LINLI_LOG_FORMAT=json \
    LINLI_DATA_DIR=/var/lib/linli/data
USER linli
WORKDIR /var/lib/linli
EXPOSE 8000
ENTRYPOINT ["linli"]
CMD ["serve"]
