"""A folder that somebody else packed: links that leave it, pipes and devices, files without an end."""

import os
from pathlib import Path

import pytest

from tests.helpers.s3 import shared_storage
from toffee_pipeline.errors import DamagedFile, MissingKey, StorageError
from toffee_pipeline.storage import LocalStorage, open_storage, s3

USES = {
    "get": lambda storage, key: storage.get(key),
    "open": lambda storage, key: storage.open(key),
    "put": lambda storage, key: storage.put(key, b"theirs"),
    "put_if_absent": lambda storage, key: storage.put_if_absent(key, b"theirs"),
    "put_file": lambda storage, key: storage.put_file(key, Path(__file__)),
    "get_file": lambda storage, key: storage.get_file(key, Path(storage.uri, "copy"), 9),
    "compare_and_swap": lambda storage, key: storage.compare_and_swap(key, b"mine", b"theirs"),
    "delete": lambda storage, key: storage.delete(key),
    "exists": lambda storage, key: storage.exists(key),
    "move from": lambda storage, key: storage.move(key, "moved"),
    "move to": lambda storage, key: storage.move("own", key),
    "path_for": lambda storage, key: storage.path_for(key),
    "list": lambda storage, key: list(storage.list(f"{os.path.dirname(key)}/")),
}


@pytest.fixture
def outside(tmp_path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_bytes(b"mine")
    return folder


@pytest.fixture
def storage(tmp_path) -> LocalStorage:
    made = LocalStorage(str(tmp_path / "run"))
    made.put("own", b"own")
    return made


@pytest.mark.parametrize("linked", ["folder", "file"])
@pytest.mark.parametrize("use", USES)
def test_a_link_that_leaves_the_folder_is_of_no_use(storage, outside, use, linked):
    data = Path(storage.uri, "data")
    if linked == "folder":
        data.symlink_to(outside)
    else:
        data.mkdir()
        (data / "file").symlink_to(outside / "file")
    with pytest.raises(StorageError, match=f"{data}.*: a link that leaves {storage.uri}: nothing is read") as caught:
        USES[use](storage, "data/file")
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"file": b"mine"}
    assert storage.get("own") == b"own"


def test_a_link_within_the_folder_and_the_folder_as_a_link_are_followed(storage, tmp_path):
    storage.put("kept/file", b"kept")
    Path(storage.uri, "data").symlink_to("kept")
    (tmp_path / "link").symlink_to(storage.uri)
    linked = LocalStorage(str(tmp_path / "link"))
    assert linked.get("data/file") == b"kept"
    assert list(linked.list("data/")) == [("data/file", 4)]
    linked.put("data/more", b"more")
    assert storage.get("kept/more") == b"more"


def test_a_snapshot_in_the_hubs_cache_is_read_by_its_links_to_blobs(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "1f2e").write_bytes(b"rows")
    snapshot = tmp_path / "snapshots" / "main"
    (snapshot / "data").mkdir(parents=True)
    (snapshot / "data" / "a.parquet").symlink_to("../../../blobs/1f2e")
    storage = LocalStorage(str(snapshot))
    assert storage.get("data/a.parquet") == b"rows"
    assert list(storage.list()) == [("data/a.parquet", 4)]


def test_in_a_folder_of_ones_own_pictures_links_are_followed(outside, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").symlink_to(outside / "file")
    storage = open_storage(str(tmp_path / "pictures"), follow_links=True)
    assert list(storage.list()) == [("a.png", 4)]
    assert storage.get("a.png") == b"mine"


@pytest.mark.parametrize("what", ["pipe", "device"])
def test_what_may_never_end_is_not_read(storage, what):
    path = Path(storage.uri, "run.json")
    os.mkfifo(path) if what == "pipe" else path.symlink_to("/dev/zero")
    theirs = LocalStorage(storage.uri, follow_links=True)
    for use in ("get", "open", "get_file", "compare_and_swap"):
        with pytest.raises(DamagedFile, match=f"{path}: damaged: no regular file"):
            USES[use](theirs, "run.json")
    assert not theirs.exists("run.json")
    assert [key for key, _ in theirs.list()] == ["own"]


@pytest.mark.parametrize("place", ["local", "s3"])
def test_of_a_file_no_more_is_read_than_allowed(place, request, tmp_path, monkeypatch):
    storage = LocalStorage(str(tmp_path))
    if place == "s3":
        storage = shared_storage(tmp_path.name, request.getfixturevalue("endpoint"))
    storage.put("file", b"12345")
    assert storage.get("file", 5) == b"12345"
    with pytest.raises(DamagedFile, match="file: damaged: 5 bytes; allowed are 4"):
        storage.get("file", 4)
    with pytest.raises(DamagedFile, match="file: damaged: 5 bytes; allowed are 4"):
        storage.get_file("file", tmp_path / "copy", 4)
    assert not (tmp_path / "copy").exists()
    storage.get_file("file", tmp_path / "copy", 5)
    assert (tmp_path / "copy").read_bytes() == b"12345"
    for held_bytes in (3, 100):  # S3 maps a copy on disk of what has more
        monkeypatch.setattr(s3, "MAX_HELD_BYTES", held_bytes)
        assert bytes(storage.map("file")) == bytes(storage.map("file", 5)) == b"12345"
        with pytest.raises(DamagedFile, match="file: damaged: 5 bytes; allowed are 4"):
            storage.map("file", 4)


def test_a_sparse_file_of_20_gib_is_refused_unread(storage):
    with open(Path(storage.uri, "run.json"), "wb") as file:
        file.truncate(20 * 2**30)
    with pytest.raises(DamagedFile, match="run.json: damaged: 21474836480 bytes"):
        storage.get("run.json")


def test_a_folder_named_as_a_temporary_file_is_left_alone(storage):
    folder = Path(storage.uri, "data", ".tmp-x")
    folder.mkdir(parents=True)
    (folder / "file").touch()
    (folder.parent / ".tmp-1").touch()
    assert storage.temporary() == ["data/.tmp-1"]
    storage.delete_temporary()
    assert storage.temporary() == []
    assert (folder / "file").exists()
    with pytest.raises(MissingKey):
        storage.get("data/other")
