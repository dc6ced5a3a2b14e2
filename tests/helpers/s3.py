"""An S3 server for tests: a process of its own (moto), or the one that TOFFEE_TEST_S3_ENDPOINT names."""

import atexit
import functools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import boto3

from toffee_pipeline.storage import Storage
from toffee_pipeline.storage.s3 import S3Storage

EXTERNAL = os.environ.get("TOFFEE_TEST_S3_ENDPOINT")
BUCKET = os.environ.get("TOFFEE_TEST_S3_BUCKET", "toffee")
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
if EXTERNAL:
    CREDENTIALS = {name: os.environ.get(name, value) for name, value in CREDENTIALS.items()}


CLIENTS: dict[str, dict[int, object]] = {}
"""Of each endpoint: making a client takes a fifth of a second."""


def shared_storage(prefix: str, endpoint: str) -> Storage:
    """A prefix of `BUCKET`, whose client all tests share."""
    storage = S3Storage(f"{BUCKET}/{prefix}", endpoint)
    storage._clients = CLIENTS.setdefault(endpoint, {})
    return storage


def make_bucket(endpoint: str) -> None:
    """Make `BUCKET`, unless it is there on a server of the user's."""
    client = boto3.session.Session().client("s3", endpoint_url=endpoint)
    if BUCKET not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=BUCKET)


@contextmanager
def s3_server() -> Iterator[str]:
    """The endpoint URL of the session's server, which is started when it is first asked for."""
    yield EXTERNAL or _start()


@functools.cache
def _start() -> str:
    """Starts it on a free port of the loopback; it ends with this process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(server.kill)
    while server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return f"http://127.0.0.1:{port}"
        time.sleep(0.05)
    raise RuntimeError(f"moto server ended with {server.returncode}")
