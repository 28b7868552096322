"Content is not believed: markers beside tables that are not theirs, cohorts and results that were changed after they were written."
import os
import shutil
from pathlib import Path

import edge_tables as E
import pytest

from lp_nb.cohort import build_cohort
from lp_nb.core import open_data
from lp_nb.hospital import HospitalConfig, make_hospital
from lp_nb.tables import open_mimic

SAMPLE = Path(__file__).parents[1] / 'data' / 'sample'


def ward(folder):
    "Tables of nobody in particular."
    return E.root_of(folder, [E.chart(E.HEART, '80', h, k) for h in range(4) for k in (1, 2)], stays=[E.stay(1), E.stay(2)])


@pytest.mark.parametrize('marker', ['hospital.json', 'demo_subject_id.csv'])
def test_a_copied_marker_opens_nothing(marker, tmp_path):
    root = ward(tmp_path / 'mimic')
    if marker == 'hospital.json':
        shutil.copy(SAMPLE / marker, root)
    else:
        (root / marker).write_text('subject_id\n101\n10002\n')
    made = build_cohort(root, out=tmp_path / 'cohort', missing_report='keep')
    assert not open_data(root) and not made.is_open and made.manifest['release'].startswith('unknown')
    assert made.dir.stat().st_mode & 0o077 == 0


def test_the_demo_is_its_patients(tmp_path):
    "The list names all patients and nobody else."
    root = ward(tmp_path / 'demo')
    (root / 'demo_subject_id.csv').write_text('subject_id\n101\n102\n')
    assert open_data(root) and open_mimic(root).release == 'demo'


@pytest.mark.parametrize('change', ['edited', 'added', 'removed'])
def test_a_hospital_is_what_was_made(change, tmp_path):
    root = make_hospital(tmp_path / 'hospital', HospitalConfig(patients=6, general=4))
    assert open_data(root)
    if change == 'edited':
        path = root / 'hosp' / 'patients.csv.gz'
        size, times = path.stat().st_size, path.stat()
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same time
        assert path.stat().st_size == size
    elif change == 'added':
        (root / 'note' / 'discharge.csv').write_text('note_id,text\n')
    else:
        shutil.rmtree(root / 'note')
    assert open_data(root) == (change == 'removed')
