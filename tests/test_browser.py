"The widgets in a real JupyterLab and a real browser: what nbdev_test cannot see."

from io import BytesIO

import numpy as np
import pytest
from harness import ROOT, JupyterLab, Notebook, browser_page, copy_of, lasso, map_canvas, wait_for, why_not

LAST = 'explorer-example'  # the cell of 17c_explorer that shows the explorer linked to its curves

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f'no browser test: {why_not()}')


def picture(element) -> np.ndarray:
    "What an element looks like: (height, width, 3)."
    from PIL import Image

    return np.asarray(Image.open(BytesIO(element.screenshot())).convert('RGB'), int)


def coloured(image: np.ndarray) -> int:
    "How many pixels are neither white nor grey."
    return int((np.ptp(image, axis=2) > 60).sum())


@pytest.fixture(scope='module')
def opened(tmp_path_factory):
    "The explorer's page in JupyterLab, all cells run, the map in view."
    folder = tmp_path_factory.mktemp('lab')
    with JupyterLab(folder, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1') as lab, browser_page(lab) as page:
        notebook = Notebook(lab, page, copy_of('17c_explorer', folder, LAST))
        notebook.run_all()
        wait_for(lambda: map_canvas(page), 'the map', 30)
        map_canvas(page).scroll_into_view_if_needed()
        yield notebook


def test_no_cell_fails_and_nothing_is_fetched_from_outside(opened):
    assert opened.errors() == []
    assert opened.page.outside == []


def test_points_are_drawn_and_the_slider_moves_them(opened):
    canvas = map_canvas(opened.page)
    wait_for(lambda: coloured(picture(canvas)) > 1000, 'points on the canvas', 20)
    before = picture(canvas)
    opened.page.query_selector('.noUi-handle').focus()
    opened.page.keyboard.press('ArrowRight')
    opened.until('explorer.stage == 1')
    wait_for(lambda: (np.abs(picture(canvas) - before).max(2) > 60).mean() > 0.005, 'points to move', 20)


def test_a_lasso_reaches_python_and_the_case_panel(opened):
    assert opened.value('len(explorer.selection)') == 0
    chosen = lasso(opened)
    assert 0 < chosen <= 300
    wait_for(lambda: f'{chosen} stays' in opened.page.inner_text('.lp-case'), 'the panel to say so', 10)


def test_the_ranking_is_steered_by_keys(opened):
    page = opened.page
    opened.value('explorer.go(2)')
    page.wait_for_selector('.lp-ranking tbody tr')
    page.focus('.lp-ranking table')
    page.keyboard.press('ArrowDown')
    page.keyboard.press('ArrowDown')
    opened.until('list(explorer.selection.index) == [explorer.ranking.rows[1][0]]')
    wait_for(lambda: page.query_selector('.lp-case svg'), 'the chart of that stay', 20)


def test_a_click_on_the_curve_moves_cursor_and_map(opened):
    page = opened.page
    curve = page.query_selector_all('.lp-curves > svg')[-1]
    curve.scroll_into_view_if_needed()
    box = curve.bounding_box()
    page.mouse.click(box['x'] + 0.985 * box['width'], box['y'] + 0.4 * box['height'])
    opened.until('curves.step == 900')
    opened.until('explorer.stage == 3')
    page.keyboard.press('Home')
    opened.until('explorer.stage == 0')


def test_help_opens_and_the_exported_page_works_without_a_kernel(opened, tmp_path):
    page = opened.page
    page.click('.lp-curves .lp-ask')
    assert page.is_visible('.lp-curves .lp-help')
    opened.value(f'str(explorer.export({str(tmp_path / "map.html")!r}))')
    alone = page.context.browser.new_page()
    said = []
    alone.on('console', lambda m: said.append(m.text))
    alone.on('pageerror', lambda e: said.append(str(e)))
    alone.goto(f'file://{tmp_path / "map.html"}')
    alone.focus('.lp-map-canvas')
    alone.keyboard.press('End')
    wait_for(lambda: 'supervised' in alone.inner_text('.lp-curves-said'), 'the curves to follow the map', 10)
    alone.focus('.lp-curves > svg')
    alone.keyboard.press('Home')
    wait_for(lambda: 'Map after init' in alone.get_attribute('.lp-map-canvas', 'aria-label'), 'the map to follow the curves', 10)
    assert said == []
    alone.close()


def test_two_quick_steps_end_where_one_slow_walk_ends(opened):
    "A scatter drops places that come while points travel; the explorer must not leave them on the way."
    opened.value('explorer.select([])')
    canvas = map_canvas(opened.page)
    canvas.scroll_into_view_if_needed()
    for stage in (0, 1, 2):
        opened.value(f'explorer.go({stage})')
        opened.page.wait_for_timeout(2500)
    slowly = picture(canvas)
    opened.value('explorer.go(0)')
    opened.page.wait_for_timeout(2500)
    opened.value('[explorer.go(1), explorer.go(2)]')
    wait_for(lambda: (np.abs(picture(canvas) - slowly).max(2) > 60).mean() < 0.002, 'the points to arrive', 15)
