"""report.html in a browser: what people see of it, do with it by keyboard alone, hear of it, and print."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import FLAGS, chromium
from histories import GENERATION, HOSTILE, History, large, run_id, small, uneventful
from playwright.sync_api import Browser, expect, sync_playwright
from screen import PHONE, Screen

ROOT = Path(__file__).parents[2]
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "dagstorm"
KEYS = 100_000
PASSED, FAILED, UNKNOWN = 0, 1, 3
DARK = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"}
ACCESSIBILITY = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}
NONE = "\N{EN DASH}"

Opener = Callable[..., Screen]


def render(history: History, folder: Path, verdict: int = FAILED) -> Path:
    """As a user would, years later: from the history alone."""
    assert PROGRAM.is_file(), f"{PROGRAM} is missing: run `cargo build` first"
    source = folder / "history.jsonl"
    with source.open("w") as out:
        out.writelines(history.lines())
    page = folder / "report.html"
    done = subprocess.run([PROGRAM, "audit", source, "--html", page], capture_output=True, text=True, check=False)
    assert done.returncode == verdict, done.stderr
    return page


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten keys, one of each kind of finding."""
    return render(small(), tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred thousand keys."""
    return render(large(KEYS), tmp_path_factory.mktemp("many"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(playwright), args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """Opens a page; when the test is over, nothing may have been fetched, and no script may have complained."""
    opened: list[Screen] = []

    def opener(file: Path, **options: object) -> Screen:
        opened.append(Screen(browser, file, **options))
        return opened[-1]

    yield opener
    for screen in opened:
        screen.close()


def test_the_verdict_comes_first_and_everything_else_is_named(few: Path, open_page: Opener) -> None:
    page = open_page(few).page
    expect(page).to_have_title("every-finding: Failed")
    expect(page.get_by_role("heading", level=1)).to_have_text("every-finding")
    expect(page.locator(".badge")).to_have_text("✕ Failed")
    expect(page.locator("main > section").first).to_have_id("verdict")
    headings = page.locator("main > section > h2").all_inner_texts()
    assert headings == [
        "Findings",
        "Thresholds",
        "What this rests on",
        "What happened",
        "Latency by quantile",
        "Key by key, where something was found",
        "All keys",
        "Faults",
        "Where it ran",
        "The scenario as it was accepted",
    ]
    for text in ("Unfinished", "DAGSTER_TOKEN", "eu-central-1", "123456789012", "table exec_attempts", "fast_job"):
        expect(page.locator("main")).to_contain_text(text)


def test_every_kind_of_finding_is_shown(few: Path, open_page: Opener) -> None:
    screen = open_page(few)
    shown = list(zip(screen.cells("Findings", "What"), screen.cells("Findings", "Level"), strict=True))
    found = {(what.lstrip("✕↻?").strip(), level) for what, level in shown}
    assert found == {
        ("threshold", "scenario"),
        ("lost", "run"),
        ("falsely failed", "run"),
        ("duplicated", "run"),
        ("unexpected", "run"),
        ("duplicated", "step"),
        ("re-executed, recovery", "step"),
        ("duplicated", "effect"),
        ("lost", "effect"),
        ("unfinished", "step"),
    }


def test_what_went_well_is_said_as_plainly_as_what_did_not(tmp_path: Path, open_page: Opener) -> None:
    page = open_page(render(uneventful(starts=True), tmp_path, PASSED)).page
    expect(page.locator(".badge")).to_have_text("✓ Passed")
    expect(page.locator("#findings")).to_contain_text("Nothing broke the contract.")
    for said in ("there are no gaps", "Not sampled: the queue depth.", "Not sampled: the number of workers."):
        expect(page.locator("#proof")).to_contain_text(said)
    expect(page.locator("#story")).to_contain_text("No fault was injected.")
    expect(page.locator("#story")).to_contain_text("Not sampled: there is no record of the workers.")
    expect(page.locator("#lanes")).to_have_count(0)
    assert Axe().run(page, options=ACCESSIBILITY).violations_count == 0


def test_what_never_began_has_no_story(tmp_path: Path, open_page: Opener) -> None:
    page = open_page(render(uneventful(starts=False), tmp_path, UNKNOWN)).page
    expect(page.locator(".badge")).to_have_text("? Unknown")
    expect(page.locator("#story")).to_contain_text("It never started: nothing was sent.")
    expect(page.locator("#proof")).to_contain_text("NothingAcknowledged")


def test_what_others_wrote_is_text_and_nothing_else(few: Path, open_page: Opener) -> None:
    page = open_page(few).page
    assert page.title() == "every-finding: Failed"
    assert page.locator("img").count() == 0
    expect(page.locator("#keys td", has_text=HOSTILE[:30])).to_have_count(1)
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy


def test_keys_are_sorted_by_any_column_by_keyboard(few: Path, open_page: Opener) -> None:
    screen = open_page(few)
    table = screen.table("Keys")
    head = table.get_by_role("columnheader", name="Latency")
    expect(head).to_have_attribute("aria-sort", "none")
    head.get_by_role("button").focus()
    screen.page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    ascending = ["2.9s", "2.9s", "2.9s", "3.3s", "5.3s", "5.4s", "13.3s", "14.9s", NONE, NONE]
    assert screen.cells("Keys", "Latency") == ascending
    screen.page.keyboard.press("Space")
    expect(head).to_have_attribute("aria-sort", "descending")
    assert screen.cells("Keys", "Latency")[:2] == ["14.9s", "13.3s"]
    assert screen.cells("Keys", "Latency")[-2:] == [NONE, NONE], "what has no value comes last either way"
    expect(table.get_by_role("columnheader", name="Key", exact=True)).to_have_attribute("aria-sort", "none")


def test_keys_are_searched_and_filtered_and_the_count_is_said(few: Path, open_page: Opener) -> None:
    screen = open_page(few)
    table = screen.table("Keys")
    status = table.get_by_role("status")
    expect(status).to_have_text("10 keys")
    expect(status).to_have_attribute("aria-live", "polite")
    search = table.get_by_label("Search keys by number, job, run or finding")
    search.fill(f"every-finding/{GENERATION}/4")
    expect(status).to_have_text("1 of 10 keys")
    assert screen.cells("Keys", "Key") == ["#4"]
    search.fill(run_id(7).upper())
    expect(table.locator('td[data-label="Key"]')).to_have_text(["#7"])
    search.fill("no such thing")
    expect(table.locator("tbody")).to_have_text("None of the 10 keys is like that.")
    search.fill("")
    expect(status).to_have_text("10 keys")
    table.get_by_label("Findings").select_option("with findings")
    expect(status).to_have_text("9 of 10 keys")
    table.get_by_label("Status").select_option("FAILURE")
    expect(status).to_have_text("2 of 10 keys")
    assert screen.cells("Keys", "Key") == ["#2", "#3"]


def test_a_finding_leads_to_its_key(few: Path, open_page: Opener) -> None:
    page = open_page(few).page
    page.locator("#findings").get_by_role("link", name="#40", exact=True).first.click()
    lane = page.get_by_role("article", name=re.compile("^Key #40"))
    expect(lane).to_be_focused()
    expect(lane).to_contain_text("was never attempted")
    lane.locator("summary").press("Enter")
    expect(lane.locator("tbody")).to_contain_text("step succeeded")
    expect(lane.locator("tbody")).to_contain_text("stray-0000-4000-8000-000000000040")


def test_a_lane_tells_who_did_what_and_which_fault_was_there(few: Path, open_page: Opener) -> None:
    page = open_page(few).page
    page.locator("#findings").get_by_role("link", name="#6", exact=True).click()
    lane = page.get_by_role("article", name=re.compile("^Key #6"))
    expect(lane).to_be_focused()
    expect(lane.locator(".step")).to_have_text(["3b1f0c9d", "9c02ee44"])
    expect(lane.locator(".step.cut")).to_have_count(1)
    expect(lane.locator(".shade .label")).to_have_text("2 kill#1")
    expect(lane.locator(".death")).to_have_count(1)


def test_plots_say_what_they_show_and_have_their_numbers(few: Path, open_page: Opener) -> None:
    page = open_page(few).page
    plots = page.locator("#story figure.plot, #latency figure.plot")
    expect(plots).to_have_count(6)
    for plot in plots.all():
        title = plot.get_by_role("heading").inner_text()
        image = plot.get_by_role("img")
        assert (image.get_attribute("aria-label") or "").startswith(f"{title}. ")
        expect(image.locator("canvas")).to_have_count(1)
    plots.first.locator("summary").press("Enter")
    expect(plots.first.get_by_role("columnheader", name="Completed")).to_be_visible()
    page.get_by_label("Show", exact=True).select_option("around kill#1")
    expect(page.locator("[data-zoom]")).to_contain_text("Shown: 0:54.5 to 1:24.5.")
    page.get_by_label("Show", exact=True).select_option("the whole time")
    expect(page.locator("[data-zoom]")).to_have_text("The whole time is shown.")


def test_faults_are_shaded_on_the_plots(few: Path, open_page: Opener) -> None:
    """A pixel inside a fault's band has another colour than one outside; both lie high above every line."""
    page = open_page(few).page
    colours = page.evaluate(
        """() => {
          const plot = drawn.find((one) => one.options.title === 'Queue depth').made;
          const row = plot.ctx.getImageData(0, plot.bbox.top + 4, plot.ctx.canvas.width, 1).data;
          const at = (ms) => 4 * Math.round(plot.valToPos(ms, 'x', true));
          return [12500, 31500, 47500, 57500].map((ms) => row.slice(at(ms), at(ms) + 4).join());
        }"""
    )
    before, inside, healing, between = colours
    assert len({before, inside, healing}) == 3
    assert between == before


def test_the_whole_page_is_used_by_keyboard(few: Path, open_page: Opener) -> None:
    page = open_page(few).page
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the verdict")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    theme = page.locator("#theme")
    theme.focus()
    for wanted in ("light", "dark", "system"):
        page.keyboard.press("Enter")
        expect(theme).to_have_text(f"Theme: {wanted}")
    outline = theme.evaluate("(button) => getComputedStyle(button).outlineStyle")
    assert outline == "solid", "the focus is seen"


def test_the_theme_follows_the_system_until_somebody_chooses(few: Path, open_page: Opener) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light, dark = open_page(few).page, open_page(few, **DARK).page
    assert light.evaluate(background) == "rgb(251, 251, 250)"
    assert dark.evaluate(background) == "rgb(20, 23, 26)"
    dark.locator("#theme").click()
    assert dark.evaluate(background) == "rgb(251, 251, 250)"


@pytest.mark.parametrize("which", ["few", "many"])
def test_a_phone_scrolls_down_only(which: str, open_page: Opener, request: pytest.FixtureRequest) -> None:
    screen = open_page(request.getfixturevalue(which), **PHONE)
    assert screen.sideways() == 0
    for details in screen.page.locator("details").all():
        details.evaluate("(one) => { one.open = true; }")
    expect(screen.page.locator("figure details .table")).to_have_count(screen.page.locator("figure details").count())
    assert screen.sideways() == 0
    wide = screen.page.evaluate(
        """() => [...document.querySelectorAll('main *')]
          .filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroller, pre'))
          .map((one) => one.outerHTML.slice(0, 80))"""
    )
    assert wide == []


@pytest.mark.parametrize("options", [{}, PHONE, DARK], ids=["desktop", "phone", "dark"])
def test_nothing_stands_in_the_way_of_a_screen_reader(options: dict[str, object], few: Path, open_page: Opener) -> None:
    page = open_page(few, **options).page
    found = Axe().run(page, options=ACCESSIBILITY)
    assert found.violations_count == 0, found.generate_report()


def test_paper_is_light_whole_and_without_controls(few: Path, open_page: Opener) -> None:
    page = open_page(few, **DARK).page
    page.emulate_media(media="print")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for hidden in (".bar", ".controls", ".pager button", ".status", "summary"):
        for one in page.locator(hidden).all():
            expect(one).to_be_hidden()
    expect(page.locator("#keys .keys tbody tr")).to_have_count(10)
    page.emulate_media(media="screen")
    expect(page.locator("html")).not_to_have_attribute("data-theme", "light")
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_a_hundred_thousand_keys_open_soon_and_answer(many: Path, open_page: Opener) -> None:
    assert many.stat().st_size < 20_000_000
    screen = open_page(many)
    assert screen.seconds < 15, "three seconds on a machine of one's own"
    table = screen.table("Keys")
    status = table.get_by_role("status")
    expect(status).to_have_text("100,000 keys")
    expect(table.locator(".place")).to_have_text(f"1{NONE}50 of 100,000, page 1 of 2,000")
    table.get_by_label("Search keys by number, job, run or finding").fill(f"nightly-load/{GENERATION}/{KEYS - 1}")
    expect(status).to_have_text("1 of 100,000 keys")
    assert screen.cells("Keys", "Key") == [f"#{KEYS - 1}"]
    table.get_by_label("Search keys by number, job, run or finding").fill("")
    expect(status).to_have_text("100,000 keys")
    table.get_by_role("columnheader", name="Latency").get_by_role("button").click()
    table.get_by_role("columnheader", name="Latency").get_by_role("button").click()
    longest = [float(text.removesuffix("s")) for text in screen.cells("Keys", "Latency")]
    assert len(longest) == 50 and longest == sorted(longest, reverse=True) and longest[0] > 20


def test_pages_are_turned_by_keyboard_and_the_focus_stays(many: Path, open_page: Opener) -> None:
    screen = open_page(many)
    table = screen.table("Keys")
    place = table.locator(".place")
    onward = table.get_by_role("button", name="Next page")
    onward.focus()
    screen.page.keyboard.press("Enter")
    expect(place).to_have_text(f"51{NONE}100 of 100,000, page 2 of 2,000")
    expect(onward).to_be_focused()
    assert screen.cells("Keys", "Key")[0] == "#50"
    last = table.get_by_role("button", name="Last page")
    last.focus()
    screen.page.keyboard.press("Enter")
    expect(place).to_have_text(f"99,951{NONE}100,000 of 100,000, page 2,000 of 2,000")
    expect(last).to_be_focused()
    expect(last).to_have_attribute("aria-disabled", "true")
    screen.page.keyboard.press("Enter")
    expect(place).to_have_text(f"99,951{NONE}100,000 of 100,000, page 2,000 of 2,000")
    expect(table.get_by_role("button", name="First page")).to_have_attribute("aria-disabled", "false")


def test_only_the_findings_are_drawn_key_by_key(many: Path, open_page: Opener) -> None:
    page = open_page(many).page
    expect(page.locator("#lanes article")).to_have_count(5)
    page.get_by_role("button", name="Next keys").press("Enter")
    expect(page.locator("#lane-place")).to_have_text(re.compile(rf"^6{NONE}10 of \d+$"))
    expect(page.get_by_role("button", name="Next keys")).to_be_focused()


def test_a_request_would_have_been_noticed(few: Path, open_page: Opener) -> None:
    """What the other tests rest on: the page's own policy stops a request, and it is seen that there was one."""
    screen = open_page(few)
    screen.page.evaluate("new Image().src = 'https://example.com/x.png'")
    expect(screen.page.locator("html")).to_be_attached()
    screen.page.wait_for_function("() => true")
    assert any("Content Security Policy" in text for text in screen.complaints)
    screen.complaints.clear()
    screen.asked[:] = [url for url in screen.asked if url != "https://example.com/x.png"]
