"""The site: each notebook run once on synthetic data, a page for each module, a search that needs no server.

    python docs/pages.py                 run what has changed, draw the site, check every link in it: docs/_build/html
    python docs/pages.py --workers 1     one notebook at a time
    python docs/pages.py --open          and open it in the browser

A notebook runs again when its cells, a module that it uses, or the versions in constraints.txt have changed.
"""
import argparse
import hashlib
import os
import re
import shutil
import sys
import time
import webbrowser
from concurrent.futures import ProcessPoolExecutor, as_completed
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'docs'))
import api  # noqa: E402
import architecture  # noqa: E402

from lp_nb.cli import releases  # noqa: E402
from lp_nb.core import UserError
from lp_nb.privacy import open_data  # noqa: E402

BUILD = ROOT / 'docs' / '_build'
NBS = ROOT / 'nbs'
SKIP = r'^#\|\s*(eval:\s*false|slow|cuda)\b'
DROP = r'^#\|\s*(hide|default_exp)\b'
STILL = '''
# a page has no kernel: where a widget would be drawn its own figure stands, and nothing where it has none or none yet
import os
import rich.console
from ipywidgets import Widget
for _name in ('FORCE_COLOR', 'CLICOLOR_FORCE'):  # commands print here what they print into a file
    os.environ.pop(_name, None)
rich.console._is_jupyter = lambda: False
%matplotlib inline

def _still(widget, include=None, exclude=None):
    try:
        return get_ipython().display_formatter.format(widget.static())[0]
    except Exception:
        return {'text/plain': '', 'application/vnd.jupyter.widget-view+json': {}}

get_ipython().display_formatter.mimebundle_formatter.for_type(Widget, _still)
'''


# --- run ---
def refuse_patients():
    "Stop where data that not anybody may see is within reach: pages are made to be shown."
    closed = [r for r in releases() if not open_data(r)]
    if os.environ.get('LPNB_MIMIC') or closed:
        raise UserError('a machine with nothing but synthetic or open data, to make pages that anybody may read',
                        ', '.join(dict.fromkeys([*filter(None, [os.environ.get('LPNB_MIMIC')]), *closed])),
                        'Unset LPNB_MIMIC, move the folder out of data/, or build the site elsewhere.')


def uses(path: Path) -> set[str]:
    "The modules of the kit that a notebook names, and those that they name in turn."
    source, found = path.read_text(encoding='utf-8'), set()
    todo = {m for m in re.findall(r'(?:from|import) lp_nb\.([\w.]+)', source) if architecture.file_of(m).exists()}
    todo |= architecture.imports_of(ROOT / 'lp_nb' / '__init__.py') if re.search(r'import lp_nb as lp\b', source) else set()
    while todo - found:
        found |= (m := {(todo - found).pop()})
        todo |= architecture.imports_of(architecture.file_of(*m))
    return found


def key(path: Path) -> str:
    "What a run of the notebook depends on, as a short name."
    files = [path, ROOT / 'constraints.txt', *(architecture.file_of(m) for m in sorted(uses(path)))]
    files += sorted(p for p in (ROOT / 'lp_nb' / 'assets').rglob('*') if p.is_file())
    parts = [STILL.encode(), *(f.read_bytes() for f in files)]
    return hashlib.sha256(b''.join(hashlib.sha256(p).digest() for p in parts)).hexdigest()[:16]


def run(path: Path):
    "The notebook at `path` with its outputs; a failing cell is named."
    os.environ |= dict(LPNB_QUIET='1', OMP_NUM_THREADS='1', HF_HUB_OFFLINE='1')
    nb, begun = nbformat.read(path, as_version=4), []
    for c in nb.cells:
        c.metadata['tags'] = ['skip'] if re.search(SKIP, c.source, flags=re.M) or 'nbdev_export()' in c.source else []
    nb.cells.insert(0, nbformat.v4.new_code_cell('#| hide\n' + STILL))
    client = NotebookClient(nb, timeout=600, kernel_name='python3', skip_cells_with_tag='skip', resources={'metadata': {'path': str(path.parent)}},
                            coalesce_streams=True,  # how output is cut depends on the machine's speed
                            extra_arguments=['--IPKernelApp.log_level=ERROR'],  # one warning for each kernel otherwise
                            on_cell_execute=lambda cell, cell_index: begun.append(cell.id))
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError) as e:
        raise RuntimeError(f'{path.name}, cell {begun[-1]}:\n{e}') from None
    return nb


def ran(path: Path) -> tuple[Path, float]:
    "Where the notebook with its outputs is kept, and the seconds that it took; nothing runs twice."
    kept, start = BUILD / 'ran' / path.relative_to(NBS).with_suffix('') / f'{key(path)}.ipynb', time.perf_counter()
    if not kept.exists():
        nb = run(path)
        shutil.rmtree(kept.parent, ignore_errors=True)
        kept.parent.mkdir(parents=True)
        nbformat.write(nb, kept.with_suffix('.part'))
        os.replace(kept.with_suffix('.part'), kept)
    return kept, time.perf_counter() - start


def run_all(paths: list[Path], workers: int) -> dict[Path, Path]:
    "Every notebook with its outputs, `workers` at a time; the first that fails stops the rest."
    kept = {}
    with ProcessPoolExecutor(workers) as pool:
        jobs = {pool.submit(ran, p): p for p in paths}
        for job in as_completed(jobs):
            if job.exception():
                pool.shutdown(wait=False, cancel_futures=True)
                raise job.exception()
            kept[jobs[job]], seconds = job.result()
            if seconds > 1:
                print(f'  {len(kept):2d} of {len(paths)}  {seconds:5.0f} s  {jobs[job].relative_to(NBS)}', flush=True)
    return kept


# --- tidy ---
def tidy(nb):
    "Without hidden cells and directive lines."
    nb.cells = [c for c in nb.cells if not re.search(DROP, c.source, flags=re.M)]
    for c in nb.cells:
        c.source = re.sub(r'^#\|.*\n?', '', c.source, flags=re.M)
    return nb


def still_outputs(nb):
    "Without what only a kernel could draw, and without a figure that comes again further down, as a widget's own figure does."
    later = set()
    for c in reversed([c for c in nb.cells if c.cell_type == 'code']):
        for o in reversed(c.outputs):
            image = (o.get('data') or {}).get('image/png') or ''
            o['drop'] = 'application/vnd.jupyter.widget-view+json' in o.get('data', {}) or (image in later)
            later |= {image} - {''}
        c.outputs = [o for o in c.outputs if not o.pop('drop')]
    return nb


def title_of(nb) -> str:
    return re.search(r'^# (.+)$', nb.cells[0].source, flags=re.M)[1]


def levels(nb):
    "One title, and under it sections: any further `# ` becomes `## `."
    for c in nb.cells[1:]:
        if c.cell_type == 'markdown' and re.search(r'^# ', outside_code(c.source), flags=re.M):
            c.source = re.sub(r'^#(?=#{0,4} )', '##', c.source, flags=re.M)
    return nb


def outside_code(text: str) -> str:
    return re.sub(r'^```.*?^```', '', text, flags=re.M | re.S)


def page(nb, path: Path, module: str | None):
    "The notebook as a page: tidy, with an anchor at each cell, and the way to its module."
    nb = levels(still_outputs(tidy(nb)))
    cells = []
    for c in nb.cells:
        if c.cell_type == 'code':
            cells.append(nbformat.v4.new_markdown_cell(f'<a id="{c.id}"></a>', id=f'at-{c.id}'))
        c.metadata = {}
        cells.append(c)
    if module:
        up, name = '../' * module.count('.'), path.relative_to(NBS)
        cells.insert(1, nbformat.v4.new_markdown_cell(f'Module [`lp_nb.{module}`]({up}api/{module}.md), written by `nbs/{name}`.', id='module'))
    nb.cells = cells
    nb.metadata = {'kernelspec': dict(display_name='python3', language='python', name='python3'), 'language_info': {'name': 'python'}}
    return nb


# --- write ---
def write(path: Path, text: str):
    "Write where it differs, so that nothing is drawn again that has not changed."
    if not path.exists() or path.read_text(encoding='utf-8') != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')


def module_of(path: Path) -> str | None:
    "The module that a notebook writes."
    found = re.search(r'#\| default_exp ([\w.]+)', path.read_text(encoding='utf-8'))
    return found and found[1]


def parts(notebooks: list[Path]) -> dict[str, list[str]]:
    "The parts of the architecture, as the folders have them: part -> notebooks in their order."
    out = {}
    for p in notebooks:
        folders = [re.sub(r'^\d+_', '', x) for x in p.relative_to(NBS).parts[:-1]]
        if folders != ['tutorials'] and p.stem != 'index':
            out.setdefault(folders[0] if folders else 'ground', []).append(str(p.relative_to(NBS).with_suffix('')))
    return out


def toctree(caption: str, pages: list[str], depth: int = 1) -> str:
    return f'```{{toctree}}\n:hidden:\n:caption: {caption}\n:maxdepth: {depth}\n\n' + '\n'.join(pages) + '\n```\n'


def linked(text: str) -> str:
    "The links of the first page and of CONTRIBUTING.md, seen from the site."
    for here, there in (('nbs/', ''), ('../CITATION', 'CITATION'), ('../CONTRIBUTING.md', 'contributing.md'), ('README.md', 'index.ipynb')):
        text = text.replace(f']({here}', f']({there}')
    return text


def tutorials(index: str) -> list[str]:
    "Pages of nbs/tutorials in the order in which the first page names them; the others after them."
    known = sorted(p.stem for p in (NBS / 'tutorials').glob('*.ipynb'))
    last = index[index.rfind('## Tutorials'):]
    named = list(dict.fromkeys(m for m in re.findall(r'tutorials/(\w+)\.ipynb', last) if m in known))
    return [f'tutorials/{m}' for m in named + [m for m in known if m not in named]]


def first_page(nb, notebooks: list[Path]):
    "index.ipynb with the tables of contents that make the navigation."
    index = '\n'.join(c.source for c in nb.cells)
    for c in nb.cells:
        c.source = linked(c.source) if c.cell_type == 'markdown' else c.source
    trees = [toctree('Tutorials', tutorials(index))]
    trees += [toctree(part.capitalize(), names) for part, names in parts(notebooks).items()]
    trees += [toctree('Reference', ['api/index', 'contributing', 'changelog'])]
    nb.cells.append(nbformat.v4.new_markdown_cell('\n'.join(trees), id='contents'))
    return nb


def api_index(modules: list[str]) -> str:
    "A table of the modules with their first sentence."
    say = lambda m: api.plain(architecture.sentence(m))
    rows = [f'| [`lp_nb.{m}`]({m}.md) | {say(m)} |' for m in modules]
    return '\n'.join(['# Modules', '', '> Every public name, with its parameters. Each page leads to the notebook that writes the module and says why.', '',
                      '| module | what it is for |', '|---|---|', *rows, '', toctree('Modules', modules)])


def write_pages(kept: dict[Path, Path], to: Path):
    "All that Sphinx reads, below `to`."
    modules = {p: m for p in kept if (m := module_of(p)) and architecture.file_of(m).exists()}
    before = {p for p in to.rglob('*') if p.is_file()}
    for path, file in kept.items():
        nb = page(nbformat.read(file, as_version=4), path, modules.get(path))
        nb = first_page(nb, list(kept)) if path.stem == 'index' else nb
        write(to / path.relative_to(NBS), nbformat.writes(nb) + '\n')
    for m in modules.values():
        write(to / 'api' / f'{m}.md', api.page(architecture.file_of(m)))
    write(to / 'api' / 'index.md', api_index([modules[p] for p in sorted(modules)]))
    write(to / 'contributing.md', linked((ROOT / 'CONTRIBUTING.md').read_text(encoding='utf-8')))
    write(to / 'changelog.md', (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8'))
    write(to / 'CITATION.cff', (ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    shutil.copytree(NBS / 'figures', to / 'figures', dirs_exist_ok=True)
    wanted = {to / p.relative_to(NBS) for p in kept} | {to / 'api' / f'{m}.md' for m in [*modules.values(), 'index']} | {to / name for name in ('contributing.md', 'changelog.md', 'CITATION.cff')}
    before -= set((to / 'figures').iterdir())
    for p in before - wanted:
        p.unlink()
    if before != wanted:  # a link to a page that was not there yet is not looked up again: draw all anew
        shutil.rmtree(to.parent / 'html', ignore_errors=True)
        shutil.rmtree(to.parent / 'doctrees', ignore_errors=True)


# --- draw ---
def draw(source: Path, html: Path):
    "Let Sphinx draw the pages; a warning is a failure."
    from sphinx.cmd.build import build_main

    if not (html / 'searchindex.js').exists():  # the last drawing was killed: its remains would lack what it had not indexed
        shutil.rmtree(html.parent / 'doctrees', ignore_errors=True)
    if build_main(['-b', 'html', '-c', str(ROOT / 'docs'), '-d', str(html.parent / 'doctrees'), '-W', '--keep-going', '-q', str(source), str(html)]):
        raise RuntimeError('Sphinx warned; see above')


class Links(HTMLParser):
    "What a page loads, where it leads, and the anchors it has."

    def __init__(self):
        super().__init__()
        self.loads, self.leads, self.ids = [], [], set()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs[k] for k in ('id', 'name') if attrs.get(k)}
        if tag == 'a' and attrs.get('href'):
            self.leads.append(attrs['href'])
        loaded = [attrs.get('src'), attrs.get('srcset'), attrs.get('href') if tag == 'link' else None]
        self.loads += [x for x in loaded if x and not x.startswith('data:')]


def check(html: Path) -> int:
    "How many links there are; raise where a page loads from another host or leads to what is not there."
    pages = {}
    for p in html.rglob('*.html'):
        pages[p] = Links()
        pages[p].feed(p.read_text(encoding='utf-8'))
    wrong = [f'{p.relative_to(html)} loads {x}' for p, links in pages.items() for x in links.loads if urlsplit(x).netloc]
    wrong += [f'{p.relative_to(html)} -> {x}' for p, links in pages.items() for x in links.leads if not leads(p, x, pages)]
    styles = [p for p in html.rglob('*.css') if re.search(r'(@import|url\()\s*["\']?(https?:)?//', p.read_text(encoding='utf-8'))]
    if wrong or styles:
        raise RuntimeError('\n'.join([*wrong[:20], *map(str, styles), f'{len(wrong) + len(styles)} links are wrong']))
    return sum(len(links.leads) for links in pages.values())


def leads(page: Path, link: str, pages: dict) -> bool:
    "Whether a link of a page leads to something: outside is taken as given, inside the file and the anchor must exist."
    to = urlsplit(link)
    if to.scheme or to.netloc:
        return True
    target = (page.parent / unquote(to.path)).resolve() if to.path else page
    return target.exists() and (not to.fragment or target not in pages or unquote(to.fragment) in pages[target].ids)


def main(workers: int) -> Path:
    "The site, from the notebooks."
    refuse_patients()
    paths = sorted(p for p in NBS.rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)
    todo = [p for p in paths if not (BUILD / 'ran' / p.relative_to(NBS).with_suffix('') / f'{key(p)}.ipynb').exists()]
    print(f'{len(paths)} notebooks, {len(todo)} to run', flush=True)
    write_pages(run_all(paths, workers), BUILD / 'source')
    draw(BUILD / 'source', BUILD / 'html')
    print(f'{check(BUILD / "html"):,} links lead somewhere, and no page loads anything from another host: {BUILD / "html" / "index.html"}')
    return BUILD / 'html' / 'index.html'


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--open', action='store_true')
    given = parser.parse_args()
    try:
        made = main(given.workers)
    except (RuntimeError, OSError, UserError) as e:
        sys.exit(f'docs: {e}')
    if given.open:
        webbrowser.open(made.as_uri())
