"Every preset, task and layout: the build passes its audit, the ledger balances, and the layout makes no difference."
import gzip
import os
from pathlib import Path

import edge_tables
import polars as pl
import pytest

from lp_nb.data.cohort import Cohort, build_cohort
from lp_nb.privacy import mark_synthetic
from lp_nb.learning.lab import Lab
from lp_nb.data.sharing import verify_export
from lp_nb.data.stays import RULE_PRESETS

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / 'data' / 'sample'
DEMO = Path(os.environ.get('LPNB_MIMIC_DEMO', ROOT.parent / 'shared' / 'data' / 'mimic-iv-demo'))
TASKS = ('mortality', 'phenotyping')


def tables(folder):
    "Path below the folder -> frame of text, for every table of the sample."
    return {p.relative_to(folder): pl.read_csv(p, infer_schema=False) for p in folder.rglob('*.csv.gz') if p.parent.name != 'general'}


def as_v1(source, out):
    "core/ for patients and admissions, ethnicity for race, plain csv."
    for path, frame in tables(source).items():
        core = path.name in ('patients.csv.gz', 'admissions.csv.gz')
        to = out / ('core' if core else path.parent) / path.name.removesuffix('.gz')
        to.parent.mkdir(parents=True, exist_ok=True)
        frame.rename(dict(race='ethnicity'), strict=False).write_csv(to)


def as_v3(source, out):
    "The layout of release 2, as parquet."
    for path, frame in tables(source).items():
        (out / path.parent).mkdir(parents=True, exist_ok=True)
        frame.write_parquet(out / path.parent / path.name.replace('.csv.gz', '.parquet'))


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    "The sample in three layouts; each says that it is synthetic."
    home = tmp_path_factory.mktemp('layouts')
    for name, write in (('v1', as_v1), ('v3', as_v3)):
        write(SAMPLE, home / name)
        mark_synthetic(home / name)
    return dict(v2=SAMPLE, v1=home / 'v1', v3=home / 'v3')


def balanced(cohort):
    steps = cohort.ledger.groupby(['unit', 'step'])
    return bool((steps['rows'].sum() == steps['rows_in'].first()).all())


@pytest.mark.parametrize('task', TASKS)
@pytest.mark.parametrize('preset', RULE_PRESETS)
def test_the_layout_makes_no_difference(roots, preset, task, tmp_path):
    made = {name: build_cohort(root, task=task, preset=preset, out=tmp_path / name, corpus=[]) for name, root in roots.items()}
    for cohort in made.values():
        assert balanced(cohort) and len(verify_export(cohort.dir)) > 5
    data = [{k: v for k, v in c.manifest['files'].items() if k != 'corpus.parquet'} for c in made.values()]
    assert data[0] == data[1] == data[2]


@pytest.mark.skipif(not DEMO.exists(), reason=f'no MIMIC-IV demo at {DEMO} (set LPNB_MIMIC_DEMO)')
@pytest.mark.parametrize('task', TASKS)
@pytest.mark.parametrize('preset', RULE_PRESETS)
def test_the_open_demo(preset, task, tmp_path):
    cohort = build_cohort(DEMO, task=task, preset=preset, out=tmp_path / 'demo')
    assert balanced(cohort) and verify_export(cohort.dir)
    assert len(cohort.stays) == dict(mortality=54, phenotyping=112)[task]
    assert all(known['agrees'] for known in cohort.manifest['oracles'])


@pytest.mark.parametrize('packed', [False, True])
def test_a_name_is_no_pattern(tmp_path, packed):
    "A folder with brackets, stars or question marks in its name is that folder, for reading and for writing, and never its neighbour."
    for name, rate in (('mimic[2]', '80'), ('mimic2', '120'), ('mimic*', '90')):
        edge_tables.root_of(tmp_path / name, [edge_tables.chart(edge_tables.HEART, rate, h) for h in range(4)])
        if packed:
            for path in (tmp_path / name).rglob('*.csv'):
                path.with_name(path.name + '.gz').write_bytes(gzip.compress(path.read_bytes()))
                path.unlink()
    for name, rate in (('mimic[2]', 80), ('mimic*', 90)):
        made = build_cohort(tmp_path / name, out=tmp_path / 'out[2]' / name, work=tmp_path / 'work[2]?', missing_report='keep')
        values, _, _ = Cohort.load(tmp_path / 'out[2]' / name).arrays
        assert values[0, 3] == rate
        assert made.audit()


def test_home_is_home_everywhere(tmp_path, monkeypatch):
    "A leading ~ is the home folder at every door."
    monkeypatch.setenv('HOME', str(tmp_path))
    edge_tables.root_of(tmp_path / 'mimic', [edge_tables.chart(edge_tables.HEART, '80', h) for h in range(4)])
    build_cohort('~/mimic', out='~/cohort', work='~/work', missing_report='keep')
    assert Cohort.load('~/cohort').dir == tmp_path / 'cohort'
    assert Lab('~/lab', Cohort.load('~/cohort')).folder == tmp_path / 'lab'
    assert not [p for p in Path.cwd().iterdir() if p.name == '~']
