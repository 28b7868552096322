"The preset `medfuse` against an independent reading of the prior work's pipeline: the same samples, the same cells."
import os
from pathlib import Path

import edge_tables
import lineage
import numpy as np
import pytest

from lp_nb.data.cohort import build_cohort

DEMO = Path(os.environ.get('LPNB_MIMIC_DEMO', Path(__file__).parents[2] / 'shared' / 'data' / 'mimic-iv-demo'))
TASKS = ('mortality', 'phenotyping')


def samples(root, task):
    "stay_id -> what the prior work makes of it: episode name, period length, labels, (hours, 76) as they are and normalised."
    out = {}
    for episode in lineage.episodes(root):
        made = lineage.sample(episode, task)
        if made is not None:
            name = f'{episode["subject_id"]}_episode{episode["episode"]}_timeseries.csv'
            out[episode['stay_id']] = (name, made['period_length'], np.atleast_1d(made['y']).tolist(), made['X'])
    return out


def same(root, task, folder):
    "Build the cohort and compare every sample; the number of samples and of cells."
    expected = samples(root, task)
    if not expected:
        with pytest.raises(Exception, match='at least one stay'):
            build_cohort(root, task=task, preset='medfuse', out=folder)
        return 0, 0
    cohort = build_cohort(root, task=task, preset='medfuse', out=folder)
    stays, cells = cohort.stays, 0
    assert set(stays.index) == set(expected)
    for stay, (name, period, y, X) in expected.items():
        row = stays.loc[stay]
        assert f'{row.subject_id}_episode{row.episode}_timeseries.csv' == name
        assert row[cohort.labels].tolist() == y
        assert task == 'mortality' or row.period == period
        ours = cohort.features(stay)
        assert ours.shape == X.shape
        assert np.abs(ours - X).max() < 1e-6
        assert np.abs(cohort.features(stay, normalize=True) - lineage.normalise(X)).max() < 1e-6
        cells += X.size
    return len(expected), cells


@pytest.mark.skipif(not DEMO.exists(), reason=f'no MIMIC-IV demo at {DEMO} (set LPNB_MIMIC_DEMO)')
@pytest.mark.parametrize('task, stays', [('mortality', 54), ('phenotyping', 112)])
def test_the_open_demo(task, stays, tmp_path):
    assert same(DEMO, task, tmp_path / task)[0] == stays


@pytest.mark.parametrize('name', edge_tables.QUIRKS)
def test_one_rule_at_a_time(name, tmp_path):
    "A hand-made root for each rule, in one of the layouts, for both tasks."
    layout = ('v1', 'v2', 'v3')[list(edge_tables.QUIRKS).index(name) % 3]
    root = edge_tables.QUIRKS[name](tmp_path / 'root', layout=layout, lean=layout == 'v1')
    for task in TASKS:
        same(root, task, tmp_path / task)


@pytest.mark.parametrize('seed', range(12))
def test_all_rules_at_once(seed, tmp_path):
    "Random roots in which ties, words, odd identifiers and edges meet."
    root = edge_tables.random_root(tmp_path / 'root', seed, layout=('v1', 'v2', 'v3')[seed % 3])
    assert sum(same(root, task, tmp_path / task)[0] for task in TASKS) > 0

