"""Rows of prompt banks, and their two file forms."""

import io
import json

import pyarrow.parquet as pq
import pytest

from toffee_pipeline.errors import CatalogError
from toffee_pipeline.plan import prompt_file
from toffee_pipeline.plan.prompt_file import parse_rows, write_rows
from toffee_pipeline.plan.prompt_row import PromptRow, parse_row

PLAIN = {"category": "background", "change": "on a quay", "source": "hand-written", "license": "CC0-1.0"}
ROWS = (
    PromptRow(**PLAIN),
    PromptRow(**PLAIN | {"category": "style", "change": "a fresco", "applies_to": "live"}),
    PromptRow(
        category="addition",
        applies_to=("teapot", "sugar bowl"),
        change="a tea cosy",
        prompt="a photo of a(n) {class} under {change}",
        draft_prompts=({"decor": "{decor} under {change}"}, {"class": "{class} under {change}"}),
        instruction="put {change} over it",
        edit_region="subject",
        source="example/writer@abc",
        license="Apache-2.0",
        verdicts={"language": "en", "clip_tokens": "11"},
    ),
)


def read(data: bytes, name: str) -> list[tuple[str, PromptRow | ValueError]]:
    return list(parse_rows(io.BytesIO(data), name))


@pytest.mark.parametrize("name", ["bank.jsonl", "bank.parquet"])
def test_rows_come_back_as_they_were_written(name: str) -> None:
    file = io.BytesIO()
    assert write_rows(file, ROWS, name) == 3
    unit = "row" if name.endswith("parquet") else "line"
    assert read(file.getvalue(), name) == [(f"{unit} {number}", row) for number, row in enumerate(ROWS, 1)]


def test_a_parquet_bank_is_read_and_written_a_batch_at_a_time() -> None:
    file = io.BytesIO()
    many = prompt_file.BATCH + 5
    rows = (PromptRow(**PLAIN | {"change": f"on quay {number}"}) for number in range(many))
    assert write_rows(file, rows, "bank.parquet") == many
    assert pq.ParquetFile(io.BytesIO(file.getvalue())).num_row_groups == 2
    assert read(file.getvalue(), "bank.parquet")[-1][0] == f"row {many}"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"category": "mood"}, "category: Input should be 'style', 'background', 'color', "),
        ({"change": "on  a quay"}, "change: 'on  a quay': allowed is a phrase without braces and without spare spaces"),
        ({"change": "{class}"}, "change: '{class}': allowed is a phrase without braces"),
        ({"change": "very " * 50 + "far"}, "change: String should have at most 200 characters"),
        ({"prompt": "a photo of a {class}"}, "prompt: template 'a photo of a {class}': allowed are the slots {change}"),
        ({"instruction": "put it {place}"}, "instruction: template 'put it {place}': allowed are the slots {change}"),
        ({"draft_prompts": [{"place": "{change}"}]}, "draft_prompts: the last entry holds for every prompt"),
        ({"applies_to": []}, "applies_to: []: allowed are any, live, object and a list of classes"),
        ({"applies_to": "teapot"}, "applies_to: 'teapot': allowed are any, live, object and a list of classes"),
        ({"applies_to": ["cup", "cup"]}, "applies_to: 'cup' is there twice"),
        ({"category": "removal", "change": "a lid"}, "applies_to=any: what can be removed belongs to classes"),
        ({"edit_region": "left"}, "edit_region: Input should be 'subject', 'around', 'background' or 'everywhere'"),
        ({"weight": 3}, "weight: unknown key"),
        ({"a\n\x1db": 3}, "a \\u001db: unknown key"),
        ({"source": None}, "source: Field required"),
    ],
)
def test_what_is_wrong_with_a_row_is_one_line(changed: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_row(PLAIN | changed)
    assert problem in str(caught.value) and "\n" not in str(caught.value)


def test_a_line_that_is_wrong_costs_no_other_one() -> None:
    good = json.dumps(PLAIN).encode()
    long = b'{"change": "' + b"x" * (3 * prompt_file.MAX_LINE_BYTES) + b'"}'
    lines = [b"\xef\xbb\xbf" + good, b"", b"[1]", b"{", b"\xff", long, b"[" * 60_000, good]
    found = read(b"\n".join(lines), "bank.jsonl")
    assert [place for place, _ in found] == [f"line {number}" for number in (1, 3, 4, 5, 6, 7, 8)]
    assert [row for _, row in found if isinstance(row, PromptRow)] == [ROWS[0], ROWS[0]]
    wrong = [str(row) for _, row in found if isinstance(row, ValueError)]
    assert wrong[0] == "not a JSON object" and wrong[1].startswith("not JSON: ")
    assert wrong[3] == "longer than 65,536 bytes"


@pytest.mark.parametrize(
    ("data", "name", "problem"),
    [
        (b"", "bank.csv", "prompt bank bank.csv: allowed are files that end in .jsonl or .parquet"),
        (b"PAR1", "bank.parquet", "prompt bank bank.parquet: not a sound Parquet file: "),
    ],
)
def test_what_is_no_bank_is_one_line(data: bytes, name: str, problem: str) -> None:
    with pytest.raises(CatalogError, match="^" + problem):
        read(data, name)
