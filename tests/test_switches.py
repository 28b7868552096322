"Each switch of the prior work alone, on a hand-made table that shows it."
import edge_tables
import numpy as np
import pytest

from lp_nb.data.cohort import build_cohort
from lp_nb.data.stays import CHOICES, MEDFUSE, PAPER_RULES, make_rules

SHOWN_BY = dict(  # switch -> (root, task)
    event_owner=('lab_without_admission', 'phenotyping'), value_from=('masked_labs', 'phenotyping'),
    fluids=('other_fluids', 'phenotyping'), gcs_none=('coma_words', 'phenotyping'), fio2=('oxygen_fraction', 'phenotyping'),
    temperature=('temperature_79', 'phenotyping'), height=('height_in_inches', 'phenotyping'),
    pounds=('weight_in_pounds', 'phenotyping'), bounds=('oxygen_fraction', 'phenotyping'), ties=('ties_as_text', 'phenotyping'),
    hour_edge=('window_edges', 'mortality'), history=('height_before_intime', 'phenotyping'), words=('coma_words', 'phenotyping'),
    start=('coma_words', 'phenotyping'), scale=('coma_words', 'phenotyping'), age_at=('anchor_age', 'phenotyping'),
    los_from=('missing_length', 'phenotyping'), window=('whole_stay', 'phenotyping'), death_from=('death_on_discharge_day', 'mortality'),
    death_in_window=('death_recorded_early', 'mortality'), codes=('mapped_codes', 'phenotyping'),
    code_book=('code_missing_from_dictionary', 'phenotyping'), no_diagnosis=('no_diagnosis', 'mortality'))


def whole_stay(folder):
    "A value in the third day of the stay."
    return edge_tables.root_of(folder, [edge_tables.chart(edge_tables.HEART, '80', 1), edge_tables.chart(edge_tables.HEART, '90', 60)])


def death_recorded_early(folder):
    "A patient who died in the first day and was booked out on the third, and one who lived."
    stays = [edge_tables.stay(1), edge_tables.stay(2)]
    dead = dict(list(edge_tables.admissions_of(stays))[0], deathtime=edge_tables.clock(20), hospital_expire_flag=1)
    charts = [edge_tables.chart(edge_tables.HEART, '80', 1, n) for n in (1, 2)]
    return edge_tables.root_of(folder, charts, stays=stays, admissions=[dead, list(edge_tables.admissions_of(stays))[1]])


OWN = dict(whole_stay=whole_stay, death_recorded_early=death_recorded_early)


def seen(cohort):
    "stay -> (labels, age, hourly values, history, columns as a model sees them, raw and scaled)."
    values, offsets, before = cohort.arrays
    out = {}
    for i, (stay, row) in enumerate(cohort.stays.iterrows()):
        both = [cohort.features(stay, normalize=n) for n in (False, True)]
        out[stay] = (tuple(row[cohort.labels]), row['age'], values[offsets[i]:offsets[i + 1]], before[i], *both)
    return out


def same(a, b):
    return a.keys() == b.keys() and all(
        np.array_equal(np.asarray(x, float), np.asarray(y, float), equal_nan=True) for s in a for x, y in zip(a[s], b[s]))


def other_value(switch):
    "The value of `clean`, or for what prior work leaves alone another choice."
    clean = getattr(make_rules('clean', 'phenotyping'), switch)
    return clean if switch in MEDFUSE else next(v for v in CHOICES[switch] if v != clean)


def test_every_switch_of_the_presets_is_shown():
    assert set(PAPER_RULES) - set(SHOWN_BY) == {'report_time', 'duplicates', 'joiner', 'missing_report'}  # shown on the reports' page


@pytest.mark.parametrize('switch', SHOWN_BY)
def test_the_switch_changes_its_table(switch, tmp_path):
    "Set alone to its other value, it changes what the root gives."
    name, task = SHOWN_BY[switch]
    root = {**edge_tables.QUIRKS, **OWN}[name](tmp_path / 'root')
    build = lambda out, **set: seen(build_cohort(root, task=task, preset='medfuse', out=tmp_path / out, work=tmp_path / 'work', **set))
    assert not same(build('base'), build('other', **{switch: other_value(switch)}))
