"The widgets in a real JupyterLab and a real browser: what nbdev_test cannot see."

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from harness import JupyterLab, Notebook, browser_page, wait_for, why_not

ROOT = Path(__file__).parent.parent
LAST = 'explorer-example-code'  # the cell of 17_widgets that shows the explorer linked to its curves

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f'no browser test: {why_not()}')


def page_of_widgets(folder: Path) -> str:
    "The notebook 17_widgets up to the linked explorer, in `folder`."
    notebook = json.loads((ROOT / 'nbs/17_widgets.ipynb').read_text())
    ids = [cell['id'] for cell in notebook['cells']]
    notebook['cells'] = notebook['cells'][:ids.index(LAST) + 1]
    (folder / 'widgets.ipynb').write_text(json.dumps(notebook))
    return 'widgets.ipynb'


def picture(element) -> np.ndarray:
    "What an element looks like: (height, width, 3)."
    from PIL import Image

    return np.asarray(Image.open(BytesIO(element.screenshot())).convert('RGB'), int)


def coloured(image: np.ndarray) -> int:
    "How many pixels are neither white nor grey."
    return int((np.ptp(image, axis=2) > 60).sum())


def drag_around(page, box):
    "Draw a loop around the middle of a box with the mouse."
    turn = np.linspace(0, 2 * np.pi, 40)
    x = box['x'] + box['width'] * (0.5 + 0.3 * np.cos(turn))
    y = box['y'] + box['height'] * (0.5 + 0.45 * np.sin(turn))
    page.mouse.move(x[0], y[0])
    page.mouse.down()
    for a, b in zip(x, y):
        page.mouse.move(a, b)
    page.mouse.up()


@pytest.fixture(scope='module')
def opened(tmp_path_factory):
    "The widgets' page in JupyterLab, all cells run, the explorer in view."
    folder = tmp_path_factory.mktemp('lab')
    with JupyterLab(folder, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1') as lab, browser_page(lab) as page:
        notebook = Notebook(lab, page, page_of_widgets(folder))
        notebook.run_all()
        page.wait_for_selector('.jp-OutputArea canvas', timeout=30_000)
        page.query_selector('.jp-OutputArea canvas').scroll_into_view_if_needed()
        yield notebook


def test_no_cell_fails_and_nothing_is_fetched_from_outside(opened):
    assert opened.errors() == []
    assert opened.page.outside == []


def test_points_are_drawn_and_the_slider_moves_them(opened):
    canvas = opened.page.query_selector('.jp-OutputArea canvas')
    wait_for(lambda: coloured(picture(canvas)) > 1000, 'points on the canvas', 20)
    before = picture(canvas)
    handle = opened.page.query_selector('.noUi-handle')
    handle.focus()
    opened.page.keyboard.press('ArrowRight')
    opened.until('explorer.stage == 1')
    wait_for(lambda: (np.abs(picture(canvas) - before).max(2) > 60).mean() > 0.005, 'points to move', 20)


def test_a_lasso_reaches_python(opened):
    page = opened.page
    assert opened.value('len(explorer.selection)') == 0
    canvas = page.query_selector('.jp-OutputArea canvas')
    opened.value('setattr(explorer.scatter.widget, "mouse_mode", "lasso")')
    page.wait_for_timeout(500)
    drag_around(page, canvas.bounding_box())
    chosen = opened.until('len(explorer.selection)')
    assert 0 < chosen <= 300
    wait_for(lambda: 'selected' in page.inner_text('.lp-case >> nth=0'), 'the panel to say so', 10)


def test_a_click_on_the_curve_moves_cursor_and_map(opened):
    page = opened.page
    curve = page.query_selector_all('.lp-curves svg')[-1]
    curve.scroll_into_view_if_needed()
    box = curve.bounding_box()
    page.mouse.click(box['x'] + 0.985 * box['width'], box['y'] + 0.4 * box['height'])
    opened.until('curves.step == 900')
    opened.until('explorer.stage == 3')
    page.keyboard.press('Home')
    opened.until('explorer.stage == 0')
