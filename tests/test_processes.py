"A batch is a batch: two processes, or pieces of three examples, give the update that one process makes of the whole."

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lp_nb.data.cohort import build_cohort, example_cohort
from lp_nb.folders import read_json

ROOT = Path(__file__).parents[1]
TOLERANCE = 1e-6  # of the largest entry of each gradient, in float64
LAUNCH = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node']


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> dict:
    "Losses and gradients of one update of every stage, by the number of processes."
    out, cohort = tmp_path_factory.mktemp('steps'), str(example_cohort('phenotyping').dir)
    script = str(Path(__file__).parent / 'steps.py')
    found = {}
    for processes in (1, 2):
        path = out / f'{processes}.safetensors'
        run = subprocess.run([*LAUNCH, str(processes), script, cohort, str(path)], capture_output=True, text=True, timeout=600)
        assert run.returncode == 0, run.stderr[-3000:]
        found[processes] = load_file(path)
        found[f'lab of {processes}'] = Path(f'{path}.lab')
    return found


def apart(a, b) -> float:
    "Largest difference as a share of the largest entry."
    return float((a - b).abs().max() / max(b.abs().max(), 1e-6))


def test_two_processes_make_the_update_of_one(made):
    assert made[1].keys() == made[2].keys()
    worst = {key: apart(made[2][key], x) for key, x in made[1].items()}
    assert max(worst.values()) < TOLERANCE, sorted(worst.items(), key=lambda kv: -kv[1])[:5]


def test_pieces_make_the_update_of_the_whole(made):
    whole = {key: x for key, x in made[1].items() if 'micro None' in key}
    worst = {key: apart(made[1][key.replace('micro None', 'micro 3')], x) for key, x in whole.items()}
    assert len(worst) > 100 and max(worst.values()) < TOLERANCE, sorted(worst.items(), key=lambda kv: -kv[1])[:5]


def test_a_plan_on_two_processes_is_the_plan_on_one(made):
    stages = [{p.name: p for p in (made[f'lab of {n}'] / 'stages').iterdir() if (p / 'result.json').exists()} for n in (1, 2)]
    assert stages[0].keys() == stages[1].keys() and len(stages[0]) == 3
    for address, path in stages[0].items():
        one, two = (load_file(p / 'model.safetensors') for p in (path, stages[1][address]))
        assert max(float((one[k] - two[k]).abs().max()) for k in one) < 1e-2  # single precision through two epochs of Adam
        assert not (made['lab of 2'] / 'unfinished' / address).exists()


def wait_until(child, happened, seconds=240):
    "Wait until something happens while a process runs."
    limit = time.monotonic() + seconds
    while not happened():
        assert child.poll() is None and time.monotonic() < limit, child.stderr.read()
        time.sleep(0.05)


@pytest.mark.parametrize('one, whom', [(signal.SIGTERM, 'torchrun'), (signal.SIGHUP, 'torchrun'), (signal.SIGTERM, 'all'), (signal.SIGTERM, 'last')])
def test_a_signal_saves_where_two_processes_are(tmp_path, one, whom):
    "Sent to torchrun, to everybody, or to the process that writes nothing: both stop after the same step, which is in the checkpoint."
    cohort, lab = build_cohort(ROOT / 'data' / 'sample', task='mortality', out=tmp_path / 'cohort').dir, tmp_path / 'lab'
    plan = 'supervised(reads=series, epochs=100000, patience=100000)'
    env = dict(os.environ, OMP_NUM_THREADS='1', LPNB_QUIET='1')
    child = subprocess.Popen([*LAUNCH, '2', '-m', 'lp_nb', 'run', plan, '--cohort', str(cohort), '--lab', str(lab)], env=env, stderr=subprocess.PIPE, text=True)
    try:
        heartbeat = lambda: [int(p.read_text().split()[0]) for p in lab.glob('unfinished/[!.]*.step')]
        wait_until(child, lambda: max(heartbeat(), default=0) > 3)
        seen, workers = max(heartbeat()), [int(p) for p in Path(f'/proc/{child.pid}/task/{child.pid}/children').read_text().split()]
        assert len(workers) == 2
        for pid in dict(torchrun=[child.pid], all=[*workers, child.pid], last=workers[-1:])[whom]:
            os.kill(pid, one)
        said = child.communicate(timeout=90)[1]
    finally:
        child.kill()
    assert child.returncode and said.count('interrupted') >= 2
    assert [read_json(p)['at']['step'] >= seen for p in lab.glob('unfinished/*/position.json')] == [True]
    assert not list(lab.glob('unfinished/*.holder')) and not list(lab.glob('unfinished/.*.new-*'))
