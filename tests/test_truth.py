"The hospital knows what it wrote: hourly values come back, and every planted flaw is counted."
import numpy as np
import polars as pl
import pytest

from lp_nb.data.cohort import build_cohort
from lp_nb.data.hospital import emitted, make_hospital, planted
from lp_nb.data.people import HospitalConfig
from lp_nb.data.series import PLACE, VARIABLES

EVERYBODY = dict(window='whole', transfers='keep', stays_per_admission='all', missing_report='keep', no_diagnosis='negative',
                 empty_series='keep')
BOUNDS = {v.name: (v.low, v.high) for v in VARIABLES}


@pytest.fixture(scope='module')
def hospital(tmp_path_factory):
    "A small hospital with as many rows of other items as of the variables."
    return make_hospital(tmp_path_factory.mktemp('truth') / 'hospital', HospitalConfig(patients=80, general=0, other_items=1.0))


@pytest.fixture(scope='module')
def everybody(hospital, tmp_path_factory):
    "A cohort that leaves nobody out and takes whole stays."
    return build_cohort(hospital, task='phenotyping', out=tmp_path_factory.mktemp('all') / 'cohort', **EVERYBODY)


def cells(cohort, truth):
    "(extracted, emitted, touched by a number that no rule can recognise) for every cell of the cohort that has a truth."
    values, offsets, before = cohort.arrays
    row = dict(zip(cohort.stays.index, range(len(cohort.stays))))
    truth = truth.filter(pl.col('stay_id').is_in(list(row)))
    i = np.array([row[s] for s in truth['stay_id']])
    variable, hour = np.array([PLACE[v] for v in truth['variable']]), truth['hour'].to_numpy()
    inside = hour < np.diff(offsets)[i]
    i, variable, hour = i[inside], variable[inside], hour[inside]
    ours = np.where(hour < 0, before[i, variable], values[offsets[i] + np.maximum(hour, 0), variable])
    theirs = truth['value'].fill_null(np.nan).to_numpy()[inside]
    absurd = truth['flaw'].fill_null('').str.contains('absurd').to_numpy()[inside]
    charted = int((~np.isnan(values)).sum() + (~np.isnan(before)).sum())
    return ours, theirs, absurd, charted


@pytest.mark.parametrize('task', ['mortality', 'phenotyping'])
def test_hourly_values_come_back(hospital, task, tmp_path):
    "Every hour of every variable is what the hospital emitted, and nothing else is there."
    cohort = build_cohort(hospital, task=task, out=tmp_path / task)
    ours, theirs, absurd, charted = cells(cohort, emitted(hospital))
    sound = ~absurd
    assert sound.sum() > 10_000
    assert np.array_equal(np.isnan(ours[sound]), np.isnan(theirs[sound]))
    assert np.nanmax(np.abs(ours[sound] / theirs[sound] - 1)) < 1e-6
    assert charted == int((~np.isnan(ours)).sum())


def test_whole_stays_come_back(hospital, everybody):
    ours, theirs, absurd, _ = cells(everybody, emitted(hospital))
    assert np.allclose(ours[~absurd], theirs[~absurd], rtol=1e-6, atol=0, equal_nan=True)
    assert (~np.isclose(ours[absurd], theirs[absurd], rtol=1e-6, equal_nan=True)).sum() <= absurd.sum()


def test_every_planted_number_is_counted(hospital, everybody):
    "Per variable: masked texts, and numbers out of bounds."
    flaws, found = planted(hospital), everybody.quality.set_index('variable')
    for variable in found.index:
        mine = flaws.filter(pl.col('variable') == variable)
        count = lambda flaw: int(mine.filter(pl.col('flaw') == flaw)['rows'].sum())
        low, high = BOUNDS[variable]
        absurd = [(float(n), rows) for n, rows in mine.filter(pl.col('flaw') == 'absurd number').select('number', 'rows').iter_rows()]
        if variable == 'Oxygen saturation':
            absurd = [(100 * n if n <= 1 else n, rows) for n, rows in absurd]
        outside = sum(rows for n, rows in absurd if not low <= n <= high)
        assert found.loc[variable, 'masked_text'] == count('masked text'), variable
        assert found.loc[variable, 'out_of_range'] == outside + count('impossible number') + count('no breath'), variable


def test_every_planted_row_is_counted(hospital, everybody):
    "Rows of other items and specimens, repeated reports, empty ones."
    flaws, ledger = planted(hospital), everybody.ledger.set_index('reason')['rows']
    count = lambda table, flaw: int(flaws.filter((pl.col('table') == table) & (pl.col('flaw') == flaw))['rows'].sum())
    assert ledger['urine or other fluid'] == count('hosp/labevents', 'other specimen')
    assert ledger['exact duplicate within the stay'] == count('note/radiology', 'copy')
    assert ledger['empty'] == count('note/radiology', 'blank')
    assert ledger['another item'] > 50_000
