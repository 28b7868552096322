"What is handed on: MEDS by its own schemas, the benchmark's folder as the prior work writes it."
import json
import os
from pathlib import Path

import lineage
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from lp_nb.cohort import build_cohort
from lp_nb.sharing import export

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / 'data' / 'sample'
DEMO = Path(os.environ.get('LPNB_MIMIC_DEMO', ROOT.parent / 'shared' / 'data' / 'mimic-iv-demo'))


@pytest.mark.parametrize('task', ['mortality', 'phenotyping'])
def test_meds_holds_to_the_standard(task, tmp_path):
    from meds import CodeMetadataSchema, DatasetMetadataSchema, DataSchema, LabelSchema, SubjectSplitSchema

    out = export(build_cohort(SAMPLE, task=task, out=tmp_path / 'cohort'), 'meds', tmp_path / 'meds')
    for pattern, schema in (('data/*/*.parquet', DataSchema), ('labels/*/*.parquet', LabelSchema),
                            ('metadata/codes.parquet', CodeMetadataSchema), ('metadata/subject_splits.parquet', SubjectSplitSchema)):
        files = sorted(out.glob(pattern))
        assert files
        for file in files:
            schema.validate(pq.read_table(file))
    DatasetMetadataSchema.validate(json.loads((out / 'metadata/dataset.json').read_text()))


@pytest.mark.skipif(not DEMO.exists(), reason=f'no MIMIC-IV demo at {DEMO} (set LPNB_MIMIC_DEMO)')
def test_the_benchmark_folder_is_that_of_the_prior_work(tmp_path):
    "The same list of files, lengths and labels, and the same numbers at the same times."
    cohort = build_cohort(DEMO, task='mortality', preset='medfuse', out=tmp_path / 'cohort')
    out = export(cohort, 'mimic3-benchmarks', tmp_path / 'out')
    expected = {}
    for episode in lineage.episodes(DEMO):
        made = lineage.sample(episode, 'mortality')
        if made is not None:
            expected[f'{episode["subject_id"]}_episode{episode["episode"]}_timeseries.csv'] = (episode, made)
    listed = pd.concat(pd.read_csv(out / part / 'listfile.csv') for part in ('train', 'test')).set_index('stay')
    assert set(listed.index) == set(expected)
    for name, (episode, made) in expected.items():
        row = listed.loc[name]
        assert (row['period_length'], row['stay_id'], row['y_true']) == (0, episode['stay_id'], made['y'])
        ours = pd.read_csv(next(out.glob(f't*/{name}')), keep_default_na=False, na_values=[''])
        theirs = made['rows'].reset_index(drop=True)
        assert list(ours.columns) == list(theirs.columns) and len(ours) == len(theirs)
        for column in ours:
            a, b = (pd.to_numeric(x[column], errors='coerce') for x in (ours, theirs))
            assert np.allclose(a, b, rtol=0, atol=1e-6, equal_nan=True), (name, column)
            assert (ours[column].astype(object).fillna('')[a.isna()] == theirs[column].astype(object).fillna('')[a.isna()]).all(), (name, column)
