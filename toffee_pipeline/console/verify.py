"""What `jobs/verify.py` prints."""

from __future__ import annotations

from shlex import quote

from rich.table import Table

from toffee_pipeline.console.stdout import Stdout
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
    damaged, orphans = report.damaged, report.count("orphan")
    if report.repaired:
        lines.append(f"repaired: {orphans} orphans deleted, {len(damaged)} damaged shards taken back")
    elif damaged or orphans:
        lines.append(f"--repair deletes {orphans} orphans and takes {len(damaged)} damaged shards back")
    if report.retaken:
        lines.append(f"{len(report.retaken)} shards with failed rows taken back")
    if unfinished := len(damaged) + len(report.retaken) + len(report.missing):
        lines.append(f"then {unfinished} shards are to compute: {_command(report.job, storage)}")
    elif report.count("summary"):
        lines.append(f"then finish the run: {_command(report.job, storage)}")
    return lines


def _command(job: str, storage: Storage) -> str:
    if isinstance(storage, LocalStorage):
        return f"python jobs/{job}.py --config {quote(storage.path_for(RUN))} --output {quote(storage.uri)}"
    endpoint = f" --set output.endpoint_url={storage.endpoint_url}" if storage.endpoint_url else ""
    return f"python jobs/{job}.py --config COPY_OF_ITS_run.json --output {storage.uri}{endpoint}"
