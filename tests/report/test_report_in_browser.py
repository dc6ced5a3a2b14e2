"""The report in a real browser: filter, a pair's story, both colour schemes, a phone."""

import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.report.test_report import fake_pair, write
from toffee_pipeline.report.page import REPORT

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="wants Debian's package chromium")]
WIDTHS = {"desktop": 1280, "phone": 390}
SCREENS = {f"{scheme} {name}": (scheme, width) for scheme in ("light", "dark") for name, width in WIDTHS.items()}
PAGE = "rgb(245, 244, 241)", "rgb(23, 23, 26)"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Of a report of five accepted pairs, three that DINO rejected, one that CLIP did and one that failed."""
    folder = tmp_path_factory.mktemp("run")
    kinds = ("generation", "edit")
    rows = [fake_pair(number, kinds[number % 2], dino_score=0.6 + number / 20) for number in range(5)]
    rows += [fake_pair(number, "edit", "rejected") for number in (5, 6, 7)]
    rows += [fake_pair(8, "edit", "rejected", reason="low_clip", clip_score=0.1), fake_pair(9, "edit", "failed")]
    rows[0]["prompt"] = "a photo of " + "abcdefghij" * 20  # too long for a phone
    write(folder, [rows])
    return f"file://{folder / REPORT}"


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=SCREENS.values(), ids=SCREENS)
def page(browser, url, request):
    """The page, which must not complain and must not be wider than the screen, however it is used."""
    scheme, width = request.param
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    yield page
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


def test_every_picture_is_shown_in_the_scheme_of_the_reader(page):
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth === 64)")
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == PAGE[dark]


def test_filter(page):
    cards, output = page.locator("main article:visible"), page.locator(".filter output")
    total = cards.count()
    expect(output).to_have_text(f"{total} of {total} shown")
    page.get_by_label("verdict").select_option("low_clip")
    assert {card.get_attribute("data-verdict") for card in cards.all()} == {"low_clip"}
    assert page.locator("section:visible").count() == page.locator("section:visible:has(article:visible)").count()
    page.get_by_role("button", name="All").click()
    expect(cards).to_have_count(total)
    page.get_by_label("from").fill("0.7")
    shown = [float(card.get_attribute("data-dino-score")) for card in cards.all()]
    assert shown and min(shown) >= 0.7 and len(shown) < total
    page.get_by_label("kind").select_option("edit")
    assert 0 < cards.count() < len(shown)


def test_a_pair_s_story_opens_large_and_the_arrows_turn_the_pages(page):
    first, second = (page.locator("main article h3").nth(index).inner_text() for index in range(2))
    page.locator("main .tiles").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("h3")).to_have_text(first)
    expect(dialog.get_by_text("pair seed")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(dialog.locator("h3")).to_have_text(second)
    page.keyboard.press("ArrowLeft")
    expect(dialog.locator("h3")).to_have_text(first)
    assert dialog.evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
