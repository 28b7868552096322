"A killed run, asked for again, ends with the same bytes as one that was never disturbed."
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from safetensors.torch import load_file

from lp_nb.cohort import build_cohort

ROOT = Path(__file__).parents[1]
PLAN = 'mlm(epochs=3) > contrastive(epochs=3) > supervised(epochs=3)'
CHILD = '''
import sys
from lp_nb.cohort import Cohort
from lp_nb.encoders import EncoderConfig
from lp_nb.lab import Lab
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
