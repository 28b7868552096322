"Patients planted in tables that look as if they came with credentials: nothing that is shown, said, logged or added to git holds one."
import base64
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import planted
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors import safe_open
from scipy.optimize import linprog

from lp_nb import cli
from lp_nb.study.cards import data_card, load_run, run_metrics, save_run
from lp_nb.data.cohort import Cohort, build_cohort
from lp_nb.core import UserError, asset, rng
from lp_nb.folders import git, read_json
from lp_nb.privacy import install_filter, refuse_unfiltered
from lp_nb.learning.encoders import EncoderConfig
from lp_nb.data.hospital import make_hospital
from lp_nb.data.people import HospitalConfig
from lp_nb.view.flow import cohort_flow
from lp_nb.view.quality import quality_figure
from lp_nb.learning.lab import Lab
from lp_nb.data.sharing import cell_texts, characteristics, export, save_table
from lp_nb.data.ledger import shareable, whose_of
from lp_nb.data.tables import find_table, open_mimic
from lp_nb.study.sweeps import Search, Study, chosen_run
from lp_nb.study.table1 import LAYERED
from lp_nb.view.widgets.views import write_page
from lp_nb.view.widgets.gallery import CohortFlow, DeviationCurves, Explorer, ResultsBoard, StayViewer

TINY = EncoderConfig(width=32, layers=1, heads=2, vocab_size=800, dim=32, series_hidden=16)
STAGES = 'mlm(epochs=1, corpus=reports) > simcse(epochs=1) > autoencode(epochs=1) > contrastive(epochs=1) > '
ARMS = {LAYERED: STAGES + 'supervised(train=projection, epochs=2)', 'series only': 'supervised(reads=series, epochs=1)'}


def checkout(folder: Path, attributes: str | None = '*.ipynb filter=lp-nb\n', filtered: bool = True) -> Path:
    "A new git checkout."
    folder.mkdir(parents=True)
    git(folder, 'init', '-q')
    if attributes:
        (folder / '.gitattributes').write_text(attributes)
    if filtered:
        install_filter(folder)
    return folder


def lp_nb(*args) -> tuple[int, str]:
    "Exit status of a command, and all that it said."
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.main([str(a) for a in args])
        except SystemExit as e:
            return e.code or 0, said.getvalue()
    return 0, said.getvalue()


@pytest.fixture(scope='module')
def ward(tmp_path_factory):
    "The planted tables and all that is made of them, inside a filtered checkout and without a network; `said` by the commands."
    home = checkout(tmp_path_factory.mktemp('ward') / 'thesis')
    root = planted.plant(home.parent / 'mimic')
    shared, said, before = home / 'shared', [], Path.cwd()
    shared.mkdir()
    (home / '.gitignore').write_text('/data/\n/runs/\n/models/\n')
    os.chdir(home)
    with pytest.MonkeyPatch.context() as patch, planted.no_network(patch):
        patch.delenv('LPNB_QUIET', raising=False)
        said.append(lp_nb('cohort', '--mimic', root, '--out', home / 'data' / 'mortality'))
        cohort = Cohort.load(home / 'data' / 'mortality')
        study = Study(home / 'runs' / 'lab', dict(mortality=cohort), ARMS, Search(1, 1e-3, 1e-3), encoder=TINY, probe_stays=64, points=1)
        with contextlib.redirect_stderr(io.StringIO()) as log:
            study.run(workers=1)
        said += [(0, log.getvalue()), lp_nb('table1', '--lab', study.folder, '--no-curves', '--out', shared / 'table1')]
        run = chosen_run(study, 'mortality', LAYERED, 0)
        write_shared(run, study, shared)
        said += [lp_nb('cohort', 'verify', cohort.dir), lp_nb('cohort', 'describe', cohort.dir, '--by', 'all'), lp_nb('card', cohort.dir),
                 lp_nb('tree', '--lab', study.folder), lp_nb('gc', '--lab', study.folder), lp_nb('doctor')]
        model = save_model(run, home / 'models' / 'layered')
    canaries = planted.canaries_of(root)
    yield SimpleNamespace(home=home, root=root, cohort=cohort, study=study, run=run, model=model, shared=shared, said=said,
                          canaries=canaries, find=lambda thing: planted.canaries_in(thing, canaries))
    os.chdir(before)


def save_model(run, folder: Path) -> Path:
    "The run as a model folder."
    return save_run(run, folder, run_metrics(run, n=50))


def write_shared(run, study, out: Path):
    "Pages, figures, tables and cards that are made to be shown."
    explorer = Explorer(run, method='pca')
    views = dict(map=explorer, curves=DeviationCurves(run, labels=False), flow=CohortFlow(run.cohort), board=ResultsBoard(study))
    for name, view in views.items():
        with contextlib.redirect_stdout(io.StringIO()):
            view.export(out / f'{name}.html')
        for end in ('svg', 'pdf', 'png'):
            view.static().savefig(out / f'{name}.{end}')
    for end in ('csv', 'html', 'tex'):
        save_table(characteristics(run.cohort, 'all').reset_index(), out / f'who.{end}')
    data_card(run.cohort).save(out / 'data_card.md')
    shutil.copy(run.cohort.dir / 'manifest.json', out)


def test_the_canaries_were_there_to_be_found(ward):
    "In the tables, the cohort and the documents; and the search sees through what is packed and coded."
    assert ward.find(ward.root) >= ward.canaries - {'137.48'} and not ward.cohort.is_open
    assert ward.find(' '.join(ward.cohort.documents)) >= {'zyxwyth', 'quorvane', 'glimmerholt', planted.PHONE}
    assert np.isclose(ward.cohort.arrays[0], planted.VALUE, atol=1e-4).any()
    assert ward.find(ward.cohort.dir / 'stays.parquet') or ward.find(str(ward.cohort.stays.index.tolist()))


def png(pixels: np.ndarray, *texts: tuple[str, str, bool]) -> bytes:
    "A picture with texts in its metadata: keyword, text, whether it is packed."
    out, info = io.BytesIO(), PngInfo()
    for keyword, text, packed in texts:
        (info.add_itxt if keyword.startswith('i') else info.add_text)(keyword, text, zip=packed)
    Image.fromarray(pixels).save(out, 'png', pnginfo=info)
    return out.getvalue()


def test_pictures_are_searched_for_what_is_written_in_them():
    "Their texts, packed or not, bare or coded into a page; not their pixels, whose bytes spell a number by chance."
    number, canaries = '30000417', {'30000417', *planted.WORDS}
    spelt = np.frombuffer((number * 40).encode() + np.full(40, int(number), '<i8').tobytes(), np.uint8).reshape(-1, 8, 4)
    found = lambda data: planted.canaries_in(data, canaries)
    page = lambda data: b'<svg><image href="data:image/png;base64,' + base64.b64encode(data) + b'"/></svg>'
    assert found(spelt.tobytes()) == {number} and found(png(spelt)) == found(page(png(spelt))) == set()
    for keyword in ('Title', 'iTitle'):
        for packed in (False, True):
            marked = png(spelt, (keyword, f'stay {number} of {planted.NAME}', packed))
            assert found(marked) == found(page(marked)) == {number, 'zyxwyth', 'quorvane'}, (keyword, packed)
    assert found(f'<svg><text>{number}</text></svg>') == {number}
    packed = zlib.compress(f'({number})'.encode())
    for kind, there in ((b'', {number}), (b'/Subtype /Image ', set())):
        assert found(b'1 0 obj\n<< ' + kind + b'/Length 9 >>\nstream\n' + packed + b'\nendstream') == there


def test_commands_and_logs_say_nothing(ward):
    assert [code for code, _ in ward.said] == [0] * len(ward.said), ward.said
    assert sum(len(text) for _, text in ward.said) > 5000
    assert ward.find('\n'.join(text for _, text in ward.said)) == set()


def test_what_is_made_to_be_shown_holds_nobody(ward):
    "Pages, figures, tables, cards, the manifest: bytes, packed streams, metadata, base64."
    files = {p.suffix for p in ward.shared.rglob('*') if p.is_file()}
    assert files >= {'.html', '.svg', '.pdf', '.png', '.csv', '.tex', '.md', '.json'}
    assert {str(p): found for p in ward.shared.rglob('*') if p.is_file() and (found := ward.find(p))} == {}
    assert ward.find(' '.join(p.name for p in ward.shared.rglob('*'))) == set()
    with pytest.raises(UserError, match='made-up cohort'):
        StayViewer(ward.cohort).export(ward.shared / 'case.html')


def told_apart(view, patients) -> int:
    "Patients behind the rarest combination of what a map holds of each stay."
    codes = [np.frombuffer(base64.b64decode(c['codes']), np.uint8) for c in view.columns]
    groups = {}
    for row, patient in zip(zip(*codes), patients, strict=True):
        groups.setdefault(row, set()).add(patient)
    return min(map(len, groups.values()))


def test_no_combination_on_a_map_is_of_fewer_than_ten(ward, tmp_path, monkeypatch):
    "Of all columns that travel together; a page with more is called credentialed, is for its owner, and lies where git ignores it."
    explorer, made = Explorer(ward.run, method='pca', split='all'), []
    monkeypatch.setattr('lp_nb.view.widgets.explorer.write_page', lambda path, title, views, *more: made.append(views[0]) or write_page(path, title, views, *more))
    columns = ['mortality', 'gender', 'age', 'careunit', 'race', 'los', 'hours', 'n_reports']
    order = rng(explorer.seed, 'export').permutation(len(explorer.ids))
    who = ward.cohort.stays.loc[np.asarray(explorer.ids)[order], 'subject_id'].tolist()
    shared, whole = tmp_path / 'shared.html', tmp_path / 'whole.html'
    explorer.export(shared, columns)
    explorer.export(whole, columns, credentialed=True)
    assert told_apart(made[0], who) >= 10 and made[0].columns and 'alone or with the others' in made[0].note
    assert told_apart(made[1], who) < 10 and whole.read_text().count('redentialed only') >= 3 and 'redentialed only' not in shared.read_text()
    assert whole.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UserError, match='/map.html'):
        explorer.export(checkout(tmp_path / 'a') / 'map.html', credentialed=True)


def test_a_saved_model_holds_no_stay_and_no_rare_word(ward):
    "Vocabulary, metadata of the weights, cards and facts; words of under ten patients are no part of the tokeniser."
    assert {p.name: found for p in ward.model.rglob('*') if p.is_file() and (found := ward.find(p))} == {}
    card = load_run(ward.model).card
    assert card.data.sharing_tier == 'credentialed only' and 'on words of ten patients or more' in card.text
    pieces = {p.removeprefix('##') for p in load_run(ward.model).tokenizer.get_vocab()}
    assert 'pleural' in pieces and not {p for p in pieces if len(p) > 4 and any(p in w for w in planted.WORDS)}
    for path in ward.model.rglob('*.safetensors'):
        with safe_open(path, 'pt') as f:
            assert set(f.metadata() or {}) <= {'format'}


def test_folders_of_patients_are_for_their_owner(ward, tmp_path):
    made = export(ward.cohort, 'csv', tmp_path / 'csv'), ward.run.save_encoder(tmp_path / 'encoder')
    private = [ward.cohort.dir, ward.study.folder, ward.model, *made]
    assert {str(p): mode for p in private if (mode := oct(p.stat().st_mode & 0o777)) != '0o700'} == {}
    open_ = build_cohort(Path(__file__).parents[1] / 'data' / 'sample', out=tmp_path / 'open')
    assert open_.is_open and (tmp_path / 'open').stat().st_mode & 0o055 == 0o055 & ~umask()


def doors_out(ward, elsewhere: Path) -> dict:
    "Every way in which the kit writes credentialed data to a place."
    return dict(csv=lambda place: export(ward.cohort, 'csv', place), lab=lambda place: Lab(place, ward.cohort), encoder=ward.run.save_encoder,
                model=lambda place: save_model(ward.run, place), work=lambda place: build_cohort(ward.root, out=elsewhere, work=place),
                cohort=lambda place: build_cohort(ward.root, out=place))


def told_to_add(door, place: Path) -> list:
    "The lines for .gitignore that a refusal names."
    with pytest.raises(UserError, match='that git ignores') as e:
        door(place)
    assert not place.exists() and ward_free(str(e.value))
    found = re.fullmatch(r'Add to (.+/.gitignore): (.+?)   Or choose a place outside.', e.value.todo)
    assert Path(found[1]) == place.parents[1] / '.gitignore'
    return found[2].split(' and ')


def ward_free(text: str) -> bool:
    "Whether a message holds no number shaped like an identifier."
    return not re.search(r'[123][0-9]{7}', text)


def test_one_rule_at_every_door_into_a_checkout(ward, tmp_path):
    "Refused where git would take it up, let in where the lines are added that the refusal names, and then nothing gets into the index."
    top = checkout(tmp_path / 'a')
    (top / '.gitignore').write_text('*.parquet\n*.csv\n')  # some of what is written
    for name, door in doors_out(ward, tmp_path / 'elsewhere').items():
        lines = told_to_add(door, top / 'out' / name)
        with open(top / '.gitignore', 'a') as f:
            f.write('\n'.join(lines) + '\n')
        door(top / 'out' / name)
        assert (top / 'out' / name).stat().st_mode & 0o777 == 0o700
    git(top, 'add', '-A')
    assert git(top, 'ls-files').splitlines() == ['.gitattributes', '.gitignore']
    shutil.copytree(ward.cohort.dir, top / 'moved')
    with pytest.raises(UserError, match='/moved/'):  # not read there either
        Cohort.load(top / 'moved')


@pytest.mark.parametrize('mode', (0o755, 0o775, 0o777, 0o750))
def test_a_folder_that_everybody_may_open_is_closed(ward, tmp_path, mode):
    "Made by hand, or by the kit for synthetic data, or replaced: a group that was let in stays, nobody else."
    wanted = 0o750 if mode == 0o750 else 0o700
    sample = Path(__file__).parents[1] / 'data' / 'sample'
    synthetic = build_cohort(sample, out=tmp_path / 'cohort')
    Lab(tmp_path / 'lab', synthetic)
    for name, door in doors_out(ward, tmp_path / 'elsewhere').items():
        place = tmp_path / name
        place.mkdir(exist_ok=True)
        place.chmod(mode)
        door(place)
        assert oct(place.stat().st_mode & 0o777) == oct(wanted), name
    assert not Cohort.load(tmp_path / 'cohort').is_open


def umask() -> int:
    "The umask of this process."
    old = os.umask(0)
    os.umask(old)
    return old


PAGE = '''
from lp_nb.data.cohort import Cohort
cohort = Cohort.load('../data/mortality')
print(cohort.documents.iloc[0], *cohort.documents[cohort.documents.str.contains('was seen')])
cohort.stays
---
import ipywidgets as W
from lp_nb.view.widgets.views import write_page
from lp_nb.view.widgets.gallery import StayViewer
stay = cohort.stays.index[cohort.documents.str.contains('was seen')][0]
display(StayViewer(cohort, int(stay)), W.HTML(cohort.document(stay)))
---
raise RuntimeError(cohort.document(stay))
'''


def test_a_notebook_saved_by_jupyterlab_leaves_nobody_in_the_index(ward, monkeypatch):
    "Run in a subfolder with all its outputs and the state of its widgets, saved through the server of `lp-nb lab`, added to git."
    (ward.home / 'nbs').mkdir()
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s.strip()) for s in PAGE.split('---')])
    nb.cells.append(nbformat.v4.new_markdown_cell('A picture.', attachments={'scan.png': {'image/png': 'Zyxwyth'}}))
    NotebookClient(nb, timeout=120, kernel_name='python3', allow_errors=True, resources=dict(metadata=dict(path=str(ward.home / 'nbs')))).execute()
    errors = [o.ename for c in nb.cells if c.cell_type == 'code' for o in c.outputs if o.output_type == 'error']
    assert errors == ['RuntimeError'] and 'widgets' in nb.metadata
    with serving(ward.home) as (url, token):
        with pytest.raises(urllib.error.HTTPError, match='403'):
            ask(f'{url}api/contents', 'none')
        ask(f'{url}api/contents/nbs/run.ipynb', token, dict(type='notebook', content=nb))
        port = int(url.rstrip('/').rpartition(':')[2])
        assert listening(port) == {'0100007F'}  # 127.0.0.1, and no other address
    saved = ward.home / 'nbs' / 'run.ipynb'
    assert ward.find(saved) >= {'zyxwyth', 'quorvane', planted.PHONE} and ward.find(json.dumps(nbformat.read(saved, 4).metadata))
    git(ward.home, 'add', '-A')
    listed = git(ward.home, 'ls-files').splitlines()
    assert 'nbs/run.ipynb' in listed and not [f for f in listed if f.split('/')[0] in ('data', 'runs', 'models')]
    blob = lambda f: subprocess.run(['git', 'show', f':{f}'], cwd=ward.home, capture_output=True, check=True).stdout
    assert {f: found for f in listed if (found := ward.find(blob(f)))} == {}


@contextlib.contextmanager
def serving(folder: Path):
    "`lp-nb lab` in a folder: its address and token."
    settings_of = folder.parent / 'jupyter'
    settings_of.mkdir(exist_ok=True)
    (settings_of / 'jupyter_server_config.json').write_text(json.dumps(dict(ServerApp=dict(ip='0.0.0.0', allow_root=True, open_browser=False))))
    env = os.environ | dict(JUPYTER_CONFIG_DIR=str(settings_of), JUPYTER_RUNTIME_DIR=str(settings_of))
    with subprocess.Popen([sys.executable, '-c', 'from lp_nb.cli import main; main()', 'lab', str(folder)], env=env,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        try:
            line = next(line for line in server.stderr if 'http://127.0.0.1' in line)
            found = re.search(r'(http://[^/]+/)\S*token=(\w+)', line)
            for _ in range(100):
                with contextlib.suppress(urllib.error.URLError):
                    ask(f'{found[1]}api/status', found[2])
                    break
                time.sleep(0.2)
            yield found[1], found[2]
        finally:
            server.terminate()


def ask(url: str, token: str, body: dict | None = None):
    "The answer of the server; with a body, it is put there."
    data, headers = json.dumps(body).encode() if body else None, dict(Authorization=f'token {token}')
    request = urllib.request.Request(url, data, headers, method='PUT' if body else 'GET')
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


def listening(port: int) -> set:
    "The addresses on which some process listens at a port, as Linux writes them."
    rows = [line.split() for name in ('tcp', 'tcp6') for line in Path(f'/proc/net/{name}').read_text().splitlines()[1:]]
    return {row[1].rpartition(':')[0] for row in rows if row[3] == '0A' and int(row[1].rpartition(':')[2], 16) == port}


def test_a_server_without_a_token_does_not_start(tmp_path, monkeypatch):
    monkeypatch.setenv('JUPYTER_CONFIG_DIR', str(tmp_path))
    (tmp_path / 'jupyter_server_config.json').write_text(json.dumps(dict(IdentityProvider=dict(token=''), ServerApp=dict(allow_root=True))))
    command = [sys.executable, '-c', 'from lp_nb.cli import main; main()', 'lab', tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and 'turns both off' in done.stderr


BAD = [('radiology', 'charttime', planted.NAME), ('radiology', 'hadm_id', planted.SENTENCES[0]), ('labevents', 'valuenum', planted.SENTENCES[1]),
       ('chartevents', 'charttime', planted.PHONE), ('icustays', 'stay_id', '{}x'), ('admissions', 'subject_id', '{}.5'),
       ('patients', 'dod', planted.DATE)]


def first_of_a_variable(root) -> int:
    "The first row of labevents, from 1, whose item is one of a variable."
    known = pl.read_csv(asset('variable_map.csv')).filter(table='labevents')['itemid'].to_list()
    path = find_table(root, 'labevents')
    return pl.read_csv(path, infer_schema=False, glob=False)['itemid'].cast(int).is_in(known).arg_max() + 1


@pytest.mark.parametrize('table, column, value', BAD)
def test_errors_name_the_place_and_show_the_form(ward, tmp_path, table, column, value):
    "File, column and row as ever; of the value, its form. With --debug the traceback of a bad value says no more."
    shutil.copytree(ward.root, tmp_path / 'mimic')
    row = 3 if table != 'labevents' else first_of_a_variable(ward.root)  # rows of other items are counted and not parsed
    planted.change(tmp_path / 'mimic', table, column, row, lambda old: value.replace('{}', old) or old)
    for debug in ([], ['--debug']):
        with contextlib.suppress(UserError):
            code, said = lp_nb('cohort', '--mimic', tmp_path / 'mimic', '--out', tmp_path / 'out', *debug)
            assert code == 2 and f'column {column} of' in said and f'row {row}' in said and re.search('[x9]{2}', said), said
            assert ward.find(said) == set(), said
    with pytest.raises(UserError) as e:
        build_cohort(tmp_path / 'mimic', out=tmp_path / 'out')
    assert ward.find(''.join(traceback.format_exception(e.value))) == set()


def test_a_missing_header_is_not_recited(ward, tmp_path):
    for table in ('radiology', 'icustays', 'patients'):
        shutil.copytree(ward.root, tmp_path / table)
        path = next((tmp_path / table).rglob(f'{table}.csv.gz'))
        planted.write_table(path, planted.read_table(path)[1:])
        code, said = lp_nb('cohort', '--mimic', tmp_path / table, '--out', tmp_path / 'out')
        assert code == 2 and str(path) in said and ward.find(said) == set(), said


def test_other_errors_are_scrubbed(ward, monkeypatch, tmp_path):
    "An exception inside training, with a report in it; a stay that is not there; a list of patients with something else in it."
    stay, text = int(ward.cohort.stays.index[0]), ward.cohort.document(ward.cohort.stays.index[ward.cohort.documents.str.contains('Quorvane')][0])
    def broken(*args, **more):
        raise ValueError(f'could not convert string to float: {text[-300:]} of {stay}, {text[:300]!r}')
    monkeypatch.setattr('lp_nb.learning.training.train_step', broken)
    plan = 'supervised(epochs=1, reads=series, lr=0.5)'
    code, said = lp_nb('run', plan, '--cohort', ward.cohort.dir, '--lab', tmp_path / 'lab')
    assert code == 1 and 'ValueError, raised at lp_nb/' in said and 'could not convert' not in said and ward.find(said) == set(), said
    study = Study(tmp_path / 'lab', dict(mortality=ward.cohort), dict(one=plan), Search(1, 1e-3, 1e-3), encoder=TINY)
    with pytest.raises(UserError, match='ValueError, raised at') as e, contextlib.redirect_stderr(io.StringIO()):
        study.run(workers=1)
    records = list((tmp_path / 'lab' / 'failures').glob('*.json'))
    assert ward.find(str(e.value)) == set() and [ward.find(p) for p in records] == [set()]
    with pytest.raises(UserError) as e:
        ward.cohort.document(stay + 1)
    assert str(stay + 1) not in str(e.value)
    (tmp_path / 'test.csv').write_text(f'{stay};1 {planted.NAME}\n')
    code, said = lp_nb('cohort', '--mimic', ward.root, '--out', tmp_path / 'out', '--split-files', tmp_path / 'test.csv', tmp_path / 'test.csv')
    assert code == 2 and 'row 1' in said and ward.find(said) == set(), said


def doors(cohort, root, model):
    "Every way to credentialed data."
    return [lambda: build_cohort(root, out=Path.cwd() / 'out'), lambda: Cohort.load(cohort.dir), lambda: load_run(model)]


def refused_everywhere(ward, place: Path, monkeypatch):
    "Assert that no door opens from a folder."
    monkeypatch.chdir(place)
    for door in doors(ward.cohort, ward.root, ward.model):
        with pytest.raises(UserError, match='doctor --fix'):
            door()
    for args in (('cohort', '--mimic', ward.root, '--out', place / 'out'), ('card', ward.cohort.dir)):
        code, said = lp_nb(*args)
        assert code == 2 and 'doctor --fix' in said


def subfolder(tmp):
    (place := checkout(tmp / 'a', filtered=False) / 'nbs' / 'deep').mkdir(parents=True)
    return place


def no_attributes(tmp):
    top = checkout(tmp / 'a', attributes=None)
    Path(top, '.git/info/attributes').unlink()
    return top


def overridden(tmp):
    top = checkout(tmp / 'a')
    Path(top, '.git/info/attributes').unlink()
    (top / 'drafts').mkdir()
    (top / 'drafts' / '.gitattributes').write_text('*.ipynb -filter\n')
    return top


def one_notebook(tmp):
    top = checkout(tmp / 'a', '*.ipynb filter=lp-nb\nrun.ipynb -filter\n')
    Path(top, '.git/info/attributes').unlink()
    (top / 'run.ipynb').write_text('{}')
    return top


def program_missing(tmp):
    git(top := checkout(tmp / 'a'), 'config', 'filter.lp-nb.clean', 'no-such-program')
    return top


def not_required(tmp):
    git(top := checkout(tmp / 'a'), 'config', '--unset', 'filter.lp-nb.required')
    return top


def lets_through(tmp):
    git(top := checkout(tmp / 'a'), 'config', 'filter.lp-nb.clean', 'cat')
    return top


def worktree(tmp):
    top = checkout(tmp / 'a', filtered=False)
    git(top, '-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-q', '--allow-empty', '-m', 'first')
    git(top, 'worktree', 'add', '-q', str(tmp / 'tree'))
    return tmp / 'tree'


def submodule(tmp):
    top, inner = checkout(tmp / 'a'), checkout(tmp / 'b', filtered=False)
    git(inner, '-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-q', '--allow-empty', '-m', 'first')
    git(top, '-c', 'protocol.file.allow=always', 'submodule', 'add', '-q', str(inner), 'inner')
    return top / 'inner'


def lost_git_folder(tmp):
    (place := tmp / 'moved').mkdir()
    (place / '.git').write_text('gitdir: /nowhere/at/all\n')
    return place


def link(tmp):
    (tmp / 'short').symlink_to(checkout(tmp / 'a', filtered=False))
    return tmp / 'short'


PLACES = [subfolder, no_attributes, overridden, one_notebook, program_missing, not_required, lets_through, worktree, submodule, lost_git_folder, link]


@pytest.mark.parametrize('place', PLACES, ids=lambda f: f.__name__)
def test_no_door_opens_where_notebooks_are_not_stripped(ward, place, tmp_path, monkeypatch):
    place = place(tmp_path)
    refused_everywhere(ward, place, monkeypatch)
    if place.name != 'moved':
        assert lp_nb('doctor', '--fix', '--quiet')[0] == 0  # what the message says mends it
        refuse_unfiltered(ward.root)
        assert len(Cohort.load(ward.cohort.dir).stays)


def test_the_environment_hides_no_checkout(ward, tmp_path, monkeypatch):
    "GIT_DIR that points to a filtered one, or to an unfiltered one; a notebook elsewhere than its kernel; no git at all."
    careless, careful = checkout(tmp_path / 'careless', filtered=False), checkout(tmp_path / 'careful')
    (away := tmp_path / 'away').mkdir()
    monkeypatch.setenv('GIT_DIR', str(careful / '.git'))
    refused_everywhere(ward, careless, monkeypatch)
    monkeypatch.setenv('GIT_DIR', str(careless / '.git'))
    monkeypatch.setenv('GIT_WORK_TREE', str(away))
    refused_everywhere(ward, away, monkeypatch)
    monkeypatch.delenv('GIT_DIR')
    monkeypatch.delenv('GIT_WORK_TREE')
    refuse_unfiltered(ward.root)
    monkeypatch.setenv('JPY_SESSION_NAME', str(careless / 'run.ipynb'))
    refused_everywhere(ward, away, monkeypatch)
    monkeypatch.delenv('JPY_SESSION_NAME')
    monkeypatch.setenv('PATH', str(away))
    refused_everywhere(ward, careful, monkeypatch)


def test_notes_are_not_as_open_as_the_tables_beside_them(ward, tmp_path, monkeypatch):
    "A hospital that is made up, with notes that are not: the door is shut, and behind it nothing is called open."
    sample = Path(__file__).parents[1] / 'data' / 'sample'
    monkeypatch.chdir(checkout(tmp_path / 'a', filtered=False))
    with pytest.raises(UserError, match='doctor --fix'):
        build_cohort(sample, notes=ward.root, out=tmp_path / 'out')
    build_cohort(sample, out=tmp_path / 'out')
    monkeypatch.chdir(tmp_path)
    assert open_mimic(sample, ward.root).release == 'synthetic tables with notes of another source'


COUNTS = st.sampled_from([0, 0, 1, 2, 3, 5, 8, 9, 10, 11, 12, 15, 20, 40, 90])


def recovered(counts: np.ndarray, texts: list) -> list:
    "Small counts that follow from what is printed and from the sums of rows and columns; percentages must be those of shown counts."
    n, m = counts.shape
    known = [np.tile(np.eye(m), n)] + [np.repeat(np.eye(n), m, 1)] * (m > 1)
    ends = [(1, 9) if t == '<10' else (0, None) if t == 'hidden' else 2 * (int(t.split()[0].replace(',', '')),) for row in texts for t in row]
    assert all(a == c for (a, b), c in zip(ends, counts.ravel()) if a == b)
    known = np.concatenate(known)
    reach = lambda one: [s * linprog(s * one, A_eq=known, b_eq=known @ counts.ravel(), bounds=ends).fun for s in (1, -1)]
    small = np.flatnonzero((0 < counts.ravel()) & (counts.ravel() < 10))
    return [int(counts.ravel()[i]) for i in small if np.ptp(reach(np.eye(counts.size)[i])) < 0.5]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(2, 5), st.integers(1, 3), st.data())
def test_no_small_cell_of_a_table_can_be_worked_out(n, m, data):
    counts = np.array(data.draw(st.lists(st.lists(COUNTS, min_size=m, max_size=m), min_size=n, max_size=n)))
    if (counts.sum(0) >= 10).all():
        texts = cell_texts(counts, counts.sum(0).tolist())
        assert not re.search(r"'[1-9]( |')", str(texts)) and recovered(counts, texts) == []


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.lists(COUNTS, min_size=1, max_size=4), min_size=1, max_size=6))
def test_no_small_count_of_a_ledger_can_be_worked_out(steps):
    "From rows in and kept of each step of a manifest, as long as ten rows were lost in all."
    rows, left = [], 5000
    for i, lost in enumerate(steps):
        rows += [(f's{i}', 'stays', left, 'kept', left - sum(lost)), *((f's{i}', 'stays', left, f'r{i}{k}', n) for k, n in enumerate(lost))]
        left -= sum(lost)
    exact = {row[3]: row[4] for row in rows}
    for step in shareable(rows) if 5000 - left >= 30 else []:
        names = list(step['dropped'])
        counts = np.array([[exact[name]] for name in names], int).reshape(-1, 1)
        assert counts.sum() == step['rows_in'] - step['kept']
        assert recovered(counts, [[step['dropped'][name]] for name in names]) == []


def test_counts_of_the_planted_cohort_stay_hidden(ward):
    "Characteristics by split and in all are two tables of one cohort; a difference is printed only beside counts."
    by = characteristics(ward.cohort, 'split')
    dark = by[['train', 'val', 'test']].isin(['<10', 'hidden']).any(axis=1)
    assert dark.any() and by.loc[dark, 'difference'].isna().all()
    printed = json.dumps(read_json(ward.cohort.dir / 'manifest.json')['counts']) + ward.shared.joinpath('who.csv').read_text()
    assert '<10' in printed and not re.search(r'"[1-9]"|,[1-9] \(', printed)


def test_a_shared_ledger_counts_patients_and_an_old_one_opens(tmp_path):
    "Several stays of one patient are one patient in manifest, ledger and quality; a cohort written before patients were counted still opens."
    make_hospital(tmp_path / 'hospital', HospitalConfig(patients=120, seed=5))
    cohort = build_cohort(tmp_path / 'hospital', out=tmp_path / 'cohort')
    stays = cohort.ledger[cohort.ledger['unit'] == 'stays']
    gone = pd.read_parquet(cohort.dir / 'attrition.parquet')
    assert stays['patients'].notna().all() and (stays['patients'] <= stays['rows']).all() and len(gone)
    last = stays[stays['reason'] == 'kept'].iloc[-1]
    assert last['patients'] == cohort.stays['subject_id'].nunique()
    rows = list(cohort.ledger[['step', 'unit', 'rows_in', 'reason', 'rows']].itertuples(index=False, name=None))
    whose = whose_of(cohort.ledger)
    assert cohort.manifest['attrition'] == shareable(rows, whose=whose)
    printed = lambda steps: {r: text for s in steps for r, text in s['dropped'].items() if text.replace(',', '').isdigit() and text != '0'}
    for reason in printed(cohort.manifest['attrition']):
        assert all(n >= 10 or not n for (_, _, r), n in whose.items() if r == reason), reason
    old = cohort.ledger.drop(columns='patients'), cohort.quality[[c for c in cohort.quality if not c.endswith(('_patients', '_others'))]]
    assert whose_of(old[0]) == {} and cohort_flow(old[0], 'stays') and quality_figure(old[1])
