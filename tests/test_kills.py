"Every stage, killed with SIGKILL at random moments and started again, ends in the same bytes as if nothing had happened."

import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from lp_nb.learning.autoencoding import Autoencode
from lp_nb.data.cohort import example_cohort
from lp_nb.learning.contrastive import Contrastive, SimCSE
from lp_nb.learning.encoders import EncoderConfig, build_towers
from lp_nb.learning.mlm import MLM
from lp_nb.learning.supervised import Supervised, bundle
from lp_nb.learning.inputs import learning_data
from lp_nb.learning.stage import stay_vectors, weights
from lp_nb.learning.training import Trainer, fit, history

ENCODER = EncoderConfig(width=32, layers=1, vocab_size=600, dim=24, series_hidden=24)
KILLS = 2  # of each stage, at least
LOOP = dict(epochs=2, patience=2, lr=1e-3)
STAGES = {
    'mlm': MLM(words='whole', corpus='reports', batch=8, **LOOP),
    'simcse': SimCSE(**LOOP),
    'autoencode': Autoencode(**LOOP),
    'infonce': Contrastive(micro=8, mask='patient', **LOOP),
    'cosine': Contrastive(loss='cosine', train='projection', frozen_dropout=True, schedule='plateau', plateau=1, **LOOP),
    'supcon': Contrastive(loss='supcon', **LOOP),
    'vicreg': Contrastive(loss='vicreg', train='last', last=1, **LOOP),
    'joint': Contrastive(mlm=0.5, **LOOP),
    'supervised': Supervised(schedule='cosine', warmup=0.1, weight_decay=0.01, **LOOP),
    'adapters': Supervised(train='lora', rank=2, reads='both', **LOOP),
    'validate first': Supervised(reads='series', validate_first=True, schedule='plateau', beta2=0.9, **LOOP),
    'bundle': [Supervised(train='projection', epochs=12, patience=3, lr=lr) for lr in (1e-3, 1e-2, 3e-5)],
    'fused': Supervised(reads='both', fusion='lstm', labels=0.8, draw=1, **LOOP),
    'fused bundle': [Supervised(train='projection', reads='both', fusion='lstm', epochs=12, patience=3, lr=lr) for lr in (1e-3, 1e-2)],
}


@pytest.fixture(scope='module')
def data():
    torch.set_num_threads(1)
    found = learning_data(example_cohort('phenotyping'), ENCODER)
    few = found.positions('train')[::14]  # fewer stays: the moments matter here, not the result
    split = found.cohort.stays['split'].to_numpy().copy()
    split[np.setdiff1d(found.positions('train'), few)] = 'unused'
    cohort = type(found.cohort).__new__(type(found.cohort))
    cohort.__dict__.update(found.cohort.__dict__)
    cohort.__dict__['stays'] = found.cohort.stays.assign(split=split)
    return replace(found, cohort=cohort)


def train(data, stage, folder: Path):
    "One attempt; the weights of every member and the histories at its end."
    towers, stages = build_towers(ENCODER, data.values.shape[1], 0), stage if isinstance(stage, list) else [stage]
    objective = bundle(stages, towers, data, 0) if len(stages) > 1 else stages[0].objective(towers, data, 0)
    trainer = fit(Trainer(objective, stages[0], 0, folder / 'checkpoint', save_every=0.1, probe=lambda: stay_vectors(objective, data, np.arange(8), stages[0].embeds)))
    for k in range(objective.members):
        save_file(weights(objective.member(k)), folder / f'{k}.safetensors')
        history(trainer, k).drop(columns=['seconds', 'throughput', 'memory_gb']).to_parquet(folder / f'{k}.parquet')
    save_file({str(k): torch.from_numpy(v.copy()) for k, v in trainer.probes.items()}, folder / 'probes.safetensors')
    (folder / 'done').touch()


def attempt(data, stage, folder: Path, seconds: float | None) -> bool:
    "Train in a process of its own, killed after `seconds`; whether it was killed."
    process = multiprocessing.get_context('fork').Process(target=train, args=(data, stage, folder))
    process.start()
    process.join(seconds)
    killed = process.is_alive()
    if killed:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert killed or process.exitcode == 0
    return killed


def killed_until_done(data, stage, folder: Path, length: float, draw: random.Random) -> int:
    "Train with kills on the way; how many there were before it came to its end."
    folder.mkdir()
    kills = 0
    while not (folder / 'done').exists():
        kills += attempt(data, stage, folder, draw.uniform(0.2, 0.45) * length if kills < KILLS else None)
    return kills


@pytest.mark.parametrize('name', STAGES)
def test_a_killed_stage_ends_as_if_nothing_had_happened(name, data, tmp_path):
    whole = tmp_path / 'whole'
    whole.mkdir()
    start = time.monotonic()
    assert not attempt(data, STAGES[name], whole, None)
    length, draw = time.monotonic() - start, random.Random(name)
    for halves in range(5):  # a machine that has become faster ends before it is killed: try again, earlier
        hurt = tmp_path / f'hurt{halves}'
        if killed_until_done(data, STAGES[name], hurt, length / 2**halves, draw) >= KILLS:
            break
    else:
        pytest.fail(f'over before {KILLS} kills, five times')
    for path in sorted(whole.glob('*.safetensors')):
        assert path.read_bytes() == (hurt / path.name).read_bytes(), path.name
    for path in whole.glob('*.parquet'):
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(hurt / path.name), check_exact=True)
