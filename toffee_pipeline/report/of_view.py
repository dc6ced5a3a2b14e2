"""The report of a view."""

from __future__ import annotations

from toffee_pipeline.report.page import write_report
from toffee_pipeline.rundir.counts import Summary
from toffee_pipeline.rundir.description import read_pairs, read_view
from toffee_pipeline.rundir.index import read_whole_ledger
from toffee_pipeline.rundir.layout import SUMMARY
from toffee_pipeline.rundir.run_file import read
from toffee_pipeline.storage import Storage


def write_report_of_view(source: Storage, target: Storage) -> str:
    """As `write_report`, with curves over the whole ledger. source: of the run.

    Raises as `read_run` and `read_whole_ledger`.
    """
    view, rows = read_view(target), read_whole_ledger(source, read_pairs(source)).rows
    return write_report(target, view, read(target, SUMMARY, Summary), ledger=rows)
