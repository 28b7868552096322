"What a user installs, what a command loads, and how a page is made. The whole of it, on every Python: tests/packages.py; the site: make docs."
import json
import re
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import nbformat
import packages
import pytest
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / 'docs'))
import api  # noqa: E402
import pages  # noqa: E402

INI = ConfigParser(delimiters=['='])
INI.read(ROOT / 'settings.ini', encoding='utf-8')
INI = INI['DEFAULT']
HEAVY = {'torch', 'transformers', 'pandas', 'polars', 'numpy', 'scipy', 'matplotlib', 'ipywidgets', 'IPython', 'sklearn', 'optuna'}
LIGHT = 'data.ledger data.tables data.series data.features data.reports data.corpus data.stays data.blocks data.audit data.cohort data.sharing'\
    ' data.people data.dictation data.hospital data.oracle'\
    ' measures.evaluation measures.intervals measures.comparison measures.calibration study.subgroups view.results view.widgets.curves'


def loaded(code: str) -> set[str]:
    "Top-level modules in `sys.modules` after a program."
    code += '\nimport sys; print("LOADED", *{m.split(".")[0] for m in sys.modules}, file=sys.stderr)'
    said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stderr
    return set(said.rsplit('LOADED', 1)[1].split())


def test_wheel_from_sdist_and_from_tree_hold_the_package_and_nothing_else(tmp_path):
    "A clean copy, without what an earlier build left, makes an sdist, and the sdist makes the wheel that the tree makes."
    for name in ('tree', 'again'):
        packages.exported(tmp_path / name)
    build = lambda *a: packages.do([sys.executable, '-m', 'build', '--no-isolation', *a], tmp_path)
    build('-o', tmp_path / 'dist', tmp_path / 'tree')
    build('--wheel', '-o', tmp_path / 'direct', tmp_path / 'again')
    sdist, wheel, direct = (next(tmp_path.glob(p)) for p in ('dist/*.tar.gz', 'dist/*.whl', 'direct/*.whl'))
    assert packages.members(wheel) == packages.members(direct)
    packages.check_contents(sdist, wheel, tmp_path / 'tree')
    told = zipfile.ZipFile(wheel).read(next(m for m in packages.members(wheel) if m.endswith('METADATA'))).decode()
    assert f'Version: {INI["version"]}\n' in told
    assert {m for m in re.findall(r'^Provides-Extra: (\w+)', told, flags=re.M)} == {'dev', 'lab', 'lora', 'baselines', 'postgres', 'ray', 'docs'}


def test_a_command_loads_only_what_it_needs():
    "`import lp_nb.cli`, and the help of every command, load nothing that takes a tenth of a second."
    assert not loaded('import lp_nb, lp_nb.cli') & HEAVY
    ask = '''
import contextlib, io
from typer.main import get_command
from lp_nb import cli
def walk(command, words=()):
    yield words
    for name, sub in getattr(command, 'commands', {}).items():
        yield from walk(sub, (*words, name))
for words in walk(get_command(cli.app)):
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        cli.main([*words, '--help'])
    assert 'Usage: ' in said.getvalue() and '--help' in said.getvalue(), words
'''
    assert not loaded(ask) & HEAVY


def test_tables_and_judgement_need_no_torch():
    "What works on tables, series and numbers alone loads no torch and compiles nothing."
    assert not loaded(f'import importlib\n[importlib.import_module("lp_nb." + m) for m in "{LIGHT}".split()]') & {'torch', 'transformers', 'umap', 'numba'}


def test_version_and_citation_agree():
    "Settings, package, changelog and citation name one version; a citation has what its form asks for."
    from lp_nb import __version__

    cite = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    latest = re.search(r'^## \[(\d+\.\d+\.\d+)\]', (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8'), flags=re.M)[1]
    assert INI['version'] == __version__ == cite['version'] == latest and cite['cff-version'] == '1.2.0'
    for r in cite['references']:
        assert {'type', 'title', 'authors', 'year'} <= set(r) and ('doi' in r) != ('url' in r), r['title']
        assert re.fullmatch(r'10\.\d{4,5}/\S+', r.get('doi', '10.1234/x')), r['title']


def test_constraints_lie_within_the_bounds():
    "The tested set of versions is one that the package allows, extras included."
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    held = dict(line.split('==') for line in (ROOT / 'constraints.txt').read_text().splitlines() if '==' in line)
    held = {canonicalize_name(k): v for k, v in held.items()}
    for r in map(Requirement, packages.requirements('dev')):
        version = held.get(canonicalize_name(r.name))
        assert version and r.specifier.contains(version), f'{r}, constraints.txt has {version}'


def test_the_face_is_typed(tmp_path):
    "A type checker in basic mode has nothing to say about a program that goes through the public face."
    settings = dict(include=[str(ROOT / 'tests' / 'typed.py')], extraPaths=[str(ROOT)], typeCheckingMode='basic', pythonVersion='3.11')
    (tmp_path / 'pyrightconfig.json').write_text(json.dumps(settings))
    done = subprocess.run([sys.executable, '-m', 'basedpyright', '--project', tmp_path, '--pythonpath', sys.executable], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


SOURCE = '''
@dataclass
class Cup:
    "Holds `tea`."
    size: float = 0.2  # litres, *about*


def pour(
    cup,  # one `Cup`
    *, slowly: bool = True,  # or it spills | runs over
    **more,  # handed on
) -> Cup:
    "Fill a cup."
'''


def test_comments_become_tables():
    "The comment beside a parameter or field is its row; a name keeps its backticks, nothing else is markup."
    tree, comments = api.ast.parse(SOURCE), api.comments_of(SOURCE)
    assert api.fields(tree.body[0], comments) == [('size', 'float', '0.2', 'litres, *about*')]
    rows = api.arguments(tree.body[1], comments)
    assert rows == [('cup', '', '', 'one `Cup`'), ('slowly', 'bool', 'True', 'or it spills | runs over'), ('**more', '', '', 'handed on')]
    assert 'or it spills \\| runs over' in api.table(rows, 'parameter') and '| one `Cup` |' in api.table(rows, 'parameter')
    assert api.signature(tree.body[1], 'pour', 99) == 'pour(cup, *, slowly: bool=True, **more) -> Cup'


def notebook(path: Path, cells: list[str]) -> Path:
    "A notebook of these cells; those that begin with `%` are prose."
    make = lambda k, s: nbformat.v4.new_markdown_cell(s[1:], id=f'c{k}') if s.startswith('%') else nbformat.v4.new_code_cell(s, id=f'c{k}')
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[make(k, s) for k, s in enumerate(cells)]), path)
    return path


CUP = '''from ipywidgets import IntSlider
from matplotlib.figure import Figure
from IPython.display import display
class Cup(IntSlider):
    def static(self):
        figure = Figure(figsize=(1, 1)); figure.subplots().plot([0, 1]); return figure'''
FIRST = ['%# First\n\n> A page.', '#| hide\nsecret = 41', '#| export\nprint(secret + 1)', CUP, 'Cup()', 'IntSlider()',
         "#| slow\nraise SystemExit('ran')", '%## Sum\n\nBy $\\tfrac12$ and [there](b/second.ipynb), or [cup](api/cup.md#pour).',
         'import nbdev; nbdev.nbdev_export()']


@pytest.mark.filterwarnings('ignore:.*MystReferenceResolver')
def test_notebooks_and_a_module_become_pages(tmp_path):
    "Two notebooks and one module, through the code that makes the site: run, tidied, drawn without a warning, every link checked."
    pytest.importorskip('myst_nb')
    source, html = tmp_path / 'source', tmp_path / 'html'
    for name, cells in dict(index=FIRST, second=['%# Second\n\nBack to [the first](../index.ipynb#sum).\n\n```{toctree}\n../api/cup\n```']).items():
        path = notebook(tmp_path / f'{name}.ipynb', cells)
        nb = pages.page(pages.run(path), path, None)
        if name == 'index':
            nb.cells.append(nbformat.v4.new_markdown_cell(pages.toctree('More', ['b/second']), id='contents'))
        pages.write(source / ('index.ipynb' if name == 'index' else 'b/second.ipynb'), nbformat.writes(nb))
    (tmp_path / 'cup.py').write_text('"A *cup*."\n__all__ = ["Cup", "pour"]\n# %% ../nbs/index.ipynb #c2\n' + SOURCE)
    pages.write(source / 'api' / 'cup.md', api.page(tmp_path / 'cup.py'))
    pages.draw(source, html)
    assert pages.check(html) > 10
    text = (html / 'index.html').read_text(encoding='utf-8')
    assert '42' in text and 'secret = ' not in text and '#|' not in text and '<math' in text and 'id="c2"' in text
    assert text.count('<img') == 1 and 'IntSlider(' not in re.sub(r'<[^>]+>', '', text).split('IntSlider()', 1)[1]
    (html / 'bad.html').write_text('<a href="index.html#nowhere">x</a><script src="https://example.org/x.js"></script>')
    with pytest.raises(RuntimeError, match=r'bad.html loads https://example.org/x.js\nbad.html -> index.html#nowhere'):
        pages.check(html)


def test_a_failing_page_names_its_cell_and_patients_stop_the_site(tmp_path, monkeypatch):
    "A page that fails says where; nothing is drawn where credentialed tables are within reach."
    from lp_nb.core import UserError
    from lp_nb.privacy import mark_synthetic

    with pytest.raises(RuntimeError, match=r'sad.ipynb, cell c1:[\s\S]*ZeroDivisionError'):
        pages.run(notebook(tmp_path / 'sad.ipynb', ['%# Sad', '1 / 0']))
    (tmp_path / 'data' / 'mimic' / 'icu').mkdir(parents=True)
    (tmp_path / 'data' / 'mimic' / 'icu' / 'icustays.csv.gz').touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('LPNB_MIMIC', raising=False)
    with pytest.raises(UserError, match='nothing but synthetic or open data'):
        pages.refuse_patients()
    (tmp_path / 'data' / 'mimic' / 'hospital.json').write_text(json.dumps(dict(synthetic=True)))
    with pytest.raises(UserError, match='nothing but synthetic or open data'):
        pages.refuse_patients()  # a file that was copied there
    mark_synthetic(tmp_path / 'data' / 'mimic')
    pages.refuse_patients()
    monkeypatch.setenv('LPNB_MIMIC', str(tmp_path))
    with pytest.raises(UserError, match='Unset LPNB_MIMIC'):
        pages.refuse_patients()
