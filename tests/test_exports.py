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
from lp_nb.stays import PRESETS

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


COMA = {'GCS eye': 4, 'GCS motor': 6, 'GCS verbal': 5}  # highest score


@pytest.mark.parametrize('task', ['mortality', 'phenotyping'])
@pytest.mark.parametrize('preset', list(PRESETS))
def test_coma_scores_are_scores_in_every_format(preset, task, tmp_path):
    "Numbers lie in the scale's own range and are those of the same rules with scores; the benchmark's files hold its words."
    words = ('categories', 'scores') if preset != 'clean' else ('scores',)
    cohorts = [build_cohort(SAMPLE, task=task, preset=preset, words=w, out=tmp_path / w, work=tmp_path / 'work') for w in words]
    tables = [pd.read_csv(export(c, 'csv', tmp_path / f'csv{k}') / 'series.csv') for k, c in enumerate(cohorts)]
    for table in tables:
        assert table[list(COMA)].notna().any().all()
        for name, most in COMA.items():
            assert table[name].dropna().between(1, most).all(), name
        assert table['GCS total'].equals(table[list(COMA)].sum(axis=1, skipna=False).rename('GCS total'))
        assert np.allclose(table, tables[0], equal_nan=True)
    events = pd.concat(map(pd.read_parquet, export(cohorts[0], 'meds', tmp_path / 'meds').glob('data/*/*.parquet')))
    for name, most in (COMA | {'GCS total': 15}).items():
        values = events[events['code'] == f'{name}//score']['numeric_value']
        assert len(values) and values.between(3 if name == 'GCS total' else 1, most).all(), name
    for file in export(cohorts[0], 'mimic3-benchmarks', tmp_path / 'theirs').glob('**/*_episode*.csv'):
        episode = pd.read_csv(file, keep_default_na=False, dtype=str)
        for channel in ('Glascow coma scale eye opening', 'Glascow coma scale motor response', 'Glascow coma scale verbal response'):
            assert set(episode[channel]) <= {'', *lineage.CHANNELS[channel][1]}, channel


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
