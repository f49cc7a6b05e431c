"""Records in a real browser: scrolling, keys, filters, one record, the matrix; by plain links where no script runs."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.web.zoo import BAD, N, zoo

pytestmark = pytest.mark.browser
ALIVE = N + len(BAD) + 1 - 2


@pytest.fixture(scope="module")
def served(tmp_path_factory, serve):
    folder = tmp_path_factory.mktemp("zoo")
    with ThreadPoolExecutor(1) as pool:  # in this thread the browser's own loop is running
        pool.submit(zoo, folder).result()
    return serve(folder)


@pytest.fixture(scope="module")
def session(served, chromium):
    """Return what lets further contexts in: the owner's link is good once."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(served.link)
    page.wait_for_url(lambda url: "/enter" not in url)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def page(visit, served, session):
    return visit(served, f"{served.address}/records", storage_state=session)


def at(page) -> int:
    """Return which record has the focus."""
    return int(page.evaluate("document.activeElement.dataset.at ?? -1"))


def test_it_scrolls_to_the_last_record_and_the_address_keeps_the_place(page, served):
    view = page.locator("#view")
    page.wait_for_selector("#view.live [data-at='0']")
    view.evaluate("v => v.scrollTo(0, v.scrollHeight)")
    page.wait_for_selector(f"[data-at='{ALIVE - 1}']")
    page.wait_for_url(lambda url: int(url.partition("from=")[2] or 0) > 100)
    place = page.url
    assert page.locator("[data-at]").count() < 250, "what is out of sight is not kept"
    page.goto(f"{served.address}/runs")
    page.goto(place)
    page.wait_for_selector(f"[data-at='{ALIVE - 1}']")


def test_keys_move_open_and_go_back(page):
    page.wait_for_selector("#view.live [data-at='0']")
    page.locator("#view").focus()
    page.keyboard.press("ArrowRight")
    assert at(page) == 0
    page.keyboard.press("ArrowRight")
    assert at(page) == 1
    page.keyboard.press("ArrowDown")
    across = at(page) - 1
    assert across > 1
    page.keyboard.press("End")
    page.wait_for_selector(f"[data-at='{ALIVE - 1}']:focus")
    page.keyboard.press("Home")
    page.wait_for_selector("[data-at='0']:focus")
    page.keyboard.press("Enter")
    page.wait_for_url("**/records/0?**")
    page.wait_for_selector("a[rel=up]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#view.live")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"


def test_filters_and_orders_are_in_the_address(page):
    page.select_option("select[name=split]", "valid")
    page.wait_for_url("**/records?split=valid")
    page.select_option("select[name=sort]", "margin")
    page.wait_for_url(lambda url: "sort=margin" in url and "split=valid" in url and "label=" not in url)
    page.fill("input[name=q]", "no such words")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=No record is like that")


def test_a_cell_of_the_matrix_opens_its_records(page, served):
    page.goto(f"{served.address}/model")
    cell = page.locator(".matrix td a").first
    n = cell.inner_text()
    cell.click()
    page.wait_for_selector("#view.live")
    assert page.locator("[data-at]").count() == int(n)


@pytest.mark.parametrize("where", ["/records", "/records/1", f"/records/{N}", "/compare?a=0", "/model"])
def test_everybody_can_use_it(visit, served, session, where):
    from axe_playwright_python.sync_playwright import Axe

    for width, scheme in ((1280, "light"), (360, "dark")):
        options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "storage_state": session}
        page = visit(served, served.address + where, **options)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it is wider than the screen"
        assert page.evaluate("!window.boomed")


def test_links_do_without_a_script(chromium, served, session):
    context = chromium.new_context(java_script_enabled=False, storage_state=session)
    page = context.new_page()
    page.goto(f"{served.address}/records")
    seen = []
    while True:
        seen += page.locator("a[data-at]").evaluate_all("links => links.map(a => a.dataset.at)")
        if not page.locator("a[rel=next]").count():
            break
        page.locator("a[rel=next]").click()
    context.close()
    assert [int(i) for i in seen] == list(range(ALIVE))
