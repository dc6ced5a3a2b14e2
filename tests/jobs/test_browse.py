"""jobs/browse.py as a process, and its pages in a real browser."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from playwright.sync_api import expect, sync_playwright

from jobs.browse import main
from tests.helpers.forked_job import ForkedJob
from tests.report.test_report import fake_pair, run_of, summary_of, write
from toffee_pipeline.rundir.layout import RUN, SUMMARY

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
WIDTHS = {"light": 1280, "dark": 390}
LOAD_PICTURES = """async () => {
  for (const image of document.images) { image.scrollIntoView(); await image.decode(); }
  return [...document.images].map((image) => image.naturalWidth);
}"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run of 18 pairs in two shards, one with a word that is too long for a phone."""
    folder = tmp_path_factory.mktemp("browse") / "run"
    rows = [fake_pair(n, ("generation", "edit")[n % 2], "rejected" if n % 3 == 2 else "accepted") for n in range(18)]
    rows[0]["prompt"] = "a photo of " + "abcdefghij" * 20
    write(folder, [rows[:9], rows[9:]])
    (folder / RUN).write_bytes(run_of(18).encode())
    (folder / SUMMARY).write_bytes(summary_of(rows).encode())
    return folder


@pytest.fixture(scope="module")
def job(folder):
    """The process and its URL; Ctrl-C ends it with one line."""
    process = ForkedJob("jobs/browse.py", folder, "--port", 0)
    said = process.stdout.readline()
    assert said.startswith("http://127.0.0.1:"), said + process.stdout.read()
    yield process, said.split()[0]
    process.interrupt()
    assert process.wait() == (130, "interrupted\n")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("wants Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=WIDTHS)
def page(browser, job, request):
    """A page that must not complain."""
    page = browser.new_page(
        viewport={"width": WIDTHS[request.param], "height": 900}, color_scheme=request.param, base_url=job[1]
    )
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto("/")
    yield page
    assert complaints == []
    page.close()


def assert_fits_and_shows_its_pictures(page):
    width, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width == screen
    assert {*page.evaluate(LOAD_PICTURES)} == {64}


def test_from_the_first_page_to_a_pair_and_on_and_to_the_report(page):
    cards = page.locator("article")
    assert_fits_and_shows_its_pictures(page)
    page.get_by_label("status").select_option("rejected")
    page.get_by_label("kind").select_option("edit")
    page.get_by_role("button", name="Show").click()
    expect(cards).to_have_count(3)
    page.locator("article h3 a").first.click()
    page.get_by_text("pair seed").wait_for()
    assert_fits_and_shows_its_pictures(page)
    first = page.url
    page.get_by_role("link", name="Next").click()
    page.get_by_text("pair seed").wait_for()
    assert page.url != first
    page.get_by_role("link", name="All such pairs").click()
    expect(cards).to_have_count(2)  # from this one on
    page.get_by_role("link", name="Report").click()
    expect(page.locator(".filter output")).to_contain_text("shown")


def test_nobody_else_reaches_it(job):
    process, url = job
    (here, there) = (
        {each.laddr for each in psutil.Process(pid).net_connections() if each.status == "LISTEN"}
        for pid in (None, process.pid)
    )
    listening = there - here  # a fork has what this process listens on
    assert [(address.ip, f"http://{address.ip}:{address.port}/") for address in listening] == [("127.0.0.1", url)]


def test_what_the_user_can_mend_is_one_line(folder, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words, line in (
            ((tmp_path,), f"error: {tmp_path}/run.json: no such file; a run directory of"),
            ((folder, "--port", port), f"error: port {port} of 127.0.0.1: Address already in use; choose another --p"),
        ):
            refused = CliRunner().invoke(main, list(map(str, words)))
            assert refused.exit_code == 2
            assert refused.output.startswith(line) and refused.output.count("\n") == 1


def test_without_its_packages_a_line_says_which_extra_has_them(folder):
    code = f"import sys; sys.modules['starlette'] = None; from jobs.browse import main; main([{str(folder)!r}])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == ("error: jobs/browse.py needs packages that are not installed: pip install -e '.[browse]'\n")
