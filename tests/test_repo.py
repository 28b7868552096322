"What must hold of the repository as a whole; everything else is tested in the notebook that explains it."
import ast
import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from configparser import ConfigParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

import breath as breathing

import lp_nb
from lp_nb.core import asset
from lp_nb.folders import read_json
from lp_nb.privacy import KERNELSPEC, filter_installed
from lp_nb.view.demo import recorded_frame

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / 'nbs').rglob('*.ipynb'))
NUMBERED = [f for f in NOTEBOOKS if re.match(r'\d', str(f.relative_to(ROOT / 'nbs')))]  # in reading order: the ground, the parts, the command
MODULES = [f for f in sorted((ROOT / 'lp_nb').rglob('*.py')) if f.name != '_modidx.py']
IDENTIFIER = re.compile(r'\b[123]\d{7}\b')  # subject_id, hadm_id and stay_id of MIMIC-IV have eight digits
each_notebook = pytest.mark.parametrize('f', NOTEBOOKS, ids=lambda f: str(f.relative_to(ROOT / 'nbs')))


def cells(f, kind='code'):
    "(id, source) of the cells of one kind."
    nb = json.loads(f.read_text(encoding='utf-8'))
    return [(c['id'], ''.join(c['source'])) for c in nb['cells'] if c['cell_type'] == kind]


def outside_code(text):
    "A text without what stands in backticks."
    return re.sub(r'```.*?```|`[^`]*`', '', text, flags=re.S)


def statements(source):
    "Parsed top-level statements of a cell; magics are dropped."
    return ast.parse(re.sub(r'^\s*[%!].*$', '', source, flags=re.M)).body


@each_notebook
def test_nothing_but_source_in_the_index(f):
    "What git would commit has no output, count, attachment, cell metadata, widget state or foreign kernel."
    blob = subprocess.run(['git', 'show', f':{f.relative_to(ROOT)}'], cwd=ROOT, capture_output=True, check=False)
    assert blob.returncode == 0, f'{f.name} is not in the index: git add it'
    nb = json.loads(blob.stdout)
    kept = [c['id'] for c in nb['cells'] if c.get('outputs') or c.get('execution_count') or c.get('attachments') or c['metadata']]
    assert not kept, f'{f.name}: cells {kept} carry output, counts, attachments or metadata'
    assert nb['metadata'] == {'kernelspec': KERNELSPEC}, f'{f.name}: {nb["metadata"]}'
    named = [(c['id'], m) for c in nb['cells'] for m in IDENTIFIER.findall(''.join(c['source']))]
    assert not named, f'{f.name}: numbers shaped like patient identifiers: {named}'


@each_notebook
def test_pages_breathe(f):
    "Something runs after at most three exported cells; two definitions in a cell, 25 lines in a function, 60 in a class, 110 columns, methods inside."
    assert breathing.breath(f) == {}, f'{f.name}: more than tests/breath.py allows'


@each_notebook
def test_imports_stand_alone(f):
    "A cell imports or computes, not both: documentation tools run import cells by themselves."
    for i, source in cells(f):
        if re.search(r'#\|\s*hide\b', source):
            continue
        kinds = {isinstance(n, (ast.Import, ast.ImportFrom)) for n in statements(source)}
        assert len(kinds) < 2, f'{f.name}, cell {i}: move the imports to a cell of their own'


@each_notebook
def test_notebook_is_a_page(f):
    "A title, and enough prose for its code."
    prose = [s for _, s in cells(f, 'markdown')]
    assert prose and prose[0].startswith('# '), f'{f.name} has no title'
    words, code = sum(len(s.split()) for s in prose), len(cells(f))
    assert words >= 8 * code, f'{f.name}: {words} words for {code} code cells'


def test_modules_match_notebooks(tmp_path):
    "Exporting again changes nothing, and no module lacks its notebook."
    for p in ('nbs', 'lp_nb', 'settings.ini', 'README.md'):
        (shutil.copytree if (ROOT / p).is_dir() else shutil.copy)(ROOT / p, tmp_path / p)
    for p in (tmp_path / 'lp_nb').rglob('*.py'):
        if p.name not in ('__main__.py', '__init__.py'):  # two lines that start the command; the face
            p.unlink()
    subprocess.run([Path(sys.executable).parent / 'nbdev_export'], cwd=tmp_path, check=True)
    here, fresh = ({str(p.relative_to(r)): p.read_text(encoding='utf-8') for p in (r / 'lp_nb').rglob('*.py')} for r in (ROOT, tmp_path))
    assert here.keys() == fresh.keys()
    assert [name for name in here if here[name] != fresh[name]] == []


def module_of(f):
    "The module that a numbered notebook must export: its path without the numbers."
    path = f.relative_to(ROOT / 'nbs').with_suffix('')
    return '.'.join(re.sub(r'^\d+_', '', part) for part in path.parts)


def test_the_file_list_is_the_architecture():
    "N_part/NN_name.ipynb writes lp_nb/part/name.py and imports only modules that stand above it: of its own part or of one above."
    before = set()
    for f in NUMBERED:
        source = '\n'.join(s for _, s in cells(f))
        exported = re.search(r'^#\|\s*default_exp\s+(\S+)', source, flags=re.M)
        name = module_of(f)
        assert exported and exported[1] == name, f'{f.name} must export the module {name}'
        used = set(re.findall(r'^\s*(?:from|import)\s+lp_nb\.([\w.]+)', source, flags=re.M)) - {name}
        assert used <= before, f'{f.name} imports {used - before}, which come later or not at all'
        before.add(name)


def test_the_picture_of_the_architecture_is_drawn_from_the_files():
    "The first page's file tree and its diagram are what docs/architecture.py makes of the imports."
    done = subprocess.run([sys.executable, ROOT / 'docs' / 'architecture.py'], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f'run python docs/architecture.py --write {done.stderr}'


def kit_imports(source):
    "What a piece of code imports from the kit."
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, (ast.Import, ast.ImportFrom))]
    return [(n.module if isinstance(n, ast.ImportFrom) else '', a.name, a.asname) for n in nodes for a in n.names
            if (n.module or '' if isinstance(n, ast.ImportFrom) else a.name).split('.')[0] == 'lp_nb']


def test_the_first_page_shows_the_record_that_ships():
    "The picture of the label curves was drawn from the record in the package, and the numbers beside it are the record's."
    assert subprocess.run([sys.executable, 'docs/record.py'], cwd=ROOT, check=False).returncode == 0, 'python docs/record.py --write'
    said = dict(cells(ROOT / 'nbs' / 'index.ipynb', 'markdown'))['shown']
    kept = {kind: recorded_frame(record, 'few') for kind, record in read_json(asset('hospital.json')).items()}
    kept = {kind: few[few['first'].eq('reader + contrastive') & few['second'].eq('reader')].set_index(['task', 'amount']) for kind, few in kept.items()}
    clear, ward = kept['clear'], kept['ward'].loc['phenotyping']
    assert clear['verdict'].eq('better').all() and ward['verdict'].eq('worse').all()
    numbers = [clear.loc[(task, '100'), 'difference'] for task in ('mortality', 'phenotyping')] + [(-ward['difference']).min(), (-ward['difference']).max()]
    assert re.findall(r'\.\d{3}', said) == [f'{x:.3f}'.lstrip('0') for x in numbers], numbers


def test_the_face_is_what_the_first_pages_use():
    "The index and the walkthrough import `lp_nb as lp` and nothing else of the kit, and what they take from it is there."
    for name in ('index', 'tutorials/walkthrough'):
        code = [re.sub(r'^\s*[%!].*$', '', s, flags=re.M) for _, s in cells(ROOT / 'nbs' / f'{name}.ipynb')]
        assert {x for s in code for x in kit_imports(s)} == {('', 'lp_nb', 'lp')}, name
        taken = {n.attr for s in code for n in ast.walk(ast.parse(s)) if isinstance(n, ast.Attribute) and getattr(n.value, 'id', '') == 'lp'}
        assert taken <= set(dir(lp_nb)), taken - set(dir(lp_nb))


def test_the_face_is_told_to_editors_as_it_is():
    "Every name of the face resolves to what its module defines, completion knows it, and type checkers read the same imports."
    tree = ast.parse((ROOT / 'lp_nb' / '__init__.py').read_text(encoding='utf-8'))
    told = {(n.module, a.name) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level for a in n.names}
    assert told == {(module, name) for name, module in lp_nb._HOME.items()}
    for name in lp_nb._HOME:
        assert name in dir(lp_nb) and getattr(lp_nb, name) is not None and f'`{name}`' in lp_nb.__doc__
    with pytest.raises(AttributeError, match='has no attribute'):
        lp_nb.no_such_name  # noqa: B018


def test_all_that_is_imported_is_declared():
    "Every library that a module imports is named in settings.ini, as a requirement or in an extra."
    ini = ConfigParser(delimiters=['='])
    ini.read(ROOT / 'settings.ini', encoding='utf-8')
    named = {canonicalize_name(re.match(r'[\w.-]+', r)[0]) for key, value in ini['DEFAULT'].items() if key.endswith('requirements') for r in value.split()}
    trees = [(f, ast.parse(f.read_text(encoding='utf-8'))) for f in MODULES]
    names = {(n.module if isinstance(n, ast.ImportFrom) else a.name).split('.')[0]: f for f, tree in trees for n in ast.walk(tree)
             if isinstance(n, (ast.Import, ast.ImportFrom)) and not getattr(n, 'level', 0) for a in n.names}
    belongs = packages_distributions()
    for name, f in names.items():
        if name not in sys.stdlib_module_names and name != 'lp_nb':
            assert named & {canonicalize_name(d) for d in belongs.get(name, [name])}, f'{f.name} imports {name}, which settings.ini does not name'


def test_a_public_name_has_one_owner():
    "No two modules define the same public name: whoever reads it, or completes it, knows which one it is."
    owners = defaultdict(list)
    for f in MODULES:
        tree = ast.parse(f.read_text(encoding='utf-8'))
        public = next((ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], 'id', '') == '__all__'), [])
        defined = {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
        defined |= {x.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets for x in ast.walk(t) if isinstance(x, ast.Name)}
        for name in defined & set(public):
            owners[name].append(f.relative_to(ROOT).as_posix())
    assert len(owners) > 1000 and {name: where for name, where in owners.items() if len(where) > 1} == {}


def test_workings_stay_out_of_the_api():
    "A cell that only its own module needs says `exporti`; one that says `export` is met on another page, in a test or in its own examples."
    told = lambda source: re.match(r'#\|\s*exporti?\s*$', source, flags=re.M)
    apart = {f: '\n'.join(s for kind in ('code', 'markdown') for _, s in cells(f, kind) if not told(s)) for f in NOTEBOOKS}
    words = lambda text: set(re.findall(r'\w+', text))
    beyond = words('\n'.join(p.read_text(encoding='utf-8') for d in ('tests', 'docs') for p in (ROOT / d).glob('*.py')))
    idle = []
    for f in NUMBERED:
        met = beyond | words(apart[f] + '\n'.join(s for g in NOTEBOOKS if g != f for _, s in cells(g)))
        for i, source in cells(f):
            if re.match(r'#\|\s*export\s*$', source, flags=re.M):
                names = {m for n in statements(source) for m in (getattr(n, 'name', ''), *(getattr(t, 'id', '') for t in getattr(n, 'targets', ())))}
                names = {n for n in names if n.strip('_') == n != ''}
                objects = any(isinstance(n, ast.ClassDef) for n in statements(source))  # handed back, or what such objects are made of
                idle += [(f.name, i)] if names and not objects and not met & names else []
    assert not idle, f'only their own module needs these, make them `#| exporti`: {idle}'


TOWER_SETTINGS = {'pool', 'precision', 'frozen', 'adapters', 'offset', 'max_tokens'}  # by which towers compute


def test_nobody_sets_from_outside_what_a_tower_computes():
    "Settings of towers are arguments of those who build or tune them: only a class sets its own."
    sources = [(f, ast.parse(f.read_text(encoding='utf-8'))) for f in (*MODULES, *sorted((ROOT / 'tests').glob('*.py')))]
    sources += [(f'{f.name} {i}', ast.Module(body, [])) for f in NOTEBOOKS for i, _, body in breathing.sources(f)]
    set_here = [(str(where), node.lineno, ast.unparse(node)) for where, tree in sources for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in TOWER_SETTINGS and ast.unparse(node.value) != 'self']
    assert not set_here, set_here


def test_no_swallowed_exceptions_and_no_pickle():
    "Library code neither hides errors nor opens files that can run code."
    for f in MODULES:
        tree = ast.parse(f.read_text(encoding='utf-8'))
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                silent = all(isinstance(n, ast.Pass) for n in node.body)
                assert not silent, f'{f.name}, line {node.lineno}: an exception is swallowed'
        assert not re.search(r'\bpickle\b|weights_only=False|allow_pickle=True', f.read_text(encoding='utf-8')), f.name


def test_no_path_is_a_pattern():
    "polars takes a path for a pattern unless it is told not to, and nobody but `place` gives `~` a meaning."
    for f in MODULES:
        text = f.read_text(encoding='utf-8')
        for call in re.findall(r'\bpl\.(?:scan|read)_(?:csv|parquet|ipc)\([^\n]*', text):
            assert 'glob=False' in call or 'asset(' in call or 'has_header=False' in call, f'{f.name}: {call}'
        assert text.count('.expanduser(') == (f == ROOT / 'lp_nb/folders.py'), f'{f.name}: use place'


def test_no_faults_that_a_linter_knows():
    "`ruff check` under the rules of this project."
    done = subprocess.run([sys.executable, '-m', 'ruff', 'check', '--no-cache', '--output-format', 'concise', ROOT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_commands_of_the_first_page_are_seen_whole():
    "No line of a shell block of the index or a tutorial is wider than what the site shows without scrolling."
    wide = [(f.name, line) for f in NOTEBOOKS if not re.match(r'\d', f.relative_to(ROOT / 'nbs').parts[0])
            for _, text in cells(f, 'markdown') for block in re.findall(r'```(?:sh|bash)\n(.*?)```', text, flags=re.S)
            for line in block.splitlines() if len(line) > breathing.SHOWN]
    assert not wide, wide


def test_links_lead_somewhere():
    "Every relative link of a page and of the texts at the root leads to a file of this repository, from where it stands."
    texts = [(f, text) for f in NOTEBOOKS for _, text in cells(f, 'markdown')]
    texts += [(ROOT / name, (ROOT / name).read_text(encoding='utf-8')) for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')]
    dead = [(f.name, link) for f, text in texts for link in re.findall(r'\]\((?![a-z]+:|#)([^)#]+)', outside_code(text)) if not (f.parent / link).exists()]
    assert not dead, dead
    old = [(f.name, name) for f, text in texts for name in re.findall(r'\[(\d+[a-z]?_\w+)\]\(', text)]
    assert not old, f'links named by a number, which may change: {old}'


def test_readme_is_the_index_page():
    "README.md is what nbs/index.ipynb renders to."
    done = subprocess.run([sys.executable, ROOT / 'tests' / 'readme.py'], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_filter_guards_this_checkout():
    "`make` has installed the git clean filter."
    assert filter_installed(ROOT), 'run `lp-nb doctor --fix`'


def test_a_missing_filter_stops_git_add(tmp_path):
    "Where the filter cannot run, `git add` fails instead of letting outputs through."
    git = lambda *a: subprocess.run(['git', *a], cwd=tmp_path, capture_output=True, text=True, check=False)
    git('init', '-q')
    git('config', 'filter.lp-nb.clean', 'no-such-program')
    git('config', 'filter.lp-nb.required', 'true')
    (tmp_path / '.gitattributes').write_text('*.ipynb filter=lp-nb\n')
    (tmp_path / 'a.ipynb').write_text('{"cells": []}')
    assert git('add', 'a.ipynb').returncode != 0


def test_text_in_figures_fits_whatever_the_font():
    "Every text of a drawn figure has a width of its own, and ends within the box in which it begins."
    number = lambda tag, name: float(re.search(rf' {name}="([\d.]+)"', tag)[1])
    for figure in sorted((ROOT / 'nbs' / 'figures').glob('*.svg')):
        svg = figure.read_text()
        boxes = [[number(tag, name) for name in ('x', 'y', 'width', 'height')] for tag in re.findall(r'<rect [^>]*>', svg)]
        texts = re.findall(r'<text [^>]*>', svg)
        assert len(texts) == svg.count('<text')
        for tag in texts:
            x, y, long = (number(tag, name) for name in ('x', 'y', 'textLength'))
            around = [bx + width for bx, by, width, height in boxes if bx < x < bx + width and by < y < by + height] or [float(re.search(r'viewBox="0 0 (\d+)', svg)[1])]
            assert x + long <= min(around), tag
