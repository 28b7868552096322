"A killed run, asked for again, ends with the same bytes as one that was never disturbed."
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lp_nb.data.cohort import build_cohort
from lp_nb.folders import read_json

ROOT = Path(__file__).parents[1]
PLAN = 'mlm(epochs=3) > contrastive(epochs=3) > supervised(epochs=3)'
CHILD = '''
import sys
from lp_nb.data.cohort import Cohort
from lp_nb.learning.encoders import EncoderConfig
from lp_nb.learning.lab import Lab
tiny = EncoderConfig(width=32, layers=1, heads=2, vocab_size=500, dim=32, series_hidden=16)
Lab(sys.argv[1], Cohort.load(sys.argv[2]), tiny, probe_stays=16, points=2, save_every=0).run(sys.argv[3])
'''


def start(lab, cohort):
    "The plan in a process of its own."
    env = dict(os.environ, OMP_NUM_THREADS='1', LPNB_QUIET='1')
    return subprocess.Popen([sys.executable, '-c', CHILD, str(lab), str(cohort), PLAN], env=env)


def results(lab):
    "All finished weights and predictions, by stage address and file."
    return {f'{p.parent.name}/{p.name}': load_file(p) for p in sorted(Path(lab).glob('stages/*/*.safetensors'))}


def same(a, b):
    return a.keys() == b.keys() and all(a[k].keys() == b[k].keys() and all(a[k][t].equal(b[k][t]) for t in a[k]) for k in a)


def test_sigkill_costs_nothing_but_time(tmp_path):
    "Kill a run three times at different moments; the fourth attempt finishes it, equal to an undisturbed one."
    cohort = build_cohort(ROOT / 'data' / 'sample', task='mortality', out=tmp_path / 'cohort').dir
    whole = start(tmp_path / 'whole', cohort)
    began = time.monotonic()
    assert whole.wait(300) == 0
    took = time.monotonic() - began
    for share in (0.6, 0.75, 0.9):
        child = start(tmp_path / 'killed', cohort)
        try:
            child.wait(took * share)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
    assert start(tmp_path / 'killed', cohort).wait(300) == 0
    assert same(results(tmp_path / 'whole'), results(tmp_path / 'killed'))
    assert not list((tmp_path / 'killed' / 'unfinished').glob('*/position.json'))


COMMAND = 'import sys; from lp_nb.cli import main; main()'
SLOW = '''
import time
from pathlib import Path

from lp_nb.data import audit

write = audit.write_tables


def slow(frames, folder):
    made = write(frames, folder)
    Path(HERE).touch()
    time.sleep(120)
    return made


audit.write_tables = slow
'''


def command(folder, *args):
    "A command in a process of its own, whose temporary folder is `folder`/tmp."
    (folder / 'tmp').mkdir(exist_ok=True)
    env = dict(os.environ, OMP_NUM_THREADS='1', LPNB_QUIET='1', TMPDIR=str(folder / 'tmp'))
    return subprocess.Popen([sys.executable, '-c', COMMAND, *map(str, args)], env=env, stderr=subprocess.PIPE, text=True)


def wait_until(child, happened, seconds=240):
    "Wait until something happens while a process runs."
    limit = time.monotonic() + seconds
    while not happened():
        assert child.poll() is None and time.monotonic() < limit, child.stderr.read()
        time.sleep(0.02)


@pytest.mark.parametrize('one', (signal.SIGTERM, signal.SIGHUP))
def test_a_signal_during_the_leak_search_leaves_no_copy(tmp_path, one):
    "The copies of rows are in the folder of the build, and gone with it."
    (tmp_path / 'slow.py').write_text(SLOW.replace('HERE', repr(str(tmp_path / 'here'))))
    build = ('cohort', '--mimic', ROOT / 'data' / 'sample', '--out', tmp_path / 'cohort')
    child = command(tmp_path, '--use', tmp_path / 'slow.py', *build)
    wait_until(child, (tmp_path / 'here').exists)
    assert [p.parent.name for p in tmp_path.glob('**/canary-*')] == ['.cohort.work'] and not list((tmp_path / 'tmp').glob('**/*.parquet'))
    child.send_signal(one)
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 1 and 'interrupted' in said and 'Traceback' not in said
    left = [p for p in tmp_path.rglob('*') if 'canary' in p.name or '.new-' in p.name]
    assert left == [] and not list((tmp_path / 'tmp').rglob('*.parquet'))
    (tmp_path / '.cohort.work' / 'canary-left').mkdir()  # by a process that could not tidy up
    assert command(tmp_path, *build).wait(240) == 0 and not list(tmp_path.glob('**/canary-*')) and not (tmp_path / '.cohort.work').exists()


@pytest.mark.parametrize('one', (signal.SIGTERM, signal.SIGHUP, signal.SIGINT))
def test_a_signal_saves_where_a_lone_run_is(tmp_path, one):
    "Steps done before the signal are in the checkpoint, long before one is due; the same command goes on from there."
    cohort, lab = build_cohort(ROOT / 'data' / 'sample', task='mortality', out=tmp_path / 'cohort').dir, tmp_path / 'lab'
    child = command(tmp_path, 'run', 'supervised(reads=series, epochs=100000, patience=100000)', '--cohort', cohort, '--lab', lab)
    heartbeat = lambda: [int(p.read_text().split()[0]) for p in lab.glob('unfinished/[!.]*.step')]
    wait_until(child, lambda: max(heartbeat(), default=0) > 3)
    seen = max(heartbeat())
    child.send_signal(one)
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 1 and 'interrupted' in said and 'Traceback' not in said
    assert [read_json(p)['at']['step'] >= seen for p in lab.glob('unfinished/*/position.json')] == [True]
    assert not list(lab.glob('unfinished/*.holder'))
