"""The README.md of a run directory: what lies in it, and how readers of datasets open it.

Its YAML is what `datasets.load_dataset` and the Hugging Face hub go by. They fail on a config without files, so that
one of what a run may lack is named once there is some of it.
"""

from __future__ import annotations

from collections.abc import Set

import yaml

from toffee_pipeline.filters import keeps_images
from toffee_pipeline.rundir.counts import ShardCounts
from toffee_pipeline.rundir.description import DatasetRun, ViewRun
from toffee_pipeline.rundir.layout import CARD, DATA, LEDGER, REJECTED
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import Storage

REJECTED_CONFIG = "rejected"
TEXT = """# A run of jobs/{job}.py

{num_rows} {row}s are planned. A {row} is accepted, rejected (with its reason and scores) or failed (with its error).
How the run was made stands in `run.json`: its settings, and whose weights it used.

| what | where | `load_dataset(here, ...)` |
|---|---|---|
| accepted {row}s, with images | `data/*.parquet` | `"default"` |
{kinds}{rejected}| every planned {row}, without images | `_ledger/*.parquet` | `"ledger"` |

While the run goes on, `data` holds what is committed so far, and no {row} twice. What begins with an underscore is no
data. Give readers of Parquet `HERE/data` (pyarrow, pandas, Polars, Ray Data) or `HERE/data/*.parquet` (DuckDB, Polars),
and not `HERE`: pyarrow, pandas and Polars stop at this file, and DuckDB's `read_parquet('HERE')` and `'HERE/**'` also
read `_rejected`, `_ledger` and `_index`.
{more}"""
OF_PAIRS = """
## Columns of a pair

- `input_image` and `target_image`; `prompt` says what the target shows, `input_prompt` what the input shows, and
  `instruction` what changes between them.
- `mask`: of an edit pair where it was edited: outside of it both images are equal. Of a generation pair it is the
  subject's, and belongs to `subject_image`, as `depth` does: the input is another view.
- `subject_image`, `draft_image`: how the target came about.
- `dino_score`, `clip_score` and the other scores, as the filter saw them; `category`, `change`, `class_name`, seeds.

InstructPix2Pix is trained on the edit pairs by diffusers' own script (which stops without a seed):

    train_instruct_pix2pix.py --dataset_name HERE --dataset_config_name edit --seed 0 \\
        --original_image_column input_image --edited_image_column target_image --edit_prompt_column instruction
"""

OF_A_VIEW = """# A view of a run

**`datasets.load_dataset`, DuckDB and other readers find no pair here.** For these write the view with
`jobs/refilter.py --materialize`, which gives it files of its own.

It says which pairs of `{source}` are accepted under other settings. The jobs of toffee-pipeline read it as a run;
`toffee_pipeline.rundir.dataset.load_pairs` opens it with `datasets`.
"""


class CardWriter:
    """Writes the card, and writes it anew when a shard brings the first file of a config.

    counts: of what is committed.
    """

    def __init__(self, storage: Storage, run: DatasetRun, counts: ShardCounts) -> None:
        self._storage, self._run = storage, run
        self._found = _found(run, counts)
        self._write()

    def add(self, counts: ShardCounts) -> None:
        """counts: of a shard that was committed since."""
        if new := _found(self._run, counts) - self._found:
            self._found |= new
            self._write()

    def _write(self) -> None:
        self._storage.put(CARD, card(self._run, self._found).encode())


def card(run: DatasetRun, found: Set[str]) -> str:
    """The text: YAML between lines of dashes, then Markdown; of a view without files Markdown alone.

    found: which configs have files, of those that a run may lack.
    """
    if isinstance(run, ViewRun) and not run.materialized:
        return OF_A_VIEW.format(source=run.source)
    table = run.table
    patterns = {"default": f"{DATA}/*.parquet"}
    patterns |= {name: f"{DATA}/{name}-*.parquet" for name in table.files if name in found}
    if REJECTED_CONFIG in found:
        patterns[REJECTED_CONFIG] = f"{REJECTED}/*.parquet"
    patterns["ledger"] = f"{LEDGER}/*.parquet"
    configs = [{"config_name": name, "data_files": pattern} for name, pattern in patterns.items()]
    text = TEXT.format(
        job=run.job,
        row=table.row,
        num_rows=run.num_rows,
        kinds="".join(_line(f"those of kind {name}", patterns[name], name) for name in table.files if name in found),
        rejected=_line(f"rejected {table.row}s, with images", patterns[REJECTED_CONFIG], REJECTED_CONFIG)
        if REJECTED_CONFIG in found
        else "",
        more=OF_PAIRS if table is PAIRS else "",
    )
    return f"---\n{yaml.safe_dump({'configs': configs}, sort_keys=False)}---\n{text}"


def _found(run: DatasetRun, counts: ShardCounts) -> set[str]:
    """Which configs the shards have files for, of those that a run may lack."""
    found = {kind for kind, numbers in counts.by_kind.items() if numbers.get("accepted")} & {*run.table.files}
    if any(keeps_images(run.config.output.keep, reason) for reason in counts.rejected):
        found.add(REJECTED_CONFIG)
    return found


def _line(what: str, pattern: str, config: str) -> str:
    return f'| {what} | `{pattern}` | `"{config}"` |\n'
