"The command line as a user meets it: exit statuses, one clear paragraph for each mistake, and results where it says."
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lp_nb.data.cohort import Cohort
from lp_nb.learning.encoders import EncoderConfig
from lp_nb.study.search import Search
from lp_nb.study.sweeps import Study

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / 'data' / 'sample'
DEMO = Path(os.environ.get('LPNB_MIMIC_DEMO', ROOT.parent / 'shared' / 'data' / 'mimic-iv-demo'))
needs_demo = pytest.mark.skipif(not DEMO.exists(), reason=f'no MIMIC-IV demo at {DEMO} (set LPNB_MIMIC_DEMO)')


FEW = r'\A(No score can be computed on the test stays|.*fewer than ten events, or ten others, among the test stays): .*\n'  # the one warning


def lp_nb(*args, cwd=None):
    "Run `lp-nb` and return the finished process."
    env = dict(os.environ, OMP_NUM_THREADS='1', LPNB_QUIET='1', HF_HUB_OFFLINE='1')
    return subprocess.run([Path(sys.executable).parent / 'lp-nb', *map(str, args)], cwd=cwd, env=env, capture_output=True,
                          text=True, check=False, timeout=300)


def wrong(done, *words):
    "Assert that a command was refused in one paragraph that holds `words`, without a traceback."
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert 'Traceback' not in done.stderr
    paragraph = re.sub(FEW, '', done.stderr).strip()
    assert paragraph.startswith('lp-nb: Expected'), done.stderr
    for word in words:
        assert word in paragraph, f'{word!r} not in: {paragraph}'


@pytest.fixture
def broken(tmp_path):
    "A copy of the sample hospital that a test may damage."
    shutil.copytree(SAMPLE, tmp_path / 'hospital')
    return tmp_path / 'hospital'


@pytest.fixture(scope='module')
def cohort(tmp_path_factory):
    "A cohort of the sample hospital, built by the command."
    out = tmp_path_factory.mktemp('cohort') / 'mortality'
    done = lp_nb('cohort', '--mimic', SAMPLE, '--task', 'mortality', '--out', out, '--json')
    assert done.returncode == 0, done.stderr
    return out


def test_help_is_quick_and_has_examples():
    "Each command explains itself with an example."
    listed = lp_nb('--help')
    assert listed.returncode == 0
    for command in ('demo', 'hospital', 'cohort', 'run', 'table1', 'theory', 'doctor', 'lab'):
        assert command in listed.stdout
        assert 'Example: lp-nb' in lp_nb(command, '--help').stdout


def test_the_version_by_either_name():
    "`lp-nb --version`, and `python -m lp_nb` is the same command."
    from lp_nb import __version__

    env = dict(os.environ, OMP_NUM_THREADS='1')
    for words in ((Path(sys.executable).parent / 'lp-nb',), (sys.executable, '-m', 'lp_nb')):
        done = subprocess.run([*words, '--version'], env=env, capture_output=True, text=True, check=False, timeout=300)
        assert (done.returncode, done.stdout, done.stderr) == (0, f'lp-nb {__version__}\n', '')
    assert Path(sys.modules['lp_nb'].__file__).with_name('py.typed').is_file()


def test_wrong_folder(tmp_path):
    wrong(lp_nb('cohort', '--mimic', tmp_path / 'nowhere', '--out', tmp_path / 'c'), 'nowhere')


def test_missing_table(broken, tmp_path):
    (broken / 'icu' / 'icustays.csv.gz').unlink()
    wrong(lp_nb('cohort', '--mimic', broken, '--out', tmp_path / 'c'), 'icustays')
    assert not (tmp_path / 'c').exists()


def test_missing_column(broken, tmp_path):
    path = broken / 'hosp' / 'patients.csv.gz'
    text = gzip.decompress(path.read_bytes()).decode().replace('anchor_age', 'age', 1)
    path.write_bytes(gzip.compress(text.encode()))
    wrong(lp_nb('cohort', '--mimic', broken, '--out', tmp_path / 'c'), 'anchor_age', 'patients')


def test_unparsable_value(broken, tmp_path):
    path = broken / 'icu' / 'icustays.csv.gz'
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    cells = lines[2].split(',')
    cells[lines[0].split(',').index('intime')] = 'three days'
    lines[2] = ','.join(cells)
    path.write_bytes(gzip.compress('\n'.join(lines).encode()))
    wrong(lp_nb('cohort', '--mimic', broken, '--out', tmp_path / 'c'), 'icustays', 'intime', 'xxxxx xxxx')  # the form: a table that was altered is no longer the hospital's


def test_unknown_plan_word(cohort, tmp_path):
    wrong(lp_nb('run', 'mlm > contrastiv > supervised', '--cohort', cohort, '--lab', tmp_path / 'lab'), 'contrastiv', '^')


def test_unknown_model(cohort, tmp_path):
    wrong(lp_nb('run', 'supervised', '--cohort', cohort, '--lab', tmp_path / 'lab', '--model', 'no/such-bert'), 'no/such-bert')


def test_no_such_option():
    done = lp_nb('cohort', '--nonsense')
    assert done.returncode == 2 and 'Traceback' not in done.stderr


def test_run_prints_where_results_lie(cohort, tmp_path):
    plan = 'supervised(epochs=1)'
    done = lp_nb('run', plan, '--cohort', cohort, '--lab', tmp_path / 'lab', '--json')
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert Path(said['stages'][0], 'result.json').exists()
    assert 'test AUROC' in said


def test_failed_work_is_told_from_a_wrong_command(cohort, tmp_path):
    "Status 1 and what tries it again, from the driver and from a worker; what else there was is done."
    plans, few = ('supervised(task=phenotyping)', 'supervised(reads=series, epochs=1)'), ('--runs', 1, '--low', 1e-3, '--high', 1e-3)
    study = ('--cohort', cohort, '--lab', tmp_path / 'lab')
    done = lp_nb('sweep', *plans, *study, *few, '--workers', 1)
    assert done.returncode == 1 and '1 of 2 failed' in done.stderr and 'The same command tries them again.' in done.stderr, done.stderr
    joined = lp_nb('sweep', *plans, *study, *few, '--worker')
    assert joined.returncode == 1, joined.stderr
    command = re.search(r'tries it again: lp-nb (.*)', joined.stderr)[1].split()
    assert lp_nb(*command, '--dry-run', '--json').stdout.startswith('{"runs": 2, "results": 2, "finished": 1')
    lost = lp_nb('run', 'supervised(reads=series, lr=1e30, clip=0, epochs=1)', *study)
    assert lost.returncode == 1 and 'a finite loss' in lost.stderr and 'fault of the kit' not in lost.stderr, lost.stderr


def test_a_run_is_saved_with_its_cards(cohort, tmp_path):
    plan, lab = 'supervised(reads=series, epochs=1)', tmp_path / 'lab'
    wrong(lp_nb('save', plan, tmp_path / 'model', '--cohort', cohort, '--lab', lab), 'no lab.json there', '`lp-nb run`')
    assert not lab.exists()  # who only reads leaves nothing behind
    assert lp_nb('run', plan, '--cohort', cohort, '--lab', lab).returncode == 0
    done = lp_nb('save', plan, tmp_path / 'model', '--cohort', cohort, '--lab', lab)
    assert done.returncode == 0, done.stderr
    assert 'Sharing: open' in (tmp_path / 'model' / 'README.md').read_text()
    wrong(lp_nb('save', plan, tmp_path / 'model', '--cohort', cohort, '--lab', lab), 'new or empty folder')
    wrong(lp_nb('save', f'{plan} > {plan}', tmp_path / 'other', '--cohort', cohort, '--lab', lab), 'finished')
    shown = lp_nb('card', cohort)
    assert shown.returncode == 0 and 'in-hospital' in shown.stdout.lower() or 'mortality' in shown.stdout


def test_table1_of_a_finished_study(cohort, tmp_path):
    "From a lab's study: table, claims and report from one command, and a dry run that knows what is there."
    arms = {'contrastive': 'contrastive(epochs=1) > supervised(train=projection, epochs=2)', 'series only': 'supervised(reads=series, epochs=2)'}
    tiny = EncoderConfig(width=32, layers=1, heads=2, vocab_size=500, dim=32, series_hidden=16)
    Study(tmp_path / 'lab', dict(mortality=Cohort.load(cohort)), arms, Search(1, 1e-3, 1e-3), encoder=tiny, probe_stays=16, points=2).run(workers=1)
    said = json.loads(lp_nb('table1', '--lab', tmp_path / 'lab', '--dry-run', '--no-curves', '--json').stdout)
    assert said['finished'] == said['results'] == 3 and said['seconds'] == 0
    wrong(lp_nb('table1', '--lab', tmp_path / 'lab', '--dry-run'), '100 training stays', '--no-curves')  # a share of 1 % of 26 stays
    wrong(lp_nb('table1', '--cohort', cohort, '--hospital', 100), '--hospital and --cohort')
    done = lp_nb('table1', '--lab', tmp_path / 'lab', '--no-curves', '--out', tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    assert 'series trees' in done.stdout and 'against the best baseline' in done.stdout
    assert {'table1.csv', 'table1.tex', 'table1.html', 'report.html', 'forest.svg', 'forest.pdf'} <= {p.name for p in (tmp_path / 'out').iterdir()}


def test_theory_says_its_cost_first(tmp_path):
    "A dry run trains nothing; seeds below one are refused."
    said = json.loads(lp_nb('theory', '--quick', '--out', tmp_path / 'theory', '--dry-run', '--json').stdout)
    assert said['results'] == 2 * 11 and said['arms'] == 2 * 8 and said['seconds'] > 0
    assert not list((tmp_path / 'theory').glob('stages/*'))
    assert lp_nb('theory', '--seeds', 0).returncode == 2


def test_doctor_knows_this_machine():
    said = json.loads(lp_nb('doctor', '--json', cwd=ROOT).stdout)
    assert said['cores'] >= 1 and said['device']


@needs_demo
@pytest.mark.parametrize('task, kept', [('mortality', None), ('phenotyping', None)])
def test_the_open_demo(tmp_path, task, kept):
    "140 stays enter, and every one of them is accounted for."
    done = lp_nb('cohort', '--mimic', DEMO, '--task', task, '--out', tmp_path / task, '--json')
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    ledger = said['ledger']
    assert ledger[0]['rows_in'] == 140 and not said['reports']
    for step in {row['step'] for row in ledger}:
        rows = [row for row in ledger if row['step'] == step]
        assert sum(row['rows'] for row in rows) == rows[0]['rows_in'], step
    plan = lp_nb('run', 'mlm > supervised', '--cohort', tmp_path / task, '--lab', tmp_path / 'lab')
    wrong(plan, 'corpus')
    series = lp_nb('run', 'supervised(reads=series, epochs=1)', '--cohort', tmp_path / task, '--lab', tmp_path / 'lab')
    assert series.returncode == 0, series.stderr


def test_a_dry_run_for_a_device_that_is_not_there(tmp_path):
    "Without a cohort the paper's study is counted; a device is for dry runs only, and has to be known."
    done = lp_nb('table1', '--dry-run', '--device', 'h200', '--no-curves', '--json', '--lab', tmp_path / 'lab')
    assert done.returncode == 0, done.stderr
    one = json.loads(done.stdout)[0]
    assert {row['kind'] for row in one['bill']} == {'supervised', 'mlm', 'contrastive', 'supervised (series)'}
    assert 0 < one['hours'][0] < one['hours'][1] < one['hours'][2] and not (tmp_path / 'lab').exists()
    wrong(lp_nb('table1', '--device', 'h200', '--lab', tmp_path / 'lab'), '--dry-run')
    wrong(lp_nb('table1', '--dry-run', '--device', 'abacus', '--lab', tmp_path / 'lab'), 'h200', 'abacus')


def test_what_was_made_of_other_settings_is_not_replaced_unasked(tmp_path):
    "A hospital and a cohort of other settings stay, unless --replace is said; the same command again changes nothing."
    hospital, cohort = ('hospital', tmp_path / 'hospital', '--patients'), ('cohort', '--mimic', tmp_path / 'hospital', '--out', tmp_path / 'cohort')
    assert lp_nb(*hospital, 60).returncode == 0
    first = lp_nb(*cohort)
    assert first.returncode == 0 and 'the test stays' in first.stderr, first.stderr
    made = (tmp_path / 'hospital/hospital.json').read_bytes(), (tmp_path / 'cohort/manifest.json').read_bytes()
    for again in (lp_nb(*hospital, 50), lp_nb(*cohort, '--task', 'phenotyping'), lp_nb(*cohort, '--set', 'min_age=30')):
        assert again.returncode == 2 and 'say --replace' in again.stderr, again.stderr
    assert lp_nb(*cohort).returncode == lp_nb(*hospital, 60).returncode == 0
    assert made == ((tmp_path / 'hospital/hospital.json').read_bytes(), (tmp_path / 'cohort/manifest.json').read_bytes())
    assert lp_nb(*cohort, '--task', 'phenotyping', '--replace').returncode == 0
    assert lp_nb('cohort', 'why', tmp_path / 'cohort', 12).returncode == 1


def test_every_knob_of_the_hospital_is_set_from_the_shell(tmp_path):
    "Knobs reach the hospital with their types; what is unknown, wrong, out of range or said twice is refused, and nothing is written."
    out = tmp_path / 'hospital'
    done = lp_nb('hospital', out, '--patients', 20, '--set', 'patients=20', '--set', 'bind=0.2', '--set', 'general=7', '--set', 'chart_every=4')
    assert done.returncode == 0, done.stderr
    said = json.loads((out / 'hospital.json').read_text())
    assert {k: said['config'][k] for k in ('patients', 'bind', 'general', 'chart_every', 'seed')} == dict(patients=20, bind=.2, general=7, chart_every=4, seed=0)
    assert said['rows']['general/reports'] == 7
    for words, pair in [(('bnid', "Did you mean 'bind'?"), 'bnid=0.5'), (('kindness', 'among patients, seed', 'hospital --help'), 'kindness=1'),
                        (('between 0 and 1', 'nan'), 'bind=nan'), (('--patients 20', '--set patients=30'), 'patients=30')]:
        wrong(lp_nb('hospital', tmp_path / 'none', '--patients', 20, '--set', pair), *words)
    assert not (tmp_path / 'none').exists()
    assert 'other_items' in lp_nb('hospital', '--help').stdout


def test_switches_of_a_cohort_are_refused_like_knobs(tmp_path):
    cohort = ('cohort', '--mimic', SAMPLE, '--out', tmp_path / 'c')
    wrong(lp_nb(*cohort, '--set', 'mim_age=30'), 'mim_age', "Did you mean 'min_age'?")
    wrong(lp_nb(*cohort, '--set', 'kindness=1'), 'kindness', 'among report_time', 'cohort switches')
    wrong(lp_nb(*cohort, '--task', 'mortality', '--set', 'task=phenotyping'), '--task mortality', '--set task=phenotyping')
    assert not (tmp_path / 'c').exists()
    assert lp_nb(*cohort, '--set', 'task=phenotyping', '--set', 'sections=findings+impression').returncode == 0
    made = Cohort.load(tmp_path / 'c')
    assert made.task == 'phenotyping' and len(made.codes) and not any('INDICATION' in text for text in made.corpus)


def test_use_may_stand_anywhere(tmp_path):
    from lp_nb.cli import use_first

    assert use_first(['run', 'mlm', '--use', 'a.py', '--seed', '1', '--use=b']) == ['--use', 'a.py', '--use=b', 'run', 'mlm', '--seed', '1']
