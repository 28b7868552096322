"The widgets in a real JupyterLab and a real browser: what nbdev_test cannot see."

from io import BytesIO

import numpy as np
import pytest
from harness import ROOT, JupyterLab, Notebook, browser_page, copy_of, lasso, map_canvas, wait_for, why_not

LAST = 'explorer-example'  # the cell of the explorer's page that shows the explorer linked to its curves
PANELS = '''from lp_nb.view.widgets.cases import StayTraits
from lp_nb.view.widgets.composer import ComposerView
from lp_nb.view.widgets.live import Live
from lp_nb.view.widgets.boards import ResultsBoard

live, view = Live(), ComposerView(cards=[dict(name='mlm', settings={})], line='mlm')
of_cohort = StayTraits(stay=1, outcomes=[[name, True, None] for name in 'abcde'], places=[['', 'all splits']])
points = ResultsBoard(pd.DataFrame(dict(task='t', arm=['a', 'b'], metric='AUROC', value=[0.7, 0.8], low=float('nan'), high=float('nan'))))
W.VBox([live, view, of_cohort, points])'''  # panels that draw what they are given, without a lab

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f'no browser test: {why_not()}')


def picture(element) -> np.ndarray:
    "What an element looks like: (height, width, 3)."
    from PIL import Image

    return np.asarray(Image.open(BytesIO(element.screenshot())).convert('RGB'), int)


def coloured(image: np.ndarray) -> int:
    "How many pixels are neither white nor grey."
    return int((np.ptp(image, axis=2) > 60).sum())


def still(page, element) -> np.ndarray:
    "What an element looks like once it has not changed for a second and a half."
    seen = [picture(element)]

    def is_still():
        page.wait_for_timeout(1500)
        seen.append(picture(element))
        return np.array_equal(seen[-1], seen[-2])

    wait_for(is_still, 'the picture to be still', 30)
    return seen[-1]


@pytest.fixture(scope='module')
def opened(tmp_path_factory):
    "The explorer's page in JupyterLab, all cells run, the map in view."
    folder = tmp_path_factory.mktemp('lab')
    with JupyterLab(folder, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1') as lab, browser_page(lab) as page:
        notebook = Notebook(lab, page, copy_of('6_view/widgets/06_explorer', folder, LAST, (PANELS, '1 / 0')))
        notebook.run_all()
        wait_for(lambda: map_canvas(page), 'the map', 30)
        map_canvas(page).scroll_into_view_if_needed()
        yield notebook


def test_no_cell_fails_and_nothing_is_fetched_from_outside(opened):
    assert opened.errors() == ['ZeroDivisionError: division by zero']  # of the last cell, so that this test can fail
    assert opened.page.outside == []


def test_points_are_drawn_and_the_slider_moves_them(opened):
    canvas = map_canvas(opened.page)
    wait_for(lambda: coloured(picture(canvas)) > 1000, 'points on the canvas', 60)
    assert opened.value('[explorer.stage, explorer.controls.play.value]') == [1, 1]  # where it opens, also once the page has linked the two
    assert 'Opens on 1 mlm' in opened.page.inner_text('.lp-honest')
    before = picture(canvas)
    opened.page.query_selector('.noUi-handle').focus()
    opened.page.keyboard.press('ArrowRight')
    opened.until('explorer.stage == 2')
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
        slowly = still(opened.page, canvas)
    opened.value('explorer.go(0)')
    still(opened.page, canvas)
    opened.value('[explorer.go(1), explorer.go(2)]')
    wait_for(lambda: (np.abs(picture(canvas) - slowly).max(2) > 60).mean() < 0.002, 'the points to arrive', 15)


def test_a_filter_empties_map_arrows_and_ranking(opened):
    canvas, page = map_canvas(opened.page), opened.page
    opened.value('[explorer.go(2), setattr(explorer.controls.arrows, "value", True)]')
    wait_for(lambda: coloured(picture(canvas)) > 1000 and page.query_selector('.lp-ranking tbody tr'), 'points and ranking', 20)
    opened.value('explorer.filter("age > 200")')
    wait_for(lambda: coloured(picture(canvas)) < 500 and not page.query_selector('.lp-ranking tbody tr'), 'an empty map and ranking', 60)
    opened.value('[explorer.filter(""), setattr(explorer.controls.arrows, "value", False)]')
    wait_for(lambda: coloured(picture(canvas)) > 1000 and page.query_selector('.lp-ranking tbody tr'), 'points and ranking again', 20)


def test_the_ranking_stands_beside_the_map_on_a_laptop(opened):
    page = opened.page
    before = page.viewport_size
    page.set_viewport_size(dict(width=1280, height=900))
    beside = lambda: page.query_selector('.lp-ranking').bounding_box()['x'] >= map_canvas(page).bounding_box()['x'] + 300
    wait_for(lambda: map_canvas(page) and beside(), 'the ranking to stand beside the map', 30)
    wide = page.add_style_tag(content='.lp-ranking { font-size: 1.3em } .lp-ranking th .lp-button { font-size: 17px !important }')  # as other fonts have it
    width = "s => document.querySelector(s).getBoundingClientRect().width"
    fits = lambda: page.evaluate(width, '.lp-ranking table') <= page.evaluate(width, '.lp-ranking-box') + 1
    wait_for(fits, 'a table of which no column is cut', 30)
    wide.evaluate('tag => tag.remove()')
    page.set_viewport_size(before)


def test_the_composer_runs_nothing_while_a_line_is_wrong(opened):
    run = opened.page.wait_for_selector('.lp-composer-run')
    assert run.is_enabled()
    opened.value('setattr(view, "wrong", dict(line="Expected a stage, got \'nonsense\'."))')
    wait_for(lambda: not run.is_enabled(), 'the button to be off', 10)
    opened.value('setattr(view, "wrong", {})')
    wait_for(run.is_enabled, 'the button to be on again', 10)


def test_why_a_run_failed_stays_on_the_panel(opened):
    failed = opened.page.query_selector('.lp-live-failure')
    assert failed.is_hidden()
    opened.value('[setattr(live.watch, "failure", "Expected a finite loss, got nan."), live.say("failed")]')
    wait_for(failed.is_visible, 'the reason', 10)
    opened.value('live.say("failed", "Expected a stage in training, got none.")')
    wait_for(lambda: 'got none' in opened.page.inner_text('.lp-live'), 'what was said later', 10)
    assert 'got nan' in opened.page.inner_text('.lp-live-failure')


def test_no_risk_and_no_interval_is_spoken_of_where_there_is_none(opened):
    page = opened.page
    seen = [case.inner_text() for case in page.query_selector_all('.lp-case') if 'came true' in case.inner_text()]
    assert len(seen) == 1 and 'risk' not in seen[0]
    assert 'no interval: the table has none' in page.inner_text('.lp-board') and '95 %' not in page.inner_text('.lp-board-key')


def test_a_wide_page_uses_its_width(opened, tmp_path):
    opened.value(f'str(explorer.export({str(tmp_path / "wide.html")!r}))')
    alone = opened.page.context.browser.new_page(viewport=dict(width=1920, height=1000))
    alone.goto(f'file://{tmp_path / "wide.html"}')
    left, right = (v.bounding_box() for v in alone.query_selector_all('.lp-view'))
    assert right['x'] > left['x'] + left['width'] and right['x'] + right['width'] - left['x'] > 1400  # map and curves side by side
    alone.close()
