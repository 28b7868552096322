"Whose a row is, and when: hand-made stays that overlap, rows in the wrong year, patients who left before the prediction."
import edge_tables as E
import numpy as np
import pytest

from lp_nb.data.cohort import build_cohort
from lp_nb.data.series import PLACE

OVERLAP = [E.stay(1, 0, 72), E.stay(2, 24, 120, subject_id=101)]  # one patient, two admissions


def heart(cohort, stay, hour):
    "The heart rate of a stay in an hour."
    values, offsets, _ = cohort.arrays
    return float(values[offsets[cohort.stays.index.get_loc(stay)] + hour, PLACE['Heart rate']])


def outside(cohort):
    "Reason -> rows of the step that places events."
    step = cohort.ledger.query("unit == 'events' and step == 'window' and rows > 0")
    return dict(zip(step['reason'], step['rows']))


def built(root, tmp_path, **switches):
    return build_cohort(root, out=tmp_path / 'cohort', **{'missing_report': 'keep', **switches})


def test_overlapping_stays_share_no_value(tmp_path):
    rows = [E.chart(E.HEART, '80', h + 0.5, 1) for h in range(72)]
    rows += [E.chart(E.HEART, '120', h + 0.5, 2, subject_id=101) for h in range(24, 144)]
    labs = [E.lab(E.LAB_GLUCOSE, '90', 30, 1), E.lab(E.LAB_GLUCOSE, '300', 31, 2, subject_id=101)]
    made = built(E.root_of(tmp_path / 'root', rows, labs, stays=OVERLAP), tmp_path)
    assert (heart(made, 30001, 10), heart(made, 30001, 30), heart(made, 30002, 0)) == (80, 80, 120)
    glucose = made.series(normalize=False)[0][:, PLACE['Glucose']]
    first, second = (glucose[a:b] for a, b in zip(made.arrays[1][:-1], made.arrays[1][1:]))
    assert first[40] == 90 and second[20] == 300  # a laboratory value names its admission
    assert outside(made) == {'kept': 48 + 48 + 2, 'after the window or between stays': 24 + 72}


def test_a_wrong_year_is_in_no_stay(tmp_path):
    "Charted in the first stay, typed into the days of the second."
    stays = [E.stay(1, 0, 72), E.stay(2, 8760, 72, subject_id=101)]
    rows = [E.chart(E.HEART, '80', 1, 1), E.chart(E.HEART, '200', 8765, 1), E.chart(E.HEART, '90', 8761, 2, subject_id=101)]
    made = built(E.root_of(tmp_path / 'root', rows, stays=stays), tmp_path)
    assert heart(made, 30002, 1) == 90 and np.isnan(heart(made, 30002, 5))
    assert outside(made) == {'kept': 2, 'outside the time of the stay that it names': 1}


@pytest.mark.parametrize('left_out', ['stay_id', 'hadm_id'])
def test_time_decides_where_nothing_is_named(tmp_path, left_out):
    "A row that names no stay goes by its admission, and one that names neither by patient and time."
    nothing = dict(stay_id='', hadm_id='') if left_out == 'hadm_id' else dict(stay_id='')
    rows = [E.chart(E.HEART, '80', 1, 1), E.chart(E.HEART, '120', 25, 2, subject_id=101), E.chart(E.HEART, '95', 30.5, 1, **nothing)]
    made = built(E.root_of(tmp_path / 'root', rows, stays=OVERLAP), tmp_path)
    assert heart(made, 30001, 30) == 95 and (heart(made, 30002, 6) == 95) == (left_out == 'hadm_id')


def test_a_stay_that_is_not_in_the_cohort_keeps_its_rows(tmp_path):
    "The transfer stay of the same days has left; its values are nobody's."
    stays = [E.stay(1, 0, 72), E.stay(2, 24, 120, subject_id=101, **E.TRANSFER)]
    rows = [E.chart(E.HEART, '80', 1, 1), E.chart(E.HEART, '120', 30, 2, subject_id=101)]
    made = built(E.root_of(tmp_path / 'root', rows, stays=stays), tmp_path)
    assert np.isnan(heart(made, 30001, 30))
    assert outside(made) == {'kept': 1, 'of another stay or admission': 1}


DEATHS = {  # what is recorded of a patient whose bed was booked free at hour 60 -> why the stay is out
    'time of death': (dict(deathtime=E.clock(40), dischtime=E.clock(40)), '', 'died within the window'),
    'discharge only': (dict(dischtime=E.clock(40), hospital_expire_flag=1, discharge_location='DIED'), '', 'left the hospital within the window'),
    'went home': (dict(dischtime=E.clock(47)), '', 'left the hospital within the window'),
    'date of death': (dict(dischtime=E.clock(200), hospital_expire_flag=1), E.clock(20)[:10], 'died within the window'),
    'died after it': (dict(dischtime=E.clock(60), deathtime=E.clock(60)), E.clock(60)[:10], '')}


@pytest.mark.parametrize('preset', ['clean', 'medfuse'])
def test_who_left_before_the_prediction_is_not_predicted(preset, tmp_path):
    many = range(1, len(DEATHS) + 1)
    admissions = [{**E.ids(k), 'admittime': E.clock(-6), **said} for k, (said, _, _) in zip(many, DEATHS.values())]
    patients = [{'subject_id': E.ids(k)['subject_id'], 'dod': dod} for k, (_, dod, _) in zip(many, DEATHS.values())]
    root = E.write_root(tmp_path / 'root', icustays=[E.stay(k, 0, 60) for k in many], admissions=admissions, patients=patients,
                        diagnoses_icd=[E.diagnosis('N179', k) for k in many], chartevents=[E.chart(E.HEART, '80', 1, k) for k in many])
    made = built(root, tmp_path, preset=preset)
    why = {k: made.why(30000 + k).removeprefix('window: ') for k in many}
    right = {k: why for k, (_, _, why) in zip(many, DEATHS.values()) if why} if preset == 'clean' else {}  # the prior work keeps them
    assert {k: said for k, said in why.items() if not said.startswith('in the cohort')} == right
