"""What a real S3 server process shows of our S3 storage alone: buckets that are not there, keys, connections."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.helpers.s3 import BUCKET
from toffee_pipeline.errors import DamagedFile, MissingKey, StorageError
from toffee_pipeline.rundir.layout import manifest_key
from toffee_pipeline.rundir.manifests import committed_shards
from toffee_pipeline.storage import open_storage


def test_committed_shards_take_a_request_for_each_page_of_their_list(endpoint, tmp_path):
    storage = open_storage(f"s3://{BUCKET}/{tmp_path.name}", endpoint)
    for shard in range(7):
        storage.put(manifest_key(shard), b"{}")
    requests: list[str] = []
    events = storage._client().meta.events
    events.register("provide-client-params.s3.ListObjectsV2", lambda params, **_: params | {"MaxKeys": 3})
    events.register("before-send.s3", lambda request, **_: requests.append(request.url))
    assert committed_shards(storage) == set(range(7)) and len(requests) == 3
    assert [key for key, _ in storage.list()] == [manifest_key(shard) for shard in range(7)]


def test_missing_bucket_is_one_clear_line(endpoint):
    storage = open_storage("s3://no-such-bucket/run", endpoint)
    with pytest.raises(StorageError, match="^s3://no-such-bucket/run/a: .*NoSuchBucket") as caught:
        storage.get("a")
    assert not isinstance(caught.value, MissingKey)
    with pytest.raises(StorageError, match="NoSuchBucket"):
        committed_shards(storage)


def test_files_to_and_from_a_missing_bucket(endpoint, tmp_path):
    storage = open_storage("s3://no-such-bucket/run", endpoint)
    with pytest.raises(StorageError, match="^s3://no-such-bucket/run/a: .*NoSuchBucket"):
        storage.put_file("a", Path(__file__))
    with pytest.raises(StorageError, match="^s3://no-such-bucket/run/a: .*NoSuchBucket") as caught:
        storage.get_file("a", tmp_path / "a", None)
    assert not isinstance(caught.value, MissingKey) and list(tmp_path.iterdir()) == []


def test_an_answer_that_is_refused_keeps_no_connection(s3):
    """Also while whoever caught the error keeps it."""
    uri, endpoint = s3
    storage = open_storage(uri, endpoint)
    storage.put("a", os.urandom(2**20))
    port = urlsplit(endpoint).port

    def connected() -> int:
        found = psutil.Process().net_connections("tcp")
        return sum(each.status == "ESTABLISHED" and each.raddr.port == port for each in found)

    before, errors = connected(), []
    for _ in range(4):
        with pytest.raises(DamagedFile, match="allowed are 1$") as caught:
            storage.get("a", 1)
        errors.append(caught.value)
    assert connected() <= before
