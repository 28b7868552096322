"""How quick the explorer is with many stays, beside a bare jupyter-scatter with the same points in the same page.

    python tests/bench_widgets.py [stays ...] [--pictures FOLDER]

For every number of stays (100,000 if none is given) a kernel and a page of their own. Each line is printed when it is known, first of
the bare scatter, then of the explorer with the ratio: first picture after the cell returns, a stage change until the first new frame
and its frames a second, a lasso from the release of the mouse until the selection is in Python, and what the kernel holds more than
before. What does not end within a time that grows with the stays is said, and the rest is measured if it can be. Headless Chromium
with software rendering.
"""
import argparse
import json
import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np
from harness import JupyterLab, Notebook, browser_page, wait_for, why_not

ROOT = Path(__file__).parent.parent
CELLS = ['''
import ctypes, gc, resource, tempfile, time
import numpy as np
import jscatter
from lp_nb.view.widgets.explorer import Explorer
from lp_nb.measures.maps import planted_run

def held():  # megabytes
    gc.collect()
    ctypes.CDLL('libc.so.6').malloc_trim(0)
    return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 1e6

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
run, held_before = planted_run(tempfile.mkdtemp(), n={n}), held()
''', '''
began = time.monotonic()
explorer = Explorer(run, method='pca', most={n})
made_explorer, held_explorer, peak_explorer = time.monotonic() - began, held(), peak()
''', '''
(x, y), (x1, y1) = explorer.layout.xy[0].T.astype(float), explorer.layout.xy[2].T.astype(float)
wide, high = explorer.layout.square()
began, held_between = time.monotonic(), held()
bare = jscatter.Scatter(x=x, y=y, x_scale=wide, y_scale=high, height=520, axes=False, size=1.5, transition_points_duration=1200)
bare.widget
made_bare, held_bare = time.monotonic() - began, held()
go = lambda: bare.xy(x1, y1, x_scale=wide, y_scale=high, animate=True)
''', 'bare.widget', 'explorer']
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
JOURNEY = 1200  # milliseconds that points are on their way


def notebook(folder: Path, n: int) -> str:
    "Five cells: a run, an explorer of it, a bare scatter; show the scatter, show the explorer."
    cells = [nbformat.v4.new_code_cell(text.replace('{n}', str(n))) for text in CELLS]
    nb = nbformat.v4.new_notebook(cells=cells, metadata=dict(kernelspec=dict(name='python3', display_name='python3')))
    (folder / 'bench.ipynb').write_text(nbformat.writes(nb))
    return 'bench.ipynb'


def run_cell(notebook, number: int, seconds: float):
    "Run one cell and wait until it is done."
    notebook.page.evaluate("""async number => {
      window.jupyterapp.shell.currentWidget.content.activeCellIndex = number
      await window.jupyterapp.commands.execute('notebook:run-cell')
    }""", number)
    wait_for(notebook.is_done, f'cell {number} to finish', seconds, pause=0.05)
    assert not notebook.errors(), notebook.errors()


def first_picture(notebook, number: int, seconds: float) -> float:
    "Seconds from the end of the cell that shows a widget until its points are on the canvas."
    run_cell(notebook, number, seconds)
    began = time.monotonic()
    many = 2 * (number - 2)  # canvases: two of each scatter
    wait_for(lambda: (notebook.page.evaluate(LOOK, many) or [0, 0])[1] > 50, 'points', seconds, pause=0.05)
    return time.monotonic() - began


def still(notebook, seconds: float):
    "Wait until nothing was drawn for a while."
    quiet = '''() => performance.now() - Math.max(...window.drawn.map(([time]) => time)) > 2000'''
    notebook.page.query_selector_all('.jp-CodeCell')[-1].scroll_into_view_if_needed()
    wait_for(lambda: notebook.page.evaluate(quiet), 'the points to rest', seconds, pause=0.5)


def change(notebook, start: str, seconds: float) -> tuple[float, float]:
    "Seconds until the first new frame after a change begun in Python, and frames a second until the points have arrived."
    def frames():
        times = np.array(notebook.page.evaluate(DRAWN, began))
        return times if len(times) and times[-1] >= times[0] + JOURNEY else None

    began = notebook.page.evaluate('() => performance.now()')
    notebook.value(start, seconds)
    times = wait_for(lambda: (t := frames()) is not None and (t,), 'points to travel', seconds, pause=0.5)[0]
    times = times[:np.searchsorted(times, times[0] + JOURNEY) + 1]
    return times[0] / 1000, (len(times) - 1) / (np.ptp(times) / 1000)


def lasso(notebook, widget: str, seconds: float) -> tuple[float, int]:
    "Seconds from the release of the mouse until the selection is in Python, and how many stays it holds."
    page = notebook.page
    notebook.value(f'setattr({widget}, "mouse_mode", "lasso")', seconds)
    page.wait_for_timeout(1000)
    box = [c for c in page.query_selector_all('.jp-CodeCell canvas') if c.bounding_box() and c.bounding_box()['height'] > 300][-1].bounding_box()
    turn = np.linspace(0, 1.9 * np.pi, 40)  # not quite around: a release where the press was would be a click
    x, y = box['x'] + box['width'] * (0.5 + 0.45 * np.cos(turn)), box['y'] + box['height'] * (0.5 + 0.45 * np.sin(turn))
    page.mouse.move(x[0], y[0])
    page.mouse.down()
    for a, b in zip(x, y):
        page.mouse.move(a, b)
    page.mouse.up()
    began = time.monotonic()
    found = wait_for(lambda: notebook.value(f'len({widget}.selection)', seconds), 'the selection', seconds, pause=0.01)
    return time.monotonic() - began, found


def measured(notebook, number: int, start: str, widget: str, seconds: float):
    "All numbers of the widget that a cell shows, as they become known; a text in place of what did not end."
    from playwright.sync_api import Error

    def attempt(names: tuple, step, *args):
        try:
            found = step(notebook, *args, seconds)
        except (TimeoutError, Error) as e:
            found = [str(e).splitlines()[0]] * len(names)
        return zip(names, found if isinstance(found, (tuple, list)) else [found])

    yield from attempt(('first_picture_s',), first_picture, number)
    dict(attempt(('rest',), still))
    yield from attempt(('change_begins_s', 'frames_per_s'), change, start)
    dict(attempt(('rest',), still))
    yield from attempt(('lasso_s', 'lasso_stays'), lasso, widget)


def line(key: str, value, beside=None):
    "Print a number, or what was said in its place, and the ratio to the one beside it."
    number = isinstance(value, (int, float))
    ratio = f'{value / beside:10.2f}' if number and isinstance(beside, (int, float)) and beside else ''
    print(f'{key:28}{f"{value:14,.3g}" if number else f"  ended: {value}"}{ratio}', flush=True)


def of_kernel(notebook, name: str, before: str) -> dict:
    "Seconds that it took to make a widget, and megabytes that the kernel holds more."
    made, more = notebook.value(f'[made_{name}, held_{name} - {before}]')
    return dict(made_in_s=made, kernel_mb=more)


def bench(n: int, pictures: Path | None = None) -> dict:
    "All lines of one number of stays."
    seconds = 60 + n / 4000
    with tempfile.TemporaryDirectory() as folder:
        name, out = notebook(Path(folder), n), {}
        with JupyterLab(folder, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='2') as lab, browser_page(lab) as page:
            page.add_init_script(COUNT)
            book = Notebook(lab, page, name)
            for number in range(3):
                run_cell(book, number, 10 * seconds)
            line('kernel_peak_mb', book.value('peak_explorer'))
            for what, number, start, widget, before in (
                    ('bare', 3, 'bool(go())', 'bare.widget', 'held_between'),
                    ('explorer', 4, 'bool(explorer.go(2) or 1)', 'explorer.scatter.widget', 'held_before')):
                print(f'{n:,} stays, {what}', flush=True)
                out[what], other = {}, out.get('bare', {})
                kernel = of_kernel(book, what, before)
                for key, value in (*kernel.items(), *measured(book, number, start, widget, seconds)):
                    out[what][key] = value
                    line(key, value, other.get(key))
                if pictures:
                    page.screenshot(path=pictures / f'{what}-{n}.png')
    return dict(stays=n, **out)


if __name__ == '__main__':
    if why_not():
        raise SystemExit(f'no bench: {why_not()}')
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('stays', nargs='*', type=int, default=[100_000])
    parser.add_argument('--pictures', type=Path, help='a folder for what was seen')
    asked = parser.parse_args()
    for size in asked.stays:
        print(json.dumps(bench(size, asked.pictures)), flush=True)
