"Sweeps under fire: workers and drivers are killed, drivers compete, nodes fail; the results are those of a quiet sweep."
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import optuna
import pytest

from lp_nb.data.cohort import Cohort, build_cohort
from lp_nb.core import UserError
from lp_nb.learning.encoders import EncoderConfig
from lp_nb.learning.shelf import folder_gc
from lp_nb.study.sweeps import Search, Study
from lp_nb.study.work import failures

ROOT = Path(__file__).parents[1]
TINY = dict(width=32, layers=1, heads=2, vocab_size=500, dim=32, series_hidden=16)
ARMS = {
    'layered': 'mlm(epochs=3) > contrastive(epochs=3) > supervised(epochs=3)',
    'frozen': 'mlm(epochs=3) > supervised(train=projection, epochs=6)',
    'series': 'supervised(reads=series, epochs=6)',
}
@pytest.fixture(scope='module')
def cohort(tmp_path_factory):
    "The cohort of the sample hospital."
    return build_cohort(ROOT / 'data' / 'sample', task='mortality', out=tmp_path_factory.mktemp('sweeps') / 'cohort').dir


def settings(folder, cohort, arms=ARMS, workers=2, save_every=0.0, **search):
    "What a driver is told."
    search = dict(runs=2, low=1e-3, high=1e-2) | search
    return dict(folder=str(folder), cohort=str(cohort), arms=arms, search=search, encoder=TINY, workers=workers, save_every=save_every)


def study_of(said):
    "The study that is told of."
    return Study(said['folder'], dict(mortality=Cohort.load(said['cohort'])), said['arms'], Search(**said['search']), poll=0.1,
                 encoder=EncoderConfig(**said['encoder']), probe_stays=16, points=2, save_every=said['save_every'])


def run_driver(said, error):
    "What a driver does; its error, if any, is left in the file `error`."
    try:
        study_of(said).run(workers=said['workers'])
    except UserError as e:
        Path(error).write_text(str(e))
        raise SystemExit(1) from e


DRIVERS = multiprocessing.get_context('forkserver')  # forked from a process that has imported everything, so they are there at once
DRIVERS.set_forkserver_preload(['lp_nb.study.sweeps'])


def drive(said, error):
    "A driver in a process of its own; its workers are new processes."
    driver = DRIVERS.Process(target=run_driver, args=(said, str(error)))
    driver.start()
    return driver


def ended(driver, error, seconds=900):
    "Wait for a driver; its error, or an empty text. The limit is that of a machine with other things to do."
    driver.join(seconds)
    assert driver.exitcode is not None, 'a driver that does not end'
    return Path(error).read_text() if driver.exitcode else ''


def holders(folder):
    "Which process is at which unit: {key: pid}."
    out = {}
    for path in Path(folder).glob('unfinished/[!.]*.holder'):
        try:
            out[path.stem] = int(path.read_text().split(':')[1])
        except FileNotFoundError:  # finished in this moment
            continue
    return out


def alive(pid):
    "Whether a process runs (and is no zombie)."
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):  # it ended before it was opened, or before it was read
        return False


def seconds_used(pid):
    "Processor time of a process; it only stands still where nothing is done."
    try:
        user, system = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[11:13]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(user) + int(system)) / os.sysconf('SC_CLK_TCK')


def wait_for_end(pids, most=60, still=120):
    "Wait until processes have ended; fails when one has used `most` seconds of processor time, or none in `still` seconds."
    began, moved = {pid: seconds_used(pid) for pid in pids}, {}
    while left := [pid for pid in pids if alive(pid)]:
        for pid in left:
            used, now = seconds_used(pid), time.monotonic()
            moved[pid] = (used, now) if used > moved.get(pid, (-1, 0))[0] else moved[pid]
            assert used - began[pid] < most, f'a worker went on without its driver for {most} s'
            assert now - moved[pid][1] < still, f'a worker hangs: it has done nothing for {still} s'
        time.sleep(0.05)


def kill_one(folder, driver, rest, kills, seconds=900):
    "SIGKILL a worker after it has held a unit for `rest` seconds, no unit's more than twice; whether one was killed."
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and driver.is_alive():
        for key, pid in holders(folder).items():
            if alive(pid) and kills[key] < 2:
                time.sleep(rest)
                if holders(folder).get(key) == pid:
                    with suppress(ProcessLookupError):  # it has just come to its end by itself
                        os.kill(pid, signal.SIGKILL)
                        kills[key] += 1
                        return True
        time.sleep(0.01)
    return False


def contents(folder):
    "The bytes of all weights, probes and predictions, by address and file."
    return {f'{p.parent.name}/{p.name}': p.read_bytes() for p in sorted(Path(folder).glob('stages/*/*.safetensors'))}


def test_kills_cost_nothing_but_time(cohort, tmp_path):
    "Eight workers and four drivers are killed; what is there at the end equals an undisturbed sweep bit for bit."
    quiet = drive(settings(tmp_path / 'quiet', cohort, workers=1, save_every=30.0), tmp_path / 'quiet.error')
    said, draw, workers, kills = settings(tmp_path / 'fire', cohort), random.Random(0), 0, defaultdict(int)
    for _ in range(4):
        driver = drive(said, tmp_path / 'error')
        for _ in range(2):
            workers += kill_one(said['folder'], driver, draw.uniform(0, 0.3), kills)
        assert driver.is_alive(), f'over after {workers} kills'
        left = holders(said['folder'])
        driver.kill()
        driver.join()
        wait_for_end(left.values())  # at their next step
    assert workers == 8
    assert ended(drive(said, tmp_path / 'error'), tmp_path / 'error') == ''
    assert ended(quiet, tmp_path / 'quiet.error') == ''
    there, expected = contents(said['folder']), contents(tmp_path / 'quiet')
    assert there.keys() == expected.keys() and len({name.split('/')[0] for name in expected}) == 8
    assert [name for name in expected if there[name] != expected[name]] == []
    assert not list((tmp_path / 'fire' / 'unfinished').glob('[!.]*'))


def test_two_drivers_share_the_work(cohort, tmp_path):
    "No node is computed twice, a failing one stops no other, and cleaning up takes nothing from whoever is at work."
    arms = ARMS | dict(diverging='mlm(epochs=2, lr=1e30, clip=0) > supervised(epochs=1)')
    drivers = [drive(settings(tmp_path / 'lab', cohort, arms, workers, 0.2), tmp_path / f'error{workers}') for workers in (1, 2)]
    seen, removed = defaultdict(set), []
    while any(d.is_alive() for d in drivers):
        for key, pid in holders(tmp_path / 'lab').items():
            seen[key].add(pid)
        if seen:
            removed += folder_gc(tmp_path / 'lab', dry_run=False, hours=0).query('removed')['path'].tolist()
        time.sleep(0.02)
    study = study_of(settings(tmp_path / 'lab', cohort, arms))
    failed = failures(study.backlog)
    assert len(failed) == 1 and failed['plan'].item().startswith('mlm(') and 'finite loss' in failed['reason'].item()
    for workers, driver in zip((1, 2), drivers, strict=True):
        assert f'1 of {len(study.nodes)} failed, 2 more build on them' in ended(driver, tmp_path / f'error{workers}')
    lost = Path(failed['file'].item()).stem
    assert len(seen) > 4 and {key: pids for key, pids in seen.items() if len(pids) > 1 and key != lost} == {}
    assert sorted(study.results['arm']) == ['frozen'] * 2 + ['layered'] * 2 + ['series'] * 2
    assert [path for path in removed if not path.startswith(f'unfinished/{lost}')] == []


def test_trials_are_exact_in_number(cohort, tmp_path):
    "A killed worker's trial is gone on with at the same rate: as many trials as asked for, in a database."
    storage = f'sqlite:///{tmp_path / "trials.db"}'
    said = settings(tmp_path / 'lab', cohort, dict(series='supervised(reads=series, epochs=8)'), runs=4, low=1e-4, high=1e-1,
                    sampler='tpe', storage=storage)
    driver = drive(said, tmp_path / 'error')
    assert kill_one(said['folder'], driver, 0.1, defaultdict(int))
    assert ended(driver, tmp_path / 'error') == ''
    study = study_of(said)
    assert len(study.jobs) == 4 and len(study.results) == 4
    found = optuna.load_study(study_name=study.nodes[0].name, storage=storage)
    assert [t.state.name for t in found.trials] == ['COMPLETE'] * 4
    assert sorted(float(f"{t.params['lr']:.3g}") for t in found.trials) == sorted(j.lr for j in study.jobs)


def test_workers_take_nothing_from_the_working_folder(cohort, tmp_path, monkeypatch):
    "A file there that is named like a library is not executed."
    (tmp_path / 'polars.py').write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    arms = dict(series='supervised(reads=series, epochs=1)', frozen='supervised(train=projection, epochs=1)')
    study = study_of(settings(tmp_path / 'lab', cohort, arms, runs=1))
    study.run(workers=2)
    assert len(study.results) == 2 and not (tmp_path / 'executed').exists()


WORDS = 'CHEST PAIN, Dr. Quorvane was told'
BROKEN = f"""
import lp_nb.{{module}}


def broken(*args, **more):
    raise ValueError('could not read {WORDS} of 30000417')


lp_nb.{{module}}.{{name}} = broken
"""


@pytest.mark.parametrize('module, name', (('learning.training', 'train_step'), ('study.work', 'Backlog.left')))
@pytest.mark.parametrize('debug', (False, True))
def test_an_exception_of_a_library_is_told_by_type_and_place(cohort, tmp_path, monkeypatch, module, name, debug):
    "In what the driver says, in the records of failures and in what a worker that cannot work leaves; the text with --debug only."
    (tmp_path / 'broken.py').write_text(BROKEN.format(module=module, name=name))
    monkeypatch.setenv('LPNB_USE', str(tmp_path / 'broken.py'))
    if debug:
        monkeypatch.setenv('LPNB_DEBUG', '1')
    study = study_of(settings(tmp_path / 'lab', cohort, dict(a='supervised(reads=series, epochs=1)', b='supervised(train=projection, epochs=1)'), runs=1))
    with pytest.raises(UserError) as e:
        study.run(workers=2)
    records = [p.read_text() for p in (tmp_path / 'lab').glob('failures/*.json')]
    assert 'ValueError' in str(e.value) and (debug or 'broken.py' in str(e.value)) and len(records) == 2 * (module == 'learning.training')
    for text in (str(e.value), *records):
        assert ('ValueError' in text) and ('Quorvane' in text) == ('30000417' in text) == debug


TWICE = """
import os, signal, sys
from lp_nb.study.engines import stop_on_signal
control, left = stop_on_signal(), [signal.SIGTERM] * 20

def again(frame, event, arg):  # at every line that runs while the flag is being set
    if left and event == 'line' and frame.f_code.co_name == 'set':
        os.kill(os.getpid(), left.pop())
    return again

sys.settrace(again)
os.kill(os.getpid(), signal.SIGTERM)
sys.settrace(None)
print('stops' if control.stop.is_set() and len(left) < 20 else 'goes on')
"""


def test_a_second_signal_may_come_while_the_first_is_heard():
    "SLURM, then whoever is impatient: a worker that hears SIGTERM again while it hears it is asked to stop, and does not wait for itself."
    done = subprocess.run([sys.executable, '-c', TWICE], capture_output=True, text=True, timeout=900, check=False)
    assert (done.stdout.strip(), done.returncode) == ('stops', 0), done.stderr[-2000:]
