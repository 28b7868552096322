"""How quick the explorer is with 100,000 stays, beside a bare jupyter-scatter with the same points in the same page.

    python tests/bench_widgets.py [stays]

Prints seconds and the ratio to the bare scatter: first picture after the cell returns, a stage change until the first new frame and its
frames a second, a lasso from the release of the mouse until the selection is in Python. Headless Chromium with software rendering.
"""
import json
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np
from harness import JupyterLab, Notebook, browser_page, wait_for, why_not

ROOT = Path(__file__).parent.parent
SETUP = '''
import tempfile
import numpy as np
import jscatter
from lp_nb.view.widgets.explorer import Explorer
from lp_nb.measures.maps import planted_run
run = planted_run(tempfile.mkdtemp(), n={n})
explorer = Explorer(run, method='pca', most={n})
(x, y), (x1, y1) = explorer.layout.xy[0].T.astype(float), explorer.layout.xy[2].T.astype(float)
wide, high = explorer.layout.square()
bare = jscatter.Scatter(x=x, y=y, x_scale=wide, y_scale=high, height=520, axes=False, size=1.5, transition_points_duration=1200)
go = lambda: bare.xy(x1, y1, x_scale=wide, y_scale=high, animate=True)
'''
# of the canvas that was made last: a sum over its pixels, and how many are not paper
LOOK = '''many => {
  const all = [...document.querySelectorAll('.jp-CodeCell canvas')].filter(c => c.clientHeight > 300)
  const canvas = all.length >= many && all.at(-2), context = canvas && canvas.getContext('2d')
  if (!context || !canvas.width) return null
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data
  let sum = 0, seen = 0
  for (let i = 0; i < data.length; i += 44) { sum = (sum * 31 + data[i] + data[i + 1] * 3 + data[i + 2] * 7 + data[i + 3] * 11) % 1000000007; seen += data[i + 3] > 0 && data[i] < 250 }
  return [sum, seen]
}'''
# every frame that a scatter copies onto its canvas, with its time: counted where it is drawn, which costs nothing
COUNT = '''
window.drawn = []
const draw = CanvasRenderingContext2D.prototype.drawImage
CanvasRenderingContext2D.prototype.drawImage = function (...args) {
  if (this.canvas.clientHeight > 300) window.drawn.push([performance.now(), this.canvas])
  return draw.apply(this, args)
}
'''
DRAWN = '''since => {
  const all = [...document.querySelectorAll('.jp-CodeCell canvas')].filter(c => c.clientHeight > 300)
  return window.drawn.filter(([time, canvas]) => canvas === all.at(-2) && time > since).map(([time]) => time - since)
}'''


def notebook(folder: Path, n: int) -> str:
    "Three cells: make both, show the bare scatter, show the explorer."
    cells = [nbformat.v4.new_code_cell(text) for text in (SETUP.format(n=n), 'bare.widget', 'explorer')]
    nb = nbformat.v4.new_notebook(cells=cells, metadata=dict(kernelspec=dict(name='python3', display_name='python3')))
    (folder / 'bench.ipynb').write_text(nbformat.writes(nb))
    return 'bench.ipynb'


def run_cell(notebook, number: int, seconds: float = 900):
    "Run one cell and wait until it is done."
    notebook.page.evaluate("""async number => {
      window.jupyterapp.shell.currentWidget.content.activeCellIndex = number
      await window.jupyterapp.commands.execute('notebook:run-cell')
    }""", number)
    wait_for(notebook.is_done, 'a cell to finish', seconds, pause=0.02)


def first_picture(notebook, number: int) -> float:
    "Seconds from the end of the cell that shows a widget until its points are on the canvas."
    run_cell(notebook, number)
    began = time.monotonic()
    wait_for(lambda: (notebook.page.evaluate(LOOK, 2 * number) or [0, 0])[1] > 50, 'points', 60, pause=0.02)
    return time.monotonic() - began


def change(notebook, start: str) -> tuple[float, float]:
    "Seconds until the first new frame after a change begun in Python, and frames a second while it moves."
    began = notebook.page.evaluate('() => performance.now()')
    notebook.value(start)
    notebook.page.wait_for_timeout(4000)
    times = np.array(notebook.page.evaluate(DRAWN, began))
    moving = times[times < times[0] + 1300]
    return times[0] / 1000, (len(moving) - 1) / max(np.ptp(moving) / 1000, 1e-9)


def lasso(notebook, widget: str) -> tuple[float, int]:
    "Seconds from the release of the mouse until the selection is in Python, and how many stays it holds."
    page = notebook.page
    notebook.value(f'setattr({widget}, "mouse_mode", "lasso")')
    page.wait_for_timeout(500)
    box = [c for c in page.query_selector_all('.jp-CodeCell canvas') if c.bounding_box() and c.bounding_box()['height'] > 300][-1].bounding_box()
    turn = np.linspace(0, 1.9 * np.pi, 40)  # not quite around: a release where the press was would be a click
    x, y = box['x'] + box['width'] * (0.5 + 0.45 * np.cos(turn)), box['y'] + box['height'] * (0.5 + 0.45 * np.sin(turn))
    page.mouse.move(x[0], y[0])
    page.mouse.down()
    for a, b in zip(x, y):
        page.mouse.move(a, b)
    page.mouse.up()
    began = time.monotonic()
    found = wait_for(lambda: notebook.value(f'len({widget}.selection)'), 'the selection', 30, pause=0.01)
    return time.monotonic() - began, found


def measured(notebook, number: int, start: str, widget: str) -> dict:
    "All numbers of the widget that a cell shows."
    shown = first_picture(notebook, number)
    notebook.page.query_selector_all('.jp-CodeCell')[-1].scroll_into_view_if_needed()
    notebook.page.wait_for_timeout(1500)
    begins, frames = change(notebook, start)
    notebook.page.wait_for_timeout(2500)
    seconds, chosen = lasso(notebook, widget)
    return dict(first_picture_s=shown, change_begins_s=begins, frames_per_s=frames, lasso_s=seconds, lasso_stays=chosen)


def main(n: int):
    "Run the bench and print a table."
    if why_not():
        raise SystemExit(f'no bench: {why_not()}')
    with tempfile.TemporaryDirectory() as folder:
        name = notebook(Path(folder), n)
        with JupyterLab(folder, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='2') as lab, browser_page(lab) as page:
            page.add_init_script(COUNT)
            book = Notebook(lab, page, name)
            run_cell(book, 0)
            assert not book.errors(), book.errors()
            bare = measured(book, 1, 'bool(go())', 'bare.widget')
            ours = measured(book, 2, 'bool(explorer.go(2) or 1)', 'explorer.scatter.widget')
    print(f'{n:,} stays{"":14}bare scatter  explorer  ratio')
    for key, value in bare.items():
        print(f'{key:28}{value:10.3g}{ours[key]:10.3g}{ours[key] / value:7.2f}')
    print(json.dumps(dict(stays=n, bare=bare, explorer=ours)))


if __name__ == '__main__':
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
