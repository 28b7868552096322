"""Nothing is left on the CPU when everything else is on a device: each stage, its looks and scores, whole labs, measures. There is no
GPU here: `elsewhere.py` pretends one that refuses what a GPU refuses. What only a GPU can show, `device.py` measures there."""
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from device_steps import HALVED, STAGES

TESTS = Path(__file__).parent
# operators that torch names as without a repeatable form on CUDA, as they are called below the gradients
LOOSE = r'cumsum|bincount|histc|median|kthvalue|put_\b|take_backward|ctc_loss|grid_sampler|nll_loss2d|reflection_pad|replication_pad|upsample|adaptive|max_unpool|scatter_reduce'


def run(script: str, *arguments, seconds: int = 600):
    "A script of this folder in a process of its own."
    done = subprocess.run([sys.executable, str(TESTS / script), *map(str, arguments)], capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope='module')
def tried(tmp_path_factory) -> dict:
    "What came of everything that is tried elsewhere: in a process of its own, since torch counts its devices once."
    out = tmp_path_factory.mktemp('elsewhere') / 'tried.json'
    run('elsewhere.py', out)
    return json.loads(out.read_text())


def test_planted_faults_are_caught(tried):
    assert len(tried['planted']) == 9
    assert all(said for said in tried['planted'].values()), tried['planted']


@pytest.mark.parametrize('case', STAGES)
def test_a_step_of_a_stage(tried, case):
    "One update, the validation, the look and the predictions: nothing stays behind, and they are what the CPU makes of them."
    found = tried['steps'][case]
    assert 'error' not in found, found
    assert found['apart'] < 1e-4 and len(found['operators']) > 40, (found['apart'], found['of'])


@pytest.mark.parametrize('case', HALVED)
def test_a_step_in_half_precision(tried, case):
    found = tried['half'][case]
    assert 'error' not in found, found
    assert 1e-5 < found['apart'] < 0.2, (found['apart'], found['of'])


@pytest.mark.parametrize('part, most', [('measures', 1e-9), ('attention', 1e-5), ('lab', 0.1)])
def test_whoever_reads(tried, part, most):
    "Geometry and read-outs; ways to attend; labs with their kept results, layers, explanations and saved runs (their training parts in digits)."
    found = tried[part]
    assert 'error' not in found, found
    assert found['apart'] < most and len(found['operators']) > 15, (found['apart'], found['of'])


def test_training_uses_no_operator_that_a_gpu_cannot_repeat(tried):
    "As far as operators are the same there: a GPU has attention and an LSTM in kernels of its own."
    used = {name for part in ('steps', 'half') for found in tried[part].values() for name in found['operators']}
    weightless = {'aten.bincount.default'}  # of whole numbers: their sums have no order
    assert {name for name in used if re.search(LOOSE, name)} - weightless == set()


ROWS = dict(rates=1, steps=5, half=3, cached=1, resume=2, speed=18, memory=2, attention=4, embedding=4, geometry=2)


def test_the_script_for_a_gpu(tmp_path):
    "Its whole table with tiny sizes: every row is there, what is asked holds, nothing failed or ran out of time."
    out = tmp_path / 'device.json'
    table = run('device.py', '--small', '--device', 'h200', '--out', out)
    said = json.loads(out.read_text())
    rows = {part: [r for r in said['rows'] if r['part'] == part] for part in ROWS}
    assert said['machine']['model'] == 'h200' and 'cost model' in table
    for part, least in ROWS.items():
        assert [r for r in rows[part] if r['what'] in ('failed', 'out of time')] == []
        assert rows[part][-1]['what'] == 'took' and len(rows[part]) - 1 >= least, part
        for r in rows[part]:
            assert r['good'] in (None, True) and isinstance(r['note'], str) and r['unit'], r
            assert r['value'] is not None and r['value'] >= 0 or 'not here' in r['note'] or 'on a GPU only' in r['note'], r
    assert all(r['good'] for part in ('steps', 'half', 'cached', 'resume') for r in rows[part][:-1])
    assert all(r['model'] for r in rows['speed'] if r['unit'] == 'documents/s')


def test_a_part_that_runs_out_or_fails_says_so(tmp_path):
    out = tmp_path / 'device.json'
    code = f"""
import sys; sys.path[:0] = [{str(TESTS)!r}]
import time, device
def rates(here):
    yield device.row('one', 1.0, 's')
    time.sleep(30)
def cached(here):
    raise ValueError('broken')
device.rates, device.cached, device.PARTS = rates, cached, dict(rates=0.5, cached=5, geometry=5)
raise SystemExit(device.main(['--small', '--out', {str(out)!r}]))
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    rows = json.loads(out.read_text())['rows']
    assert done.returncode == 1, done.stderr[-2000:]
    assert [r['what'] for r in rows if r['part'] == 'rates'] == ['one', 'out of time', 'took']
    assert [r['note'] for r in rows if r['what'] == 'failed'] == ['ValueError: broken']
    assert len([r for r in rows if r['part'] == 'geometry']) == 3
