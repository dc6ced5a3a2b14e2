"""What all jobs' command lines have in common, in real processes where signals and pipes are the point."""

import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from jobs import generate, status, train_refiner, train_toffeenet, train_view_generator, verify

pytestmark = pytest.mark.slow

CONFIGURED = [generate, train_refiner, train_toffeenet, train_view_generator]
PRINTS_AND_EXITS_1 = """
import sys, click
from toffee_pipeline.console.options import Job
from toffee_pipeline.console.stdout import Stdout

@click.command(cls=Job)
def main():
    for _ in range(100_000):
        Stdout().print("a line")
    sys.exit(1)

main()
"""
PRINTS_LITTLE = PRINTS_AND_EXITS_1.replace("100_000", "1")


def invoke(job, *arguments):
    return CliRunner().invoke(job.main, list(map(str, arguments)))


def start(*arguments):
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("job", CONFIGURED)
def test_a_wrong_setting_is_one_line_and_exit_code_2(job, tmp_path):
    for arguments in (("--set", "sede=3"), ("--config", "nanoo"), ("--set", "seed=-1"), ("--set", "device")):
        result = invoke(job, "--output", tmp_path / "run", *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("job", [status, verify])
def test_a_run_that_is_not_there_is_one_line_and_exit_code_2(job, tmp_path):
    result = invoke(job, tmp_path / "run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize("job", CONFIGURED)
def test_a_file_is_laid_over_a_profile(job, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("seed: -7")
    result = invoke(job, "--config", "nano", "--config", mine, "--output", tmp_path / "run")
    assert result.exit_code == 2 and "seed: -7 is not allowed" in result.stderr


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),  # with its traceback
        ("raise OSError(28, 'No space left', 'x')", 2, "error: [Errno 28] No space left: 'x'"),
        ("raise __import__('toffee_pipeline.errors').errors.LeaseHeld('held')", 75, "error: held"),
        ("raise BrokenPipeError(32, 'Broken pipe', 'a server')", 2, "error: [Errno 32] Broken pipe: 'a server'"),
    ],
)
def test_only_what_the_user_can_mend_is_one_line(raised, code, line):
    process = start("-c", PRINTS_LITTLE.replace("sys.exit(1)", raised))
    _, errors = process.communicate()
    assert (process.returncode, errors.splitlines()[-1]) == (code, line)
    assert ("Traceback" in errors) == (code == 1)


@pytest.mark.parametrize(
    "command",
    [
        ("-c", PRINTS_AND_EXITS_1),
        ("-c", PRINTS_LITTLE),
        ("jobs/generate.py", "--dry-run", "--output", "runs/never"),
    ],
    ids=["while printing", "at the end", "generate"],
)
def test_a_reader_that_has_gone_ends_a_job_quietly(command):
    process = start(*command)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 128 + signal.SIGPIPE


@pytest.mark.parametrize("module", ["click", "pydantic", "numpy"])
def test_ctrl_c_while_a_job_is_importing_is_one_line(module, tmp_path):
    process = start("-X", "importtime", "jobs/generate.py", "--dry-run", "--output", str(tmp_path / "run"))
    for line in process.stderr:  # a line for each module that has been imported
        if line.split("|")[-1].strip() == module:
            break
    process.send_signal(signal.SIGINT)
    said = [line for line in process.stderr if not line.startswith("import time:")]
    assert (process.wait(), said) == (128 + signal.SIGINT, ["interrupted\n"])
    assert process.stdout.read() == ""
