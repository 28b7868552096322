"""The benchmarks of `limits.py` run, at sizes that tell nothing of speed; and what they compare is the same."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAID = dict(page='judge: every table of the page', lab='gc, dry run, some plans stay', growth='build_cohort', step='of the roofline',
            frozen='of which the heads')


@pytest.mark.parametrize('part', SAID)
def test_part_runs(part):
    env = os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, [str(ROOT), os.environ.get('PYTHONPATH')]))}
    done = subprocess.run([sys.executable, str(ROOT / 'tests' / 'limits.py'), '--small', part], env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    assert SAID[part] in done.stdout
