"""A real JupyterLab and a real browser for tests: no human, no network, no traces in the user's settings.

    with JupyterLab(folder) as lab, browser_page(lab) as page:
        notebook = Notebook(lab, page, 'widgets.ipynb')
        notebook.run_all()
        notebook.value('len(explorer.selection)')     # asked in the kernel, through its own connection
        page.screenshot(path='seen.png')
"""
import ast
import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
BROWSERS = Path(os.environ.get('PLAYWRIGHT_BROWSERS_PATH', ROOT / '.venv' / 'browsers'))  # where Playwright's own would lie
NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
FLAGS = ('--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader',  # WebGL without a GPU
         '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic')
SETTINGS = {
    '@jupyterlab/apputils-extension/notification': dict(fetchNews='false', checkForUpdates=False, doNotDisturbMode=True),
    '@jupyterlab/notebook-extension/tracker': dict(windowingMode='none'),
    '@jupyterlab/docmanager-extension/plugin': dict(autosave=False),
}


def chromium() -> str | None:
    "The path of a Chromium: the system's, or the one that Playwright keeps."
    own = sorted(BROWSERS.glob('chromium-*/chrome-*/chrome'))
    return next(filter(None, map(shutil.which, NAMES)), None) or (str(own[-1]) if own else None)


def why_not() -> str:
    "The reason why no browser test can run here, or an empty text."
    for package in ('jupyterlab', 'playwright'):
        try:
            version(package)
        except PackageNotFoundError:
            return f'{package} is not installed'
    return '' if chromium() else 'no Chromium was found, and none could be fetched (python tests/harness.py says why)'


def fetch_browser() -> str:
    "See to it that there is a Chromium: from Debian's packages for root, else Playwright's own, kept beside the environment."
    if chromium():
        return chromium()
    apt = shutil.which('apt-get') if os.geteuid() == 0 else None
    ways = [[apt, '-qq', 'update'], [apt, '-qq', 'install', '--yes', '--no-install-recommends', 'chromium']] if apt else []
    for command in [*ways, [sys.executable, '-m', 'playwright', 'install', 'chromium']]:
        if command[-1] == 'chromium' and chromium():
            break
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False,
                              env=os.environ | dict(PLAYWRIGHT_BROWSERS_PATH=str(BROWSERS), DEBIAN_FRONTEND='noninteractive'))
        if done.returncode:
            print(f'{" ".join(command)}: {(done.stderr or done.stdout).strip()[-300:]}')
    return chromium() or 'none: tests in a browser will be skipped'


def wait_for(condition, what: str, seconds: float = 60, pause: float = 0.1):
    "The first true value of `condition()`; raises when it takes longer than `seconds`."
    start = time.monotonic()
    while not (value := condition()):
        if time.monotonic() - start > seconds:
            raise TimeoutError(f'waited {seconds:.0f} s for {what}')
        time.sleep(pause)
    return value


def end_with_parent():
    "In the child: ask Linux to end this process when its parent dies, so that a killed test leaves no server."
    ctypes.CDLL('libc.so.6').prctl(1, signal.SIGTERM)


class JupyterLab:
    "A server on loopback with a random token and with settings, runtime and IPython folders of its own."

    def __init__(self, root, **environment):
        self.root, self.token = Path(root).resolve(), secrets.token_hex(16)
        self.home = tempfile.TemporaryDirectory(prefix='jupyterlab-')
        self.environment = environment
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            self.url = f'http://127.0.0.1:{s.getsockname()[1]}'

    def __enter__(self):
        home = Path(self.home.name)
        for name, values in SETTINGS.items():
            path = home / 'settings' / f'{name}.jupyterlab-settings'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        folders = dict(JUPYTER_CONFIG_DIR='config', JUPYTERLAB_SETTINGS_DIR='settings', JUPYTERLAB_WORKSPACES_DIR='workspaces',
                       JUPYTER_RUNTIME_DIR='runtime', IPYTHONDIR='ipython')
        env = os.environ | {k: str(home / v) for k, v in folders.items()} | self.environment
        command = [sys.executable, '-m', 'jupyter', 'lab', '--no-browser', '--allow-root', '--ip=127.0.0.1',
                   f'--port={self.url.rpartition(":")[2]}', '--ServerApp.port_retries=0', f'--IdentityProvider.token={self.token}',
                   f'--ServerApp.root_dir={self.root}', '--LabApp.expose_app_in_browser=True',
                   '--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate']
        self.log = open(home / 'server.log', 'w')
        self.server = subprocess.Popen(command, env=env, stdout=self.log, stderr=self.log, preexec_fn=end_with_parent)
        wait_for(self.is_up, 'JupyterLab to start')
        return self

    def is_up(self) -> bool:
        if self.server.poll() is not None:
            raise RuntimeError(f'JupyterLab ended: {(Path(self.home.name) / "server.log").read_text()[-2000:]}')
        try:
            return bool(self.ask('status'))
        except (urllib.error.URLError, ConnectionError):
            return False

    def ask(self, path: str, method: str = 'GET'):
        "The parsed answer of the server's REST interface."
        request = urllib.request.Request(f'{self.url}/api/{path}', method=method, headers=dict(Authorization=f'token {self.token}'))
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def __exit__(self, *error):
        if self.server.poll() is None:
            for kernel in self.ask('kernels'):
                self.ask(f'kernels/{kernel["id"]}', 'DELETE')
        self.server.terminate()
        try:
            self.server.wait(15)
        except subprocess.TimeoutExpired:
            self.server.kill()
        self.log.close()
        self.home.cleanup()


@contextlib.contextmanager
def browser_page(lab: JupyterLab, width: int = 1500, height: int = 1100):
    "A page of headless Chromium; `page.said` collects its console, `page.outside` every request that leaves the server."
    from playwright.sync_api import sync_playwright

    here = (lab.url, lab.url.replace('http', 'ws'), 'data:', 'blob:')
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        page = browser.new_page(viewport=dict(width=width, height=height))
        page.said, page.outside = [], []
        page.on('console', lambda m: page.said.append(f'{m.type}: {m.text}'))
        page.on('pageerror', lambda e: page.said.append(f'page error: {e}'))
        page.on('request', lambda r: page.outside.append(r.url) if not r.url.startswith(here) else None)
        try:
            yield page
        finally:
            browser.close()


class Notebook:
    "A notebook open in the browser, and a side door into its kernel."

    def __init__(self, lab: JupyterLab, page, path: str):
        self.lab, self.page, self.path = lab, page, path
        page.goto(f'{lab.url}/lab/tree/{path}?token={lab.token}&reset', wait_until='commit')
        page.wait_for_selector('.jp-Notebook .jp-CodeCell', timeout=180_000)
        self.kernel = wait_for(self.find_kernel, 'the kernel')
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=180_000)
        self.client = None

    def find_kernel(self) -> str | None:
        kernels = [s['kernel'] for s in self.lab.ask('sessions') if s['path'] == self.path and s['kernel']]
        return kernels[0]['id'] if kernels else None

    def run_all(self, seconds: float = 300):
        "Run all cells and wait until none is left running."
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        wait_for(self.is_done, 'the cells to finish', seconds)

    def start_cell(self, number: int):
        "Begin to run one cell (negative numbers count from the end) and do not wait for it."
        self.page.evaluate("""number => {
          const notebook = window.jupyterapp.shell.currentWidget.content
          notebook.deselectAll()
          notebook.activeCellIndex = number < 0 ? notebook.widgets.length + number : number
          window.jupyterapp.commands.execute('notebook:run-cell')
        }""", number)
        wait_for(lambda: not self.is_done(), 'the cell to begin', 20, pause=0.02)

    def run_cells(self, last: int, seconds: float = 600):
        "Run all cells before number `last` (negative numbers count from the end) and wait until none is left running."
        self.page.evaluate("""last => {
          const notebook = window.jupyterapp.shell.currentWidget.content
          notebook.activeCellIndex = last < 0 ? notebook.widgets.length + last : last
          window.jupyterapp.commands.execute('notebook:run-all-above')
        }""", last)
        wait_for(self.is_done, 'the cells to finish', seconds)

    def is_done(self) -> bool:
        prompts = self.page.eval_on_selector_all('.jp-CodeCell .jp-InputPrompt', 'all => all.map(e => e.textContent)')
        return not any('*' in p for p in prompts) and any(p.strip('[]: ') for p in prompts)

    def errors(self) -> list[str]:
        "What cells have ended in, as the notebook's own model has it (the page shows an error like any text on stderr)."
        return self.page.evaluate("""() => window.jupyterapp.shell.currentWidget.content.widgets
          .filter(cell => cell.model.type === 'code').flatMap(cell => cell.model.sharedModel.outputs)
          .filter(output => output.output_type === 'error').map(output => `${output.ename}: ${output.evalue}`)""")

    def value(self, expression: str, seconds: float = 60):
        "The value of a Python expression in the kernel, as JSON has it."
        if self.client is None:
            from jupyter_client import BlockingKernelClient

            connection = Path(self.lab.home.name) / 'runtime' / f'kernel-{self.kernel}.json'
            self.client = BlockingKernelClient(connection_file=str(connection))
            self.client.load_connection_file()
            self.client.start_channels()
            self.client.wait_for_ready(timeout=seconds)
        asked = self.client.execute('', silent=True, user_expressions=dict(value=f'__import__("json").dumps({expression})'))
        while (message := self.client.get_shell_msg(timeout=seconds))['parent_header'].get('msg_id') != asked:
            pass
        answer = message['content']['user_expressions']['value']
        if answer['status'] != 'ok':
            raise RuntimeError(f'{expression}: {answer["evalue"]}')
        return json.loads(ast.literal_eval(answer['data']['text/plain']))

    def until(self, expression: str, seconds: float = 20):
        "Wait until a Python expression in the kernel is true; returns its value."
        return wait_for(lambda: self.value(expression), expression, seconds)


def copy_of(name: str, folder: Path, last: str | None = None, more: tuple = ()) -> str:
    "A notebook up to a cell, with cells added at its end, in `folder`."
    notebook = json.loads((ROOT / 'nbs' / f'{name}.ipynb').read_text())
    if last:
        notebook['cells'] = notebook['cells'][:[cell['id'] for cell in notebook['cells']].index(last) + 1]
    kind = dict(cell_type='code', metadata={}, outputs=[], execution_count=None)
    notebook['cells'] += [dict(kind, id=f'added-{i}', source=text) for i, text in enumerate(more)]
    (folder / f'{Path(name).name}.ipynb').write_text(json.dumps(notebook))
    return f'{Path(name).name}.ipynb'


def map_canvas(page):
    "The canvas of the explorer's big map: jupyter-scatter lays a second one for annotations over it."
    tall = [c for c in page.query_selector_all('.jp-OutputArea canvas:not(.lp-map-canvas)') if (c.bounding_box() or {'height': 0})['height'] > 300]
    return tall[0] if tall else None


def drag_around(page, box):
    "Draw a loop around the middle of a box with the mouse."
    turn = np.linspace(0, 1.9 * np.pi, 40)  # not quite around: a release where the press was would be a click
    x = box['x'] + box['width'] * (0.5 + 0.3 * np.cos(turn))
    y = box['y'] + box['height'] * (0.5 + 0.45 * np.sin(turn))
    page.mouse.move(x[0], y[0])
    page.mouse.down()
    for a, b in zip(x, y):
        page.mouse.move(a, b)
    page.mouse.up()


def lasso(notebook) -> int:
    "Draw a lasso on the map of `explorer`; how many stays Python then holds."
    notebook.value('setattr(explorer.scatter.widget, "mouse_mode", "lasso")')
    map_canvas(notebook.page).scroll_into_view_if_needed()
    notebook.page.wait_for_timeout(500)
    drag_around(notebook.page, map_canvas(notebook.page).bounding_box())
    notebook.until('len(explorer.selection)')
    notebook.page.wait_for_timeout(500)
    return notebook.value('len(explorer.selection)')


if __name__ == '__main__':
    print(f'Browser for the tests: {fetch_browser()}')
