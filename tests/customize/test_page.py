"""The page of `jobs/customize.py --serve` in a real browser: upload, generate, draw, edit, find, download."""

import re
import shutil
import signal
import socket
import subprocess
import sys

import numpy as np
import psutil
import pytest
from playwright.sync_api import expect, sync_playwright

from tests.helpers.fork_server import ROOT, forked
from toffee_pipeline.customize.desk import REGIONS
from toffee_pipeline.customize.page import LOOPBACK
from toffee_pipeline.customize.png import read_settings
from toffee_pipeline.images import decode, encode_mask, encode_png
from toffee_pipeline.nano.renderer import RendererSubject
from toffee_pipeline.schema.subjects import Subject

CHROMIUM = shutil.which("chromium")
SOFTWARE_WEBGL = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-compositing"]
TWO_FRAMES_A_SECOND = """
window.requestAnimationFrame = draw => setTimeout(() => draw(performance.now()), 500);
window.cancelAnimationFrame = clearTimeout;
"""
"""The canvas is drawn all the time, and here by the CPU: sixty a second take half a core."""
WAIT_MS = 120_000
LINK = "a[download^='0']"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def job(toffeenet_run, tmp_path_factory):
    """The job's process and the page's port; Ctrl-C ends it with one line."""
    output = tmp_path_factory.mktemp("page") / "out"
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port = free.getsockname()[1]
    words = ["--model", toffeenet_run, "--serve", "--port", port, "--output", output]
    process = subprocess.Popen(
        [sys.executable, "jobs/customize.py", *map(str, words)],
        cwd=ROOT,
        env={**forked(), "GRADIO_SERVER_NAME": "0.0.0.0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = process.stdout.readline()
    assert f"http://{LOOPBACK}:{port}/" in said, said + process.stdout.read()
    yield process, port
    process.send_signal(signal.SIGINT)
    assert (process.wait(60), process.stdout.read()) == (130, "interrupted\n")


@pytest.fixture
def picture():
    """uint8 (64, 64, 3) of a mug."""
    return RendererSubject(64).create([Subject("s0", "mug", "a photo of a mug", 3)])[0]


@pytest.fixture
def page(job):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE_WEBGL)
        page = browser.new_page(viewport={"width": 1000, "height": 1400}, reduced_motion="reduce")
        page.set_default_timeout(WAIT_MS)
        page.add_init_script(TWO_FRAMES_A_SECOND)
        page.goto(f"http://{LOOPBACK}:{job[1]}/", wait_until="domcontentloaded")
        yield page
        browser.close()


def generated(page):
    """Presses the button, and downloads the new picture: its bytes."""
    old = "".join(f":not([download='{link.get_attribute('download')}'])" for link in page.locator(LINK).all())
    page.get_by_role("button", name="Generate").click()
    with page.expect_download() as download:
        page.locator(LINK + old).click()
    expect(page.get_by_label("Time")).to_have_value(re.compile(r"^\d+\.\d\d s per image$"))
    return download.value.path().read_bytes()


@pytest.mark.skipif(CHROMIUM is None, reason="wants Debian's package chromium")
def test_upload_generate_draw_and_find(page, picture, tmp_path):
    """One visit: a page that is loaded costs seconds."""
    page.get_by_label("Prompt").fill("a red mug on a beach")
    (tmp_path / "mug.png").write_bytes(encode_png(picture))
    page.locator("input[type=file]").first.set_input_files(tmp_path / "mug.png")
    page.locator("a[download='mug.png']").wait_for()
    page.get_by_role("spinbutton", name="Pictures").fill("1")
    data = generated(page)
    assert decode(data).shape == (64, 64, 3)
    settings = read_settings(data)
    assert (settings["prompt"], settings["subjects"]) == ("a red mug on a beach", ["mug.png"])
    assert (settings["seed"], settings["strength_dino"], settings["mask"]) == (0, 0.8, REGIONS[0])
    assert page.locator("img[src*='0000.png']").count() > 0  # in the gallery

    # what is drawn is repainted
    canvas = page.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    page.get_by_label(REGIONS[1]).check()
    page.get_by_role("button", name="Generate").click()
    page.get_by_text("nothing is drawn").first.wait_for()
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 30, y)
    page.mouse.down()
    page.mouse.move(x + 30, y, steps=4)
    page.mouse.up()
    edited = decode(generated(page))
    different = (edited != picture).any(2)
    assert edited.shape == picture.shape
    assert different[30:34, 24:40].mean() > 0.5  # where the brush went, from left to right through the middle
    different[12:52, 8:56] = False
    assert not different.any()

    # what is found, then an uploaded mask, which takes its place
    page.get_by_label("What the subject is").fill("mug")
    page.get_by_role("button", name="Find it as mask").click()
    expect(page.get_by_label(REGIONS[2])).to_be_checked(timeout=WAIT_MS)
    different = (decode(generated(page)) != picture).any(2)
    assert 0.02 < different.mean() < 0.8
    mask = np.zeros((64, 64), bool)
    mask[40:60, 4:20] = True
    (tmp_path / "mask.png").write_bytes(encode_mask(mask))
    page.get_by_role("button", name=re.compile("clear|remove", re.I)).last.click()
    page.locator("input[type=file]").last.set_input_files(tmp_path / "mask.png")
    page.get_by_label("Seed").fill("9")
    data = generated(page)
    assert read_settings(data)["seed"] == 9
    assert not (decode(data) != picture).any(2)[~mask].any()


def test_nobody_else_reaches_it(job):
    """Whatever gradio's own variables say: the job was started with GRADIO_SERVER_NAME=0.0.0.0."""
    listening = [each for each in psutil.net_connections("tcp") if each.status == "LISTEN"]
    (pid,) = {each.pid for each in listening if each.laddr.port == job[1]}
    assert {tuple(each.laddr) for each in listening if each.pid == pid} == {(LOOPBACK, job[1])}
