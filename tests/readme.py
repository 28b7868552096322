"""README.md from nbs/index.ipynb: run the page on synthetic data, render it as markdown.

    python tests/readme.py           exit 1 when README.md differs from a fresh render
    python tests/readme.py --write   write it
"""
import difflib
import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]


def tidy(nb):
    "Without hidden cells and directive lines."
    nb.cells = [c for c in nb.cells if not re.search(r'^#\|\s*(hide|default_exp)', c.source, flags=re.M)]
    for c in nb.cells:
        c.source = re.sub(r'^#\|.*\n?', '', c.source, flags=re.M)
    return nb


def render() -> str:
    "The page as markdown."
    os.environ |= dict(LPNB_QUIET='1', OMP_NUM_THREADS='1')
    nb = nbformat.read(ROOT / 'nbs' / 'index.ipynb', as_version=4)
    NotebookClient(nb, timeout=300, kernel_name='python3', resources={'metadata': {'path': str(ROOT / 'nbs')}}).execute()
    nb = tidy(nb)
    nb.metadata['language_info'] = {'name': 'python'}
    body, _ = MarkdownExporter().from_notebook_node(nb)
    body = body.replace('](figures/', '](nbs/figures/')
    return re.sub(r'\n{3,}', '\n\n', body).strip() + '\n'


if __name__ == '__main__':
    fresh, path = render(), ROOT / 'README.md'
    if '--write' in sys.argv:
        path.write_text(fresh, encoding='utf-8')
    kept = path.read_text(encoding='utf-8') if path.exists() else ''
    sys.stdout.writelines(difflib.unified_diff(kept.splitlines(True), fresh.splitlines(True), 'README.md', 'a fresh render'))
    sys.exit(kept != fresh)
