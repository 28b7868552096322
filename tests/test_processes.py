"A batch is a batch: two processes, or pieces of three examples, give the update that one process makes of the whole."

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lp_nb.cohort import example_cohort

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
