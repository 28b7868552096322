"""README.md from nbs/index.ipynb: run the page on synthetic data, render it as markdown.

    python tests/readme.py           exit 1 when README.md differs from a fresh render
    python tests/readme.py --write   write it
"""
import difflib
import re
import sys
from os.path import normpath
from pathlib import Path

from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / 'docs'))
from pages import refuse_patients, run, tidy  # noqa: E402


def render() -> str:
    "The page as markdown."
    nb = tidy(run(ROOT / 'nbs' / 'index.ipynb'))
    nb.metadata['language_info'] = {'name': 'python'}
    body, _ = MarkdownExporter().from_notebook_node(nb)
    body = re.sub(r'\]\((?![a-z]+:|#)([^)]+)\)', lambda link: f']({normpath(f"nbs/{link[1]}")})', body)  # seen from the root
    return re.sub(r'\n{3,}', '\n\n', body).strip() + '\n'


if __name__ == '__main__':
    refuse_patients()
    fresh, path = render(), ROOT / 'README.md'
    if '--write' in sys.argv:
        path.write_text(fresh, encoding='utf-8')
    kept = path.read_text(encoding='utf-8') if path.exists() else ''
    sys.stdout.writelines(difflib.unified_diff(kept.splitlines(True), fresh.splitlines(True), 'README.md', 'a fresh render'))
    sys.exit(kept != fresh)
