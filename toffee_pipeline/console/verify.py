"""What `jobs/verify.py` prints."""

from __future__ import annotations

import json
from shlex import join, quote

from rich.table import Table

from toffee_pipeline.console.stdout import Stdout
from toffee_pipeline.rundir.description import DatasetRun, ViewRun
from toffee_pipeline.rundir.layout import RUN
from toffee_pipeline.rundir.verify import Report
from toffee_pipeline.storage import LocalStorage, Storage

KINDS = {
    "missing": "shards committed",
    "manifest": "manifests",
    "file": "files: size, SHA-256",
    "rows": "rows: schema, plan, ledger, data",
    "image": "images decoded",
    "orphan": "files for orphans",
    "summary": "summary.json against the ledger",
}
"""Kind of problem -> what was checked."""
MAX_LINES = 100


def print_report(report: Report, storage: Storage) -> None:
    """A table of what was checked, a line per problem (the first `MAX_LINES`), and what to do."""
    console = Stdout()
    console.out(f"{storage.uri}: {report.tally.num_bytes / 1e6:,.1f} MB read")
    table = Table()
    for column in ("checked", "number", "problems"):
        table.add_column(column, justify="left" if column == "checked" else "right")
    for kind, name in KINDS.items():
        table.add_row(name, f"{report.tally.checked[kind]:,}", f"{report.count(kind):,}")
    console.print(table)
    for problem in report.problems[:MAX_LINES]:
        console.out(f"{problem.key}: {problem.message}")
    if len(report.problems) > MAX_LINES:
        console.out(f"... and {len(report.problems) - MAX_LINES} more problems")
    for line in _advice(report, storage):
        console.out(line)


def _advice(report: Report, storage: Storage) -> list[str]:
    if not report.problems and not report.retaken:
        return ["no problems"]
    lines = []
    if report.holder:
        lines.append(f"a run is under way, {report.holder}: missing shards and orphans may be its work")
    damaged, orphans, run = report.damaged, report.count("orphan"), report.run
    if isinstance(run, ViewRun) and not run.materialized and (damaged or report.count("summary")):
        again = _refilter(run, "ANOTHER_FOLDER", storage.endpoint_url)
        return [*lines, f"a view has no files to repair: repair {run.source}, and make the view again: {again}"]
    if report.repaired:
        lines.append(f"repaired: {orphans} orphans deleted, {len(damaged)} damaged shards taken back")
    elif damaged or orphans:
        lines.append(f"--repair deletes {orphans} orphans and takes {len(damaged)} damaged shards back")
    if report.retaken:
        lines.append(f"{len(report.retaken)} shards with failed rows taken back")
    if unfinished := len(damaged) + len(report.retaken) + len(report.missing):
        lines.append(f"then {unfinished} shards are to compute: {_command(run, storage)}")
    elif report.count("summary"):
        lines.append(f"then finish the run: {_command(run, storage)}")
    return lines


def _command(run: DatasetRun, storage: Storage) -> str:
    if isinstance(run, ViewRun):
        return _refilter(run, storage.uri, storage.endpoint_url)
    if isinstance(storage, LocalStorage):
        return f"python jobs/{run.job}.py --config {quote(storage.path_for(RUN))} --output {quote(storage.uri)}"
    endpoint = f" --set output.endpoint_url={storage.endpoint_url}" if storage.endpoint_url else ""
    return f"python jobs/{run.job}.py --config COPY_OF_ITS_run.json --output {storage.uri}{endpoint}"


def _refilter(run: ViewRun, output: str, endpoint_url: str | None) -> str:
    """The command that makes the view; the thresholds of its run stand among its own."""
    settings = run.view.model_dump(mode="json", exclude_defaults=True)
    settings["filter"] = run.view.filter.model_dump(mode="json")
    words = ["python", "jobs/refilter.py", run.source, "--output", output]
    words += ["--materialize"] if run.materialized else []
    words += ["--endpoint-url", endpoint_url] if endpoint_url else []
    for key, value in settings.items():
        words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return join(words)
