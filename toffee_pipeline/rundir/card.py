"""The README.md of a run directory: what lies in it, and how readers of datasets open it.

Its YAML is what `datasets.load_dataset` and the Hugging Face hub go by.
"""

from __future__ import annotations

import yaml

from toffee_pipeline.rundir.description import DatasetRun, ViewRun
from toffee_pipeline.rundir.layout import CARD, DATA, LEDGER, REJECTED
from toffee_pipeline.schema.pairs import PAIRS
from toffee_pipeline.storage import Storage

TEXT = """# A run of jobs/{job}.py

{num_rows} {row}s are planned. A {row} is accepted, rejected (with its reason and scores) or failed (with its error).
How the run was made stands in `run.json`: its settings, and whose weights it used.

| what | where | `load_dataset(here, ...)` |
|---|---|---|
| accepted {row}s, with images | `data/*.parquet` | `"default"` |
{kinds}{rejected}| every planned {row}, without images | `_ledger/*.parquet` | `"ledger"` |

While the run goes on, `data` holds what is committed so far, and no {row} twice.
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

OF_A_VIEW = """# A view of a run of jobs/generate.py

It says which pairs of `{source}` are accepted under other settings, and holds no pair itself. The jobs of
toffee-pipeline read it as a run; `toffee_pipeline.rundir.dataset.load_pairs` opens it with `datasets`. With
`jobs/refilter.py --materialize` a view has files of its own, which anything opens.
"""


def write_card(storage: Storage, run: DatasetRun) -> None:
    """Write or replace it."""
    storage.put(CARD, card(run).encode())


def card(run: DatasetRun) -> str:
    """The text: YAML between lines of dashes, then Markdown; of a view without files Markdown alone."""
    if isinstance(run, ViewRun) and not run.materialized:
        return OF_A_VIEW.format(source=run.source)
    table = run.table
    patterns = {"default": f"{DATA}/*.parquet"}
    if len(table.files) > 1:
        patterns |= {name: f"{DATA}/{name}-*.parquet" for name in table.files}
    if run.config.output.keep != "accepted":
        patterns["rejected"] = f"{REJECTED}/*.parquet"
    patterns["ledger"] = f"{LEDGER}/*.parquet"
    configs = [{"config_name": name, "data_files": pattern} for name, pattern in patterns.items()]
    text = TEXT.format(
        job=run.job,
        row=table.row,
        num_rows=run.num_rows,
        kinds="".join(_line(f"those of kind {name}", patterns[name], name) for name in table.files if name in patterns),
        rejected=_line(f"rejected {table.row}s, with images", patterns["rejected"], "rejected")
        if "rejected" in patterns
        else "",
        more=OF_PAIRS if table is PAIRS else "",
    )
    return f"---\n{yaml.safe_dump({'configs': configs}, sort_keys=False)}---\n{text}"


def _line(what: str, pattern: str, config: str) -> str:
    return f'| {what} | `{pattern}` | `"{config}"` |\n'
