"What a user adds reaches other processes: the workers of a study, and the commands of a shell."
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lp_nb.data.cohort import example_cohort

MINE = '''from dataclasses import dataclass

from torch import nn

from lp_nb.learning.autoencoding import Autoencode
from lp_nb.learning.encoders import add_series_encoder
from lp_nb.learning.plans import add_stage
from lp_nb.measures.readouts import add_measure


@add_stage('squeeze', version=VERSION)
@dataclass(frozen=True)
class Squeeze(Autoencode):
    "An autoencoder with a narrow code."

    latent: int = 4


@add_series_encoder('mean_hour', version=1)
class MeanHour(nn.Module):
    "The mean over the hours."

    def __init__(self, features, config):
        super().__init__()
        self.out = nn.Linear(features, config.series_hidden)

    def forward(self, batch):
        return self.out(batch.values.sum(1) / batch.hours.to(batch.values.device)[:, None])


@add_measure('first_axis', version=1)
def first_axis(h, y, seed):
    "Share of the variance along the first axis."
    return h.var(0)[0] / h.var(0).sum()
'''
DRIVER = '''
import sys
from lp_nb.data.cohort import example_cohort
from lp_nb.core import UserError
from lp_nb.learning.encoders import EncoderConfig
from lp_nb.plugins import use
from lp_nb.study.search import Search
from lp_nb.study.sweeps import Study, open_study

folder, mine = sys.argv[1:]
use(mine)
cohort = example_cohort('phenotyping', patients=300)
tiny = EncoderConfig(width=16, layers=1, heads=2, vocab_size=300, dim=16, series_hidden=16, series='mean_hour')
arms = dict(a='squeeze(epochs=1) > supervised(reads=series, epochs=1)', b='supervised(reads=series, epochs=1)')
study = Study(folder, dict(phenotyping=cohort), arms, Search(1), encoder=tiny, probe_stays=100, points=2)
print(len(study.run(workers=2).results), 'runs')
path = __import__('pathlib').Path(mine)
path.write_text(path.read_text().replace("'squeeze', version=1", "'squeeze', version=2"))
del sys.modules['mine']
use(mine)
try:
    open_study(folder)
except UserError as e:
    print(e)
'''


@pytest.fixture(scope='module')
def mine(tmp_path_factory):
    "A file with a stage, an encoder and a measure."
    path = tmp_path_factory.mktemp('own') / 'mine.py'
    path.write_text(MINE.replace('VERSION', '1'))
    return path


def ran(*command):
    "A finished process."
    env = dict(os.environ, OMP_NUM_THREADS='1', LPNB_QUIET='1', HF_HUB_OFFLINE='1')
    return subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True, check=False, timeout=300)


def test_a_shell_command_knows_what_it_is_told_to_use(mine, tmp_path):
    cohort = example_cohort('phenotyping', patients=300).dir
    command = Path(sys.executable).parent / 'lp-nb'
    told = ['run', 'squeeze(epochs=1, latent=3)', '--cohort', cohort, '--lab', tmp_path / 'lab']
    refused = ran(command, *told)
    assert refused.returncode == 2 and 'import what adds it' in refused.stderr, refused.stderr
    done = ran(command, '--use', mine, *told)
    assert done.returncode == 0, done.stderr
    assert 'squeeze(epochs=1, latent=3)' in done.stdout, done.stdout


def test_workers_import_the_file_and_refuse_another_version(mine, tmp_path):
    done = ran(sys.executable, '-c', DRIVER, tmp_path / 'lab', mine)
    assert done.returncode == 0, done.stderr
    assert '2 runs' in done.stdout
    assert 'own stage squeeze 2 where study-' in done.stdout and 'has 1' in done.stdout, done.stdout
