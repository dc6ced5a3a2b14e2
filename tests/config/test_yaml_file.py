"""YAML as users save it: in which encodings it is read, and what is said of what is wrong."""

import codecs

import pytest

from toffee_pipeline.config.yaml_file import MAX_BYTES, read_yaml
from toffee_pipeline.errors import ConfigError


def laughs(kind: type) -> bytes:
    """Ten to the power of twelve words, by lists of aliases of lists of aliases, or by mappings that are merged."""
    lines = ["a: &a [x]" if kind is list else "a: &a {x: 1}"]
    for name, before in zip("bcdefghijklm", "abcdefghijkl", strict=True):
        ten = f"[{', '.join([f'*{before}'] * 10)}]"
        lines.append(f"{name}: &{name} {ten if kind is list else f'{{<<: {ten}}}'}")
    return "\n".join(lines).encode()


TEXT = "a: 1\nb: {c: größe}\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.replace("\n", "\r\n").encode(),
    ],
    ids=["plain", "utf-8 with mark", "utf-16 little", "utf-16 big", "windows line ends"],
)
def test_encodings(data):
    assert read_yaml(data, "x.yaml") == {"a": 1, "b": {"c": "größe"}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (TEXT.encode("latin-1"), r"x\.yaml: not UTF-8 \(byte 14 on\): save it as UTF-8"),
        (TEXT.encode("utf-16-le"), "x.yaml: not UTF-8"),
        (codecs.BOM_UTF16_LE + b"\x00", "x.yaml: not UTF-8"),
        (b"a: 1\nb: 2\na: 3\n", "x.yaml: no valid YAML: line 3: the key 'a' stands twice"),
        (b"a:\n  b: {c: 1,\n    'c': 2}\n", "x.yaml: no valid YAML: line 3: the key 'c' stands twice"),
        (b"a: [1\n", "x.yaml: no valid YAML: line 2: "),
        (b"a: b: c\n", "x.yaml: no valid YAML: line 1: mapping values are not allowed in this context"),
        (b"a: !!python/object/apply:os.getpid []\n", "line 1: could not determine a constructor for the tag"),
        (b"a: *b\n", "line 1: .*found undefined alias 'b'"),
        (b"{[1]: 2}", "line 1: .*found unhashable key"),
        (b"a: 2026-99-99", "no valid YAML: month must be in 1..12"),
        (b"a: \x07", "no valid YAML: unacceptable character"),
        (b"[" * 1000, "no valid YAML: maximum recursion depth"),
        (b"a: &a\n- *a\n", "line 1: an alias stands inside of itself"),
        (b"a: &a {b: *a}", "line 1: an alias stands inside of itself"),
        (laughs(list), "more than 100000 values, those of an alias counted each time"),
        (laughs(dict), "more than 100000 values, those of an alias counted each time"),
        (b"# " + b"x" * MAX_BYTES, "x.yaml: 1048578 bytes are too many; allowed are 1048576"),
        (b"a: 1\n---\nb: 2\n", "line 2: expected a single document in the stream but found another document"),
    ],
)
def test_what_cannot_be_read_is_one_line(data, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_yaml(data, "x.yaml")
    assert str(caught.value).startswith("x.yaml: ")
    assert "\n" not in str(caught.value)


def test_a_key_may_stand_again_in_another_mapping_and_over_a_merged_one():
    text = b"z: &z {a: 1, b: 2}\ny: {<<: *z, b: 3}\nx: [{a: 1}, {a: 1}]\n"
    assert read_yaml(text, "x.yaml")["y"] == {"a": 1, "b": 3}
    assert read_yaml(b"", "x.yaml") is None
