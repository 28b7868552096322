"Tables as they arrive in practice, cut, damaged, mixed up: refused in one clear paragraph, or every row accounted for."
import contextlib
import csv
import gzip
import hashlib
import inspect
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import edge_tables
import pandas as pd
import polars as pl
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lp_nb.data import blocks, lines, series, tables
from lp_nb.data import cohort as cohorts
from lp_nb.data.cohort import Cohort, build_cohort
from lp_nb.core import UserError
from lp_nb.privacy import mark_synthetic
from lp_nb.data.hospital import make_hospital
from lp_nb.data.people import HospitalConfig

SAMPLE = Path(__file__).parents[1] / 'data' / 'sample'
HOME = dict(chartevents='icu', icustays='icu', labevents='hosp', patients='hosp', admissions='hosp', diagnoses_icd='hosp',
            d_icd_diagnoses='hosp', radiology='note', reports='general')
READ = ('chartevents', 'labevents', 'radiology', 'icustays', 'patients', 'admissions', 'diagnoses_icd')
NEEDS = dict(diagnoses_icd=dict(task='phenotyping'), d_icd_diagnoses=dict(task='phenotyping', code_book='required'))
COUNTED = dict(stays=['icustays'], events=['chartevents', 'labevents'], reports=['radiology'], diagnoses=['diagnoses_icd'])
each_table = pytest.mark.parametrize('name', READ)
both_suffixes = pytest.mark.parametrize('trial', ['.csv', '.csv.gz'], indirect=True)
plain_csv = pytest.mark.parametrize('trial', ['.csv'], indirect=True)
csv.field_size_limit(1 << 30)


def unpacked(path) -> bytes:
    "The bytes of a csv file, packed or not."
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b'\x1f\x8b' else data


def snapshot(folder) -> dict:
    "Path -> (time of change, SHA-256) of every file below a folder."
    return {str(p.relative_to(folder)): (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes()).hexdigest())
            for p in sorted(Path(folder).rglob('*')) if p.is_file()}


def clear(error: UserError, *words):
    "Assert that an error is one paragraph of moderate length that holds `words`."
    text = str(error)
    assert error.expected and error.got and error.todo, text
    assert text.startswith('Expected ') and '\n' not in text and len(text) < 1000, f'{len(text)} characters: {text[:1500]!r}'
    for word in words:
        assert word in text, f'{word!r} not in: {text}'


def balanced(cohort) -> dict:
    "Assert that no row appears or vanishes between the steps of the ledger; unit -> rows of the tables."
    first, kept = {}, {}
    for (_, unit), step in cohort.ledger.groupby(['step', 'unit'], sort=False):
        rows_in = int(step['rows_in'].iloc[0])
        assert (step['rows_in'] == rows_in).all() and step['rows'].sum() == rows_in and (step['rows'] >= 0).all(), step
        assert kept.get(unit, rows_in) == rows_in, step
        first.setdefault(unit, rows_in)
        kept[unit] = int(step.loc[step['reason'] == 'kept', 'rows'].iloc[0])
    return first


def reasons(cohort, unit: str) -> dict:
    "Reason -> rows dropped, for one unit of the ledger."
    rows = cohort.ledger[(cohort.ledger['unit'] == unit) & (cohort.ledger['reason'] != 'kept')]
    return rows.groupby('reason')['rows'].sum().to_dict()


def content(cohort, *but) -> dict:
    "File -> hash of a cohort, without the files named."
    return {name: digest for name, digest in cohort.manifest['files'].items() if name not in but}


class Trial:
    "A hospital that a test may damage, and a folder that holds another cohort until a build succeeds."

    def __init__(self, folder: Path, source: Path, old: Path):
        self.root, self.out = folder / 'hospital', folder / 'cohort'
        shutil.copytree(source, self.root)
        shutil.copytree(old, self.out)

    def path(self, name: str) -> Path:
        "The file of a table."
        return next((self.root / HOME[name]).glob(f'{name}.csv*'))

    def write(self, name: str, data):
        "Replace the text of a table, packed if its name says so."
        path, data = self.path(name), data if isinstance(data, bytes) else data.encode()
        path.write_bytes(gzip.compress(data, 1) if path.suffix == '.gz' else data)

    def text(self, name: str) -> str:
        return unpacked(self.path(name)).decode()

    def rows(self, name: str) -> list:
        "Header and rows of a table as lists of texts."
        return list(csv.reader(io.StringIO(self.text(name), newline='')))

    def write_rows(self, name: str, rows: list):
        out = io.StringIO()
        csv.writer(out, lineterminator='\n').writerows(rows)
        self.write(name, out.getvalue())

    def change(self, name: str, column: str, value, where=None, row: int | None = None) -> int:
        "Set a column where `where` holds, or in one row (from 1), to a text or a function of it; the number of rows."
        head, *rows = self.rows(name)
        at, changed = head.index(column), 0
        for i, cells in enumerate(rows, 1):
            if i == row or row is None and (where is None or where(dict(zip(head, cells)))):
                cells[at] = value(cells[at]) if callable(value) else value
                changed += 1
        self.write_rows(name, [head, *rows])
        return changed

    def attempt(self, *words, **how):
        "The cohort, its ledger balanced and complete; or the clear error after which the old cohort lies there untouched."
        before = snapshot(self.out)
        mark_synthetic(self.root)  # all of it is made up: messages may show values
        try:
            made = build_cohort(self.root, out=self.out, **how)
        except UserError as error:
            assert snapshot(self.out) == before
            clear(error, *words)
            return error
        finally:
            assert not list(self.out.parent.glob('.*.new-*')) + list(self.out.parent.glob('.*.old-*'))
        for unit, rows_in in balanced(made).items():
            if unit in COUNTED:
                assert rows_in == sum(len(self.rows(n)) - 1 for n in COUNTED[unit]), unit
        return made

    def refused(self, *words, **how):
        "Assert that the build is refused in one paragraph with these words."
        result = self.attempt(*words, **how)
        assert isinstance(result, UserError), f'not refused: {result!r}'

    def accepted(self, **how):
        "Assert that the build succeeds; the cohort."
        result = self.attempt(**how)
        assert not isinstance(result, UserError), str(result)
        return result


@pytest.fixture(scope='session', autouse=True)
def no_waiting_for_the_disk():
    "These tests are not about power cuts."
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, 'fsync', lambda fd: None)
        yield


@pytest.fixture(scope='session')
def sources(tmp_path_factory):
    "Suffix -> 24 patients of the sample hospital in files of that kind; and an old cohort, of another split."
    plain, packed = (tmp_path_factory.mktemp('sources') / name for name in ('plain', 'packed'))
    patients = csv.DictReader(io.StringIO(unpacked(SAMPLE / 'hosp' / 'patients.csv.gz').decode()))
    few = [row['subject_id'] for row in patients][:24]
    for name, home in HOME.items():
        head, *rows = csv.reader(io.StringIO(unpacked(SAMPLE / home / f'{name}.csv.gz').decode(), newline=''))
        if 'subject_id' in head:
            rows = [r for r in rows if r[head.index('subject_id')] in few]
        out = io.StringIO()
        csv.writer(out, lineterminator='\n').writerows([head, *rows])
        data = out.getvalue().encode()
        for folder, suffix, written in ((plain, '.csv', data), (packed, '.csv.gz', gzip.compress(data, 1))):
            (folder / home).mkdir(parents=True, exist_ok=True)
            (folder / home / f'{name}{suffix}').write_bytes(written)
    for folder in (plain, packed):
        mark_synthetic(folder)
    old = build_cohort(packed, split_seed=9, out=plain.parent / 'old').dir
    return {'.csv': plain, '.csv.gz': packed, 'old': old}


CANARIES = cohorts.canaries


@contextlib.contextmanager
def unwatched():
    "Builds without the search for leaks, which takes most of their time."
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohorts, 'canaries', lambda *args, **more: 1)
        yield


@pytest.fixture
def trial(request, tmp_path, sources):
    "A trial with packed tables, or with the suffix asked for; leaks are searched for only where a test is `watched`."
    with unwatched():
        yield Trial(tmp_path, sources[getattr(request, 'param', '.csv.gz')], sources['old'])


@pytest.fixture
def watched(trial, monkeypatch):
    "Builds search for leaks as ever."
    monkeypatch.setattr(cohorts, 'canaries', CANARIES)


@pytest.fixture(scope='session')
def whole(sources, tmp_path_factory):
    "A function: the cohort of the undamaged sample under the rules given, built once."
    made = {}

    def get(**how):
        key = json.dumps(how, sort_keys=True)
        if key not in made:
            with unwatched():
                made[key] = build_cohort(sources['.csv'], out=tmp_path_factory.mktemp('whole') / 'cohort', **how)
        return made[key]

    return get


def shrink(part: int, block: int | None = None, name: str | None = None):
    "From now on `part` rows of a table, or only of the table `name`, make a part, and `block` patients a block."
    import inspect

    from lp_nb.data import blocks, series, tables

    extract = inspect.unwrap(tables.extract)

    def few(*args, **more):
        call = inspect.signature(extract).bind(*args, **more)
        if name in (None, call.arguments['name']):
            call.arguments['rows'] = part
        return extract(*call.args, **call.kwargs)

    assert 'rows' in inspect.signature(extract).parameters
    series.extract = blocks.extract = few
    if block:
        blocks.block_size = lambda *args: block


@pytest.fixture
def small_parts(monkeypatch):
    "`shrink`, taken back after the test."
    for module, name in ((series, 'extract'), (blocks, 'extract'), (blocks, 'block_size')):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(lines, 'BLOCK', 1 << 14)
    return shrink


# Files cut or damaged on the way

def flipped(data: bytes, at: int, count: int) -> bytes:
    return data[:at] + bytes(b ^ 0x55 for b in data[at:at + count]) + data[at + count:]


DAMAGES = dict(
    cut=lambda data: data[:len(data) * 2 // 3],
    cut_in_checksum=lambda data: data[:-3],
    corrupt=lambda data: flipped(data, len(data) // 2, 20),
    wrong_checksum=lambda data: flipped(data, len(data) - 8, 1),
    garbage_behind=lambda data: data + b'garbage',
)


@pytest.mark.parametrize('damage', DAMAGES)
@pytest.mark.parametrize('name', HOME)
def test_damaged_gzip(name, damage, trial):
    "A file cut or damaged on the way is named."
    path = trial.path(name)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    trial.refused(str(path), **NEEDS.get(name, {}))


@pytest.mark.parametrize('name', ['chartevents', 'labevents', 'radiology', 'icustays', 'reports'])
def test_plain_text_named_gz(name, trial, whole):
    "A browser that unpacks what it downloads keeps the name: the file is read all the same, or named in the error."
    trial.path(name).write_bytes(unpacked(trial.path(name)))
    result, how = trial.attempt(trial.path(name).name, **NEEDS.get(name, {})), NEEDS.get(name, {})
    assert isinstance(result, UserError) or content(result) == content(whole(**how))


@pytest.mark.parametrize('name', ['chartevents', 'radiology', 'admissions', 'reports'])
def test_gzip_in_two_members(name, trial, whole):
    "Packed in pieces that were joined, as parallel packers do: both pieces are read."
    data = unpacked(trial.path(name))
    half = len(data) // 2
    trial.path(name).write_bytes(gzip.compress(data[:half], 1) + gzip.compress(data[half:], 1))
    how = NEEDS.get(name, {})
    assert content(trial.accepted(**how)) == content(whole(**how))


@plain_csv
@pytest.mark.parametrize('where', ['first column', 'middle', 'last column read'])
@each_table
def test_cut_in_the_last_row(name, where, trial):
    "A plain csv file that ends in the middle of a row is refused."
    data = unpacked(trial.path(name))
    head, *_, last = trial.rows(name)
    needed = max(head.index(c) for c, kind in tables.SCHEMA[name].items() if not kind.endswith('?'))
    column = {'first column': 0, 'middle': len(head) // 2, 'last column read': min(needed, len(head) - 2)}[where]
    begin = data.rindex(','.join(last[:-1]).encode())
    trial.write(name, data[:begin + len(','.join(last[:column]).encode()) + (column > 0) + len(last[column]) // 2])
    trial.refused(str(trial.path(name)), **NEEDS.get(name, {}))


@plain_csv
@pytest.mark.parametrize('end', [1, 40])
def test_cut_in_the_text_of_a_report(end, trial):
    "A plain csv file that ends within quotes is refused."
    trial.write('radiology', trial.text('radiology').rstrip('\n')[:-end])
    trial.refused(str(trial.path('radiology')))


@plain_csv
@each_table
def test_zeros_behind_a_part_of_the_file(name, trial):
    "A download that reserved its space and stopped half way leaves zero bytes; none of them may pass for a row."
    data = unpacked(trial.path(name))
    trial.write(name, data[:len(data) // 2] + bytes(len(data) - len(data) // 2))
    trial.refused(str(trial.path(name)), **NEEDS.get(name, {}))


# Columns

REQUIRED = [(name, c) for name in READ for c, kind in tables.SCHEMA[name].items() if not kind.endswith('?')]


WAYS = ('dropped', 'renamed', 'in capitals')


@pytest.mark.parametrize('name, column, how', [(*c, WAYS[i % 3]) for i, c in enumerate(REQUIRED)])
def test_missing_column(name, column, how, trial):
    "A column that is not there under its name is named, with the file."
    head, *rows = trial.rows(name)
    at = head.index(column)
    if how == 'dropped':
        trial.write_rows(name, [[*r[:at], *r[at + 1:]] for r in [head, *rows[:20]]])
    else:
        head[at] = column.upper() if how == 'in capitals' else f'{column}_2'
        trial.write_rows(name, [head, *rows[:20]])
    trial.refused(column, str(trial.path(name)))


BY_IDENTIFIERS = dict(preset='medfuse')
RULES_READ = [('patients', 'anchor_year', {}), ('icustays', 'los', BY_IDENTIFIERS),
              ('admissions', 'hospital_expire_flag', {}), ('chartevents', 'hadm_id', BY_IDENTIFIERS),
              ('chartevents', 'stay_id', BY_IDENTIFIERS),
              ('labevents', 'hadm_id', BY_IDENTIFIERS), ('labevents', 'storetime', dict(lab_time='storetime')),
              ('radiology', 'storetime', {}), ('patients', 'anchor_year_group', dict(split='temporal'))]


@pytest.mark.parametrize('name, column, how', RULES_READ)
def test_missing_column_that_a_rule_reads(name, column, how, trial):
    "A column that only some rules read is missed by these."
    at = trial.rows(name)[0].index(column)
    trial.write_rows(name, [[*r[:at], *r[at + 1:]] for r in trial.rows(name)])
    trial.refused(column, str(trial.path(name)), **how)


@pytest.mark.parametrize('preset', ['clean', 'medfuse'])
def test_laboratory_values_from_when_they_were_stored(preset, trial, watched):
    "The rule that reads the column works where the column is there, also where some of it is missing."
    trial.change('labevents', 'storetime', '', row=3)
    trial.accepted(lab_time='storetime', preset=preset)


@pytest.mark.parametrize('name', ['chartevents', 'icustays', 'radiology'])
def test_two_columns_of_one_name(name, trial, whole):
    "A column that is there twice does not take the place of the first."
    head, *rows = trial.rows(name)
    trial.write_rows(name, [[*head, head[0]], *([*r, '7'] for r in rows)])
    how = NEEDS.get(name, {})
    result = trial.attempt(str(trial.path(name)), **how)
    assert isinstance(result, UserError) or content(result) == content(whole(**how))


@pytest.mark.parametrize('name, delimiter', [(name, '\t;'[i % 2]) for i, name in enumerate(READ)])
def test_another_delimiter(name, delimiter, trial):
    trial.write(name, trial.text(name).replace(',', delimiter))
    trial.refused(str(trial.path(name)))


# Values

WRONG = dict(int=['abc', '220045.0', '1,234', 'NA', '99999999999999999999'], float=['abc', '1,234.5', '5,0', 'NA'],
             time=['10/03/2150 08:00', '2150-03-10T08:00:00', '2150-02-30 08:00:00', '2150-03-10', '1.5e9'],
             day=['yesterday', '10.03.2150', '2150-3-10'])
BAD_CELLS = [(name, c, WRONG[kind.rstrip('?')][(i + j) % len(WRONG[kind.rstrip('?')])])
             for name in READ for i, (c, kind) in enumerate(tables.SCHEMA[name].items()) if kind.rstrip('?') not in ('text', 'code')
             for j in range(2 if name == 'icustays' else 1)]


def used_row(trial, name, row: int) -> int:
    "The first row from this one on that no rule may pass over: for events, one of an item of the variables."
    head, *rows = trial.rows(name)
    known = {str(i) for i in series.items()['itemid']}
    if not name.endswith('events'):
        return row
    return next(i for i, r in enumerate(rows, 1) if i >= row and r[head.index('itemid')] in known)


@pytest.mark.parametrize('name, column, value', BAD_CELLS)
def test_value_of_the_wrong_type(name, column, value, trial):
    "File, column, row and value are named."
    row = used_row(trial, name, len(trial.rows(name)) // 2 + 3)
    assert trial.change(name, column, value, row=row) == 1
    how = BY_IDENTIFIERS if name.endswith('events') and column in ('hadm_id', 'stay_id') else NEEDS.get(name, {})
    trial.refused(str(trial.path(name)), f'column {column} ', repr(value), f'row {row:,}.', **how)


@pytest.mark.parametrize('value', ['220045.0', '220,045', '2.20045e5', '220045 '])
@pytest.mark.parametrize('name', ['chartevents', 'labevents'])
def test_item_numbers_as_other_programs_write_them(name, value, trial):
    "An item that is written as a float or with separators is not taken for another item."
    trial.change(name, 'itemid', value, row=7)
    trial.refused(str(trial.path(name)), 'column itemid ', repr(value), 'row 7.')


@pytest.mark.parametrize('name, column, trial', [
    ('chartevents', 'charttime', '.csv'), ('chartevents', 'itemid', '.csv.gz'), ('labevents', 'valuenum', '.csv.gz'),
    ('labevents', 'charttime', '.csv'), ('radiology', 'storetime', '.csv'), ('radiology', 'hadm_id', '.csv.gz')],
    indirect=['trial'])
def test_row_number_in_later_parts(name, column, trial, small_parts, whole):
    "Rows are counted from the begin of the file also in later parts, also when asked again, and a repaired file goes on."
    row = used_row(trial, name, len(trial.rows(name)) * 3 // 4)
    small_parts(row // 10, name=name)
    good = unpacked(trial.path(name))
    trial.change(name, column, 'abc', row=row)
    kept, work = [], trial.out.parent / f'.{trial.out.name}.work'
    while len(kept) < 2 or kept[-2] < 2:  # asked once more after there are parts; an error may overtake those that are under way
        trial.refused(str(trial.path(name)), f'column {column} ', "'abc'", f'row {row:,}.')
        kept.append(len(list(work.rglob('part-*.json'))))
        assert len(kept) < 20, kept
    trial.write(name, good)
    assert content(trial.accepted()) == content(whole())


def test_outcome_that_is_neither_0_nor_1(trial, watched, whole):
    "A label beyond 0 and 1 is refused or counted, whatever its size."
    hadm = str(whole().stays['hadm_id'].iloc[0])
    for value in ('2', '-1', '300'):
        trial.change('admissions', 'hospital_expire_flag', value, lambda row: row['hadm_id'] == hadm)
        result = trial.attempt('hospital_expire_flag')
        assert isinstance(result, UserError) or set(result.stays['mortality']) <= {0, 1}, f'label {value}'


@pytest.mark.parametrize('column, value', [('anchor_age', '99999999999'), ('anchor_year', '99999999999'),
                                           ('anchor_age', '2147483647')])
def test_age_out_of_range(column, value, trial, watched, whole):
    subject = str(whole().stays['subject_id'].iloc[0])
    trial.change('patients', column, value, lambda row: row['subject_id'] == subject)
    trial.attempt(str(trial.path('patients')), column)


@pytest.mark.parametrize('value', ['inf', 'nan', '1e300', '-5'])
def test_length_of_stay_out_of_range(value, trial, watched, whole):
    stay = str(whole(task='phenotyping').stays.index[0])
    trial.change('icustays', 'los', value, lambda row: row['stay_id'] == stay)
    trial.attempt(str(trial.path('icustays')), 'los', preset='medfuse', task='phenotyping')


@pytest.mark.parametrize('name, value', [('chartevents', 'inf'), ('chartevents', ''), ('labevents', 'nan'),
                                         ('labevents', '1e300')])
def test_numbers_that_are_none(name, value, trial, watched):
    "Infinite and missing numbers are counted, not averaged."
    trial.change(name, 'valuenum', value)
    result = trial.attempt('at least one stay')
    if not isinstance(result, UserError):
        assert reasons(result, 'values')['no number'] + reasons(result, 'values')['out of range'] > 0


# Encodings and line ends

def with_bom(data: bytes) -> bytes:
    return b'\xef\xbb\xbf' + data


def with_crlf(data: bytes) -> bytes:
    return data.replace(b'\n', b'\r\n')


def with_both(data: bytes) -> bytes:
    return with_bom(with_crlf(data))


CLEAN, MEDFUSE = dict(task='mortality'), dict(task='phenotyping', preset='medfuse')


@pytest.mark.parametrize('make, how, trial', [
    (with_bom, CLEAN, '.csv.gz'), (with_crlf, CLEAN, '.csv'), (with_crlf, MEDFUSE, '.csv.gz'), (with_both, CLEAN, '.csv.gz'),
    (with_both, MEDFUSE, '.csv')], indirect=['trial'])
def test_byte_order_mark_and_crlf(make, how, trial, whole):
    "The same cohort as with plain line ends, texts of reports and last columns included."
    for name in HOME:
        trial.write(name, make(unpacked(trial.path(name))))
    made = trial.accepted(**how)
    assert content(made, 'corpus.parquet') == content(whole(**how), 'corpus.parquet')
    assert made.reports.equals(whole(**how).reports) and '\r' not in ''.join(made.documents)


def test_crlf_in_the_general_corpus(trial, whole):
    trial.write('reports', with_crlf(unpacked(trial.path('reports'))))
    assert trial.accepted().corpus == whole().corpus


@pytest.mark.parametrize('name', HOME)
def test_cr_alone(name, trial):
    "Line ends that are not understood do not make a table of no rows."
    trial.write(name, unpacked(trial.path(name)).replace(b'\n', b'\r'))
    trial.refused(str(trial.path(name)), **NEEDS.get(name, {}))


@pytest.mark.parametrize('name, column', [('radiology', 'text'), ('chartevents', 'value'), ('labevents', 'comments'),
                                          ('icustays', 'first_careunit'), ('admissions', 'race'), ('patients', 'gender'),
                                          ('diagnoses_icd', 'icd_code'), ('d_icd_diagnoses', 'long_title'),
                                          ('reports', 'text')])
def test_bytes_that_are_not_utf8(name, column, trial):
    trial.change(name, column, lambda cell: cell + '@@', row=5)
    trial.write(name, unpacked(trial.path(name)).replace(b'@@', b'\xe9\xb5'))
    trial.refused(str(trial.path(name)), **NEEDS.get(name, {}))


def test_utf16(trial):
    trial.write('icustays', trial.text('icustays').encode('utf-16'))
    trial.refused(str(trial.path('icustays')))


def test_corpus_that_is_not_utf8(trial, tmp_path):
    (tmp_path / 'texts.txt').write_bytes(b'caf\xe9\n')
    trial.refused('texts.txt', corpus=tmp_path / 'texts.txt')


# Quotes, commas and newlines

TEXTS = [
    'FINDINGS: a, b, and c.\n\nIMPRESSION: x,y\n',
    'note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text',
    '1-RR-1,1,2,RR,1,2150-01-01 00:00:00,2150-01-01 00:00:00,"hello"\n2-RR-1,1,2,RR,1,2150-01-01 00:00:00,,"hello"',
    'He said "normal", ""twice"",\n"and again"',
    '"', ',', '""', "'", '\\"', '\\',
    'a\r\nb\rc', '\tFINDINGS:\t', 'x' * 100_000, 'Größe 5 µm \U0001f642',
    '#not a comment', 'NULL', 'NA', '0',
]


@pytest.mark.parametrize('end, trial', [('\n', '.csv'), ('\n', '.csv.gz'), ('\r\n', '.csv')], indirect=['trial'])
def test_texts_of_reports(end, trial, whole):
    "Quotes, commas, newlines and lines that look like headers come back as they were written."
    expected = {note: TEXTS[i % len(TEXTS)] for i, note in enumerate(sorted(set(whole().reports['note_id'])))}
    head, *rows = trial.rows('radiology')
    for cells in rows:
        cells[-1] = expected.get(cells[0], cells[-1])
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerows([head, *rows])
    trial.write('radiology', out.getvalue())
    made = trial.accepted(duplicates='keep')
    got = made.reports.set_index('note_id')['text']
    for note, text in expected.items():
        assert got[note] == text.replace('\r\n', '\n').replace('\r', '\n').strip(), repr(text[:80])
    assert set(expected.values()) == set(TEXTS)


@pytest.mark.parametrize('cell', ['"5', '5"'])
@pytest.mark.parametrize('name, column', [('chartevents', 'value'), ('chartevents', 'valueuom'), ('labevents', 'comments'),
                                          ('icustays', 'first_careunit'), ('admissions', 'insurance'),
                                          ('diagnoses_icd', 'icd_code')])
def test_stray_quote(name, column, cell, trial):
    "A quote that nobody closed does not swallow the rest of the table."
    head, *lines = trial.text(name).splitlines()
    middle = next(i for i in range(len(lines) // 2, len(lines)) if '"' not in lines[i])
    cells = lines[middle].split(',')
    cells[head.split(',').index(column)] = cell
    lines[middle] = ','.join(cells)
    trial.write(name, '\n'.join([head, *lines, '']))
    trial.refused(str(trial.path(name)), **NEEDS.get(name, {}))


@pytest.mark.parametrize('name', ['radiology', 'patients'])
def test_stray_quote_in_the_header(name, trial):
    "The error does not repeat the rows that the quote made part of a name."
    head, rest = trial.text(name).split('\n', 1)
    trial.write(name, head.replace('subject_id', '"ubject_id') + '\n' + rest)
    trial.refused(str(trial.path(name)))


@pytest.mark.parametrize('name', ['chartevents', 'radiology', 'icustays', 'admissions'])
def test_everything_in_quotes(name, trial, whole):
    "The same cohort, or an error that names the empty text that is no number."
    out = io.StringIO()
    csv.writer(out, lineterminator='\n', quoting=csv.QUOTE_ALL).writerows(trial.rows(name))
    trial.write(name, out.getvalue())
    how = NEEDS.get(name, {})
    result = trial.attempt(str(trial.path(name)), "''", **how)
    assert isinstance(result, UserError) or content(result) == content(whole(**how))


# Ragged and repeated rows

@pytest.mark.parametrize('change, said', [(lambda r: [*r, 'more'], '{more} of {cells} cells in line'), (lambda r: r[:-1], '{less} of {cells} cells in line'),
                                          (lambda r: r[:1], '1 of {cells} cells in line'), (lambda r: [*r[:-1], 'nul' + chr(0)], 'a NUL in line')])
@each_table
def test_row_of_another_shape(name, change, said, trial):
    "A cell too many or too few, or a NUL, in one row of any table: refused with its line, never padded or cut."
    head, *rows = trial.rows(name)
    middle = len(rows) // 2
    trial.write_rows(name, [head, *(change(r) if i == middle else r for i, r in enumerate(rows))])
    expected = said.format(more=len(head) + 1, less=len(head) - 1, cells=len(head))
    trial.refused(str(trial.path(name)), expected, **NEEDS.get(name, {}))


@pytest.mark.parametrize('name, column', [('chartevents', 'value'), ('labevents', 'comments'), ('admissions', 'insurance'), ('icustays', 'first_careunit')])
def test_line_feed_within_a_cell(name, column, trial):
    "Only a report has lines: elsewhere a line feed within quotes is two stray quotes, and what lies between them."
    head, *rows = trial.rows(name)
    rows[len(rows) // 2][head.index(column)] = 'two\nlines'
    trial.write_rows(name, [head, *rows])
    trial.refused(str(trial.path(name)), 'a quote that does not end on its line in line')


@pytest.mark.parametrize('column', ['value', 'valuenum'])
def test_two_stray_quotes(column, trial):
    "A hundred rows between two quotes are a hundred rows."
    head, *lines = trial.text('chartevents').splitlines()
    at = head.split(',').index(column)
    for i, put in ((20, '"{}'), (120, '{}"')):
        cells = lines[i].split(',')
        cells[at] = put.format(cells[at])
        lines[i] = ','.join(cells)
    trial.write('chartevents', '\n'.join([head, *lines, '']))
    trial.refused(str(trial.path('chartevents')), 'in line 22.')


def test_decimal_commas(trial):
    "80,5 is no heart rate of 5."
    head, *rows = trial.rows('chartevents')
    bare = [','.join(head), *(','.join([*r[:-4], r[-4].replace('.', ','), *r[-3:]]) for r in rows)]  # value stands fourth from behind
    trial.write('chartevents', '\n'.join([*bare, '']))
    trial.refused(str(trial.path('chartevents')), '12 of 11 cells in line')


def test_report_without_quotes(trial):
    "A report is not cut at its first comma."
    head, *rows = trial.rows('radiology')
    bare = [','.join([*r[:-1], ' '.join(r[-1].replace('"', '').split())]) for r in rows]
    trial.write('radiology', '\n'.join([','.join(head), *bare, '']))
    trial.refused(str(trial.path('radiology')), f'of {len(head)} cells in line')


@each_table
def test_second_header_in_the_middle(name, trial):
    "Two files that were joined with both headers."
    head, *rows = trial.rows(name)
    trial.write_rows(name, [head, *rows[:9], head, *rows[9:]])
    trial.refused(str(trial.path(name)), 'row 10.', **NEEDS.get(name, {}))


@pytest.mark.parametrize('name', ['chartevents', 'radiology', 'icustays', 'admissions'])
def test_blank_lines_at_the_end(name, trial, whole):
    trial.write(name, trial.text(name) + '\n\n')
    how = NEEDS.get(name, {})
    made = build_cohort(trial.root, out=trial.out, **how)
    balanced(made)
    assert made.stays.equals(whole(**how).stays)


@each_table
def test_every_row_twice(name, trial, watched, whole):
    "Rows that are there twice count once, and the others are in the ledger."
    head, *rows = trial.rows(name)
    trial.write_rows(name, [head, *rows, *rows])
    how = NEEDS.get(name, {})
    made = trial.accepted(**how)
    assert made.stays.drop(columns='n_reports').equals(whole(**how).stays.drop(columns='n_reports'))
    assert made.documents.equals(whole(**how).documents)
    assert content(made)['series/values.npy'] == content(whole(**how))['series/values.npy']


def again(trial, name, key, value, column, new):
    "Append a copy of the rows of `key` that says something else."
    head, *rows = trial.rows(name)
    copies = [[new(c) if h == column else c for h, c in zip(head, r)] for r in rows if r[head.index(key)] == str(value)]
    trial.write_rows(name, [head, *rows, *copies])
    assert copies


def test_admission_that_says_two_things(trial, whole):
    "Two rows of one admission with different outcomes: not the first one in silence."
    hadm = whole().stays['hadm_id'].iloc[0]
    again(trial, 'admissions', 'hadm_id', hadm, 'hospital_expire_flag', lambda flag: str(1 - int(flag)))
    trial.refused(str(trial.path('admissions')), 'row')


def test_patient_that_says_two_things(trial, whole):
    "Two rows of one patient with different ages: not the first one in silence."
    subject = whole().stays['subject_id'].iloc[0]
    again(trial, 'patients', 'subject_id', subject, 'anchor_age', lambda age: str(int(age) - 9))
    trial.refused(str(trial.path('patients')), 'row')


def test_stay_that_says_two_things(trial, watched, whole):
    again(trial, 'icustays', 'stay_id', whole().stays.index[0], 'outtime', lambda _: '2199-01-01 00:00:00')
    result = trial.attempt(str(trial.path('icustays')))
    assert isinstance(result, UserError) or reasons(result, 'stays')['stay_id missing or repeated'] == 1


def test_report_that_says_two_things(trial, watched, whole):
    "Two texts under one note_id are two reports, or refused."
    note = whole().reports['note_id'].iloc[0]
    again(trial, 'radiology', 'note_id', note, 'text', lambda text: text + ' And more.')
    result = trial.attempt(str(trial.path('radiology')))
    assert isinstance(result, UserError) or (result.reports['note_id'] == note).sum() == 2


def test_two_stays_of_an_admission_by_identifiers(trial):
    "Events owned by admission and stay ids, where an admission has several stays: balanced, or refused with the switch."
    trial.attempt('stays_per_admission', preset='medfuse', stays_per_admission='all', transfers='keep')


# Tables that do not belong together

OTHER = 4_000_000  # what another hospital's identifiers are away


def of_another_hospital(trial, name):
    "Shift the identifiers of a table, as if it came from another release."
    head, *rows = trial.rows(name)
    ids = [i for i, c in enumerate(head) if c in ('subject_id', 'hadm_id', 'stay_id')]
    trial.write_rows(name, [head, *([str(int(c) + OTHER) if i in ids and c else c for i, c in enumerate(r)] for r in rows)])


@pytest.mark.parametrize('name, words', [('icustays', ['no such admission']), ('admissions', ['no such admission']),
                                         ('patients', ['no such patient']),
                                         ('radiology', ['radiology', 'different releases']),
                                         ('chartevents', ['chartevents']), ('diagnoses_icd', ['no diagnosis recorded'])])
def test_one_table_of_another_release(name, words, trial):
    "Refused, with the step that took the last stays or the table that fits to nothing."
    of_another_hospital(trial, name)
    trial.refused(*words, **NEEDS.get(name, {}))


def test_events_of_another_release(trial):
    for name in ('chartevents', 'labevents'):
        of_another_hospital(trial, name)
    trial.refused('events', 'different releases')


@pytest.mark.parametrize('name', ['patients', 'admissions'])
def test_two_copies_in_two_folders(name, trial):
    "hosp/ and core/ both hold the table, with different rows: refused, or the manifest says which one was read."
    (trial.root / 'core').mkdir()
    copy = trial.root / 'core' / trial.path(name).name
    shutil.copy(trial.path(name), copy)
    trial.write_rows(name, trial.rows(name)[:-3])
    result = trial.attempt(f'core/{copy.name}', f'hosp/{copy.name}')
    assert isinstance(result, UserError) or 'hosp' in json.dumps(result.manifest['sources'][name])


def test_two_copies_in_two_formats(trial):
    "patients.csv beside patients.csv.gz: refused, or the manifest says which one was read."
    path = trial.path('patients')
    path.with_suffix('').write_bytes(unpacked(path).replace(b',F,', b',M,'))
    result = build_cohort(trial.root, out=trial.out)
    assert result.manifest['sources']['patients']['file'] == 'patients.csv' and (result.stays['gender'] == 'M').all()


# Times

TIMES = [
    ('icustays', 'intime', '0001-01-01 00:00:00'), ('icustays', 'intime', '9999-12-31 23:59:59'), ('icustays', 'intime', ''),
    ('icustays', 'outtime', '0001-01-01 00:00:00'), ('icustays', 'outtime', '9999-12-31 23:59:59'),
    ('icustays', 'outtime', ''),
    ('admissions', 'admittime', '9999-12-31 23:59:59'), ('admissions', 'admittime', ''),
    ('admissions', 'dischtime', '0001-01-01 00:00:00'),
    ('admissions', 'deathtime', '0001-01-01 00:00:00'), ('patients', 'dod', '9999-12-31'), ('chartevents', 'charttime', ''),
    ('chartevents', 'charttime', '0001-01-01 00:00:00'), ('labevents', 'charttime', '9999-12-31 23:59:59'),
    ('labevents', 'charttime', ''),
    ('radiology', 'charttime', ''), ('radiology', 'storetime', '0001-01-01 00:00:00'),
    ('radiology', 'storetime', '9999-12-31 23:59:59'),
]


@pytest.mark.parametrize('name, how', [*((n, CLEAN) for n in dict.fromkeys(t[0] for t in TIMES)),
                                       ('icustays', MEDFUSE), ('chartevents', MEDFUSE)])
def test_absurd_times(name, how, trial, watched, whole):
    "The year 1, the year 9999 and no time at all, each for another patient: counted, or refused."
    subjects = [str(s) for s in whole().stays['subject_id'].unique()]
    changes = [t for t in TIMES if t[0] == name]
    for subject, (_, column, value) in zip(subjects, changes):
        assert trial.change(name, column, value, lambda row: row['subject_id'] == subject)
    made = trial.attempt(str(trial.path(name)), **how)
    if isinstance(made, UserError):
        return
    assert made.audit()
    if name == 'icustays' and how == CLEAN:  # but perhaps the stay that ends in the year 9999
        assert len(set(subjects[:len(changes)]) & set(made.stays['subject_id'].astype(str))) <= 1
    if name.endswith('events') and how == CLEAN:
        assert reasons(made, 'events')['no time'] > 0


def test_icu_discharge_before_admission(trial, watched, whole):
    stay = whole().stays.index[0]
    trial.change('icustays', 'outtime', '2000-01-01 00:00:00', lambda row: row['stay_id'] == str(stay))
    made = trial.accepted()
    assert made.why(stay) == 'timed: discharged before admission'


LONG_STAY = '''
import resource, sys
from lp_nb.data.cohort import build_cohort
from lp_nb.core import UserError
resource.setrlimit(resource.RLIMIT_AS, (5 << 30, 5 << 30))
try:
    build_cohort(sys.argv[1], task='phenotyping', window='whole', out=sys.argv[2])
except UserError as e:
    print(e)
'''


def test_stay_of_thousands_of_years(trial, whole):
    "A whole stay that ends in the year 9999 is dropped or refused; it does not take all memory."
    stay = str(whole(task='phenotyping').stays.index[0])
    trial.change('icustays', 'outtime', '9999-12-31 23:59:59', lambda row: row['stay_id'] == stay)
    done = subprocess.run([sys.executable, '-c', LONG_STAY, trial.root, trial.out], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr[-300:]


# Empty and unreadable

@pytest.mark.parametrize('name', HOME)
def test_header_only(name, trial):
    "A table without rows: the error says which, or everything is accounted for."
    trial.write_rows(name, trial.rows(name)[:1])
    trial.attempt(**NEEDS.get(name, {}))


@pytest.mark.parametrize('trial', ['.csv', '.csv.gz'], indirect=True)
@pytest.mark.parametrize('name', HOME)
def test_nothing_in_the_file(name, trial):
    for data in (b'', gzip.compress(b'')) if trial.path(name).suffix == '.gz' else (b'',):
        trial.path(name).write_bytes(data)
        trial.refused(str(trial.path(name)), **NEEDS.get(name, {}))


@pytest.mark.parametrize('kind', ['folder', 'link to nowhere'])
@pytest.mark.parametrize('name', HOME)
def test_something_else_in_place_of_the_file(name, kind, trial):
    "A folder or a dangling link where a table should be is no reason to go on without it."
    path = trial.path(name)
    path.unlink()
    path.mkdir() if kind == 'folder' else path.symlink_to('/nowhere/table.csv.gz')
    trial.refused(name, **NEEDS.get(name, {}))


UNPRIVILEGED = '''
import os, sys
from pathlib import Path
from lp_nb.data.cohort import build_cohort
from lp_nb.core import UserError
folder, good = map(Path, sys.argv[1:])
build_cohort(good, out=folder / 'good')  # whatever is loaded late is loaded now
for locked in (folder / 'locked').read_text().splitlines():
    os.chmod(locked, 0)
os.chmod(folder, 0o755)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for locked in (folder / 'locked').read_text().splitlines():
    case = folder / Path(locked).relative_to(folder).parts[0]
    try:
        made = build_cohort(case / 'hospital', out=case / 'out' / 'cohort')
        print('may' if os.access(locked, os.R_OK) else 'built', made.dir)
    except UserError as e:
        print('refused', e)
    except Exception as e:
        print(type(e).__name__, e)
'''


@pytest.fixture(scope='session')
def unprivileged(sources):
    "What -> (path, what was said) for a user who may not read a file or a folder of tables, or not write the result."
    folder = Path(tempfile.mkdtemp(prefix='lpnb-'))
    cases = {what: folder / str(i) for i, what in enumerate(('chartevents', 'patients', 'note', 'out'))}
    inside = dict(chartevents='hospital/icu/chartevents.csv.gz', patients='hospital/hosp/patients.csv.gz',
                  note='hospital/note', out='out')
    locked = {what: case / inside[what] for what, case in cases.items()}
    for case in cases.values():
        shutil.copytree(sources['.csv.gz'], case / 'hospital')
        (case / 'out').mkdir()
        (case / 'out').chmod(0o777)
    (folder / 'locked').write_text('\n'.join(map(str, locked.values())))
    done = subprocess.run([sys.executable, '-c', UNPRIVILEGED, folder, sources['.csv.gz']], capture_output=True, text=True,
                          timeout=120)
    for path in locked.values():
        path.chmod(0o755)
    shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr[-400:]
    return {what: (str(path), said) for (what, path), said in zip(locked.items(), done.stdout.splitlines(), strict=True)}


@pytest.mark.parametrize('what', ['chartevents', 'patients', 'note'])
def test_what_may_not_be_read_or_written(what, unprivileged):
    "The path is named."
    path, said = unprivileged[what]
    if said.startswith('may '):
        pytest.skip(f'nobody here is refused {path}')
    assert said.startswith('refused Expected') and path in said, said


# Full disks

ON_A_FULL_DISK = '''
import os, sys, tempfile
from lp_nb.data.cohort import build_cohort
from lp_nb.core import UserError
root, out, work = sys.argv[1:]
try:
    print('built', build_cohort(root, out=out, work=work or None).dir)
except UserError as e:
    print('refused', e)
except BaseException as e:
    print(type(e).__name__, e)
'''
MOUNT = '''
mount -t tmpfs -o size=$1 none "$2" && mkdir -p "$2/tmp" && { [ -z "$3" ] || cp -r "$3" "$2/cohort"; } && shift 3 && "$@"
status=$?
'''
CHECK = 'echo; echo "status $status"; [ -d "$0/cohort" ] && cd "$0/cohort" && sha256sum $(find . -type f | sort); ls -A "$0"'


def on_disk(size: int, disk: Path, old, *command, **environment):
    "Run a command with a tiny disk at `disk` that only it sees; (what it said, its status, files and names left)."
    env = dict(os.environ, LPNB_QUIET='1', **environment)
    done = subprocess.run(['unshare', '-rm', 'sh', '-c', MOUNT + CHECK, disk, str(size), disk, old or '', *command], env=env,
                          capture_output=True, text=True, timeout=120)
    said, _, rest = done.stdout.partition('\nstatus ')
    status, *left = rest.splitlines()
    return said + done.stderr, int(status), left


@pytest.fixture(scope='session')
def may_mount(tmp_path_factory):
    "Skip where no file system may be mounted."
    if shutil.which('unshare') is None or on_disk(1 << 20, tmp_path_factory.mktemp('disk'), None, 'true')[1]:
        pytest.skip('no tmpfs may be mounted here, so no disk can be full')


def size_of(folder) -> int:
    "Bytes that a folder takes in pages of 4096."
    return sum(-(-p.stat().st_size // 4096) * 4096 for p in Path(folder).rglob('*') if p.is_file())


@pytest.mark.parametrize('where, free', [('work', 0.3), ('work', 3), ('out', 0.1), ('out', 0.5)])
def test_full_disk(where, free, trial, tmp_path, may_mount):
    "With room for so many cohorts, the error says that the disk is full, and the old cohort is still there."
    disk, work = tmp_path / 'disk', '' if where == 'work' else tmp_path / 'work'
    disk.mkdir()
    size = round((1 + free) * size_of(trial.out))
    said, status, left = on_disk(size, disk, trial.out, sys.executable, '-c', ON_A_FULL_DISK, trial.root, disk / 'cohort', work)
    kept = [f'{digest}  ./{name}' for name, (_, digest) in snapshot(trial.out).items()]
    assert sorted(line for line in left if '  ./' in line) == sorted(kept), said
    assert status == 0, f'ended with status {status}: {said[-300:]}'
    assert not [line for line in left if line.startswith('.cohort.new-')]
    assert said.startswith('refused Expected'), said[-300:]
    assert ('room' in said or 'space' in said) and str(disk) in said, said
    assert 'checksum' not in said and 'download' not in said.lower(), said
    assert said.strip().count('\n') == 0


# Few stays, lopsided splits

def few_stays(folder, n):
    stays = [edge_tables.stay(i) for i in range(1, n + 1)]
    charts = [edge_tables.chart(edge_tables.HEART, '80', 1, i) for i in range(1, n + 1)]
    return edge_tables.root_of(folder, charts, stays=stays)


@pytest.mark.parametrize('how', [CLEAN, dict(task='phenotyping'), MEDFUSE], ids=['mortality', 'phenotyping', 'medfuse'])
def test_hospital_with_one_stay(how, tmp_path):
    "One stay makes a cohort that can be opened and looked at."
    made = build_cohort(few_stays(tmp_path / 'root', 1), out=tmp_path / 'cohort', **how)
    balanced(made)
    values, offsets = made.series()
    assert len(made.stays) == 1 and len(values) == offsets[-1] and not pd.isna(values).any()
    assert made.audit()


@pytest.mark.parametrize('split', ['test', 'val'])
def test_split_without_patients(split, tmp_path):
    "A split in which nobody is: stated as 0 in the manifest."
    root = few_stays(tmp_path / 'root', 3)
    listed = {'test': '101,1\n' if split == 'val' else '', 'val': '101,1\n' if split == 'test' else ''}
    files = [tmp_path / f'{name}.csv' for name in listed]
    for path, text in zip(files, listed.values()):
        path.write_text(text)
    made = build_cohort(root, out=tmp_path / 'cohort', split_files=files)
    assert len(made.ids(split)) == 0 and made.manifest['counts'][split]['stays'] == '0' and made.audit()


def test_nobody_to_train_on(tmp_path):
    "All patients are test patients: stated as 0, and the series hold no invalid numbers."
    root, files = few_stays(tmp_path / 'root', 3), [tmp_path / 'test.csv', tmp_path / 'val.csv']
    files[0].write_text('101,1\n102,1\n103,1\n')
    files[1].write_text('')
    made = build_cohort(root, out=tmp_path / 'cohort', split_files=files)
    assert made.manifest['counts']['train']['stays'] == '0' and not pd.isna(made.series()[0]).any()


@pytest.mark.parametrize('data', [b'\xff\xfe1,1\n', '\u00b2,1\n'.encode(), b'subject_id,test\n', b'1;1\n', b'1\n'])
def test_split_list_that_is_none(data, trial, tmp_path):
    files = [tmp_path / 'test.csv', tmp_path / 'val.csv']
    files[0].write_bytes(data)
    files[1].write_text('1,0\n')
    trial.refused('test.csv', split_files=files)


@pytest.mark.parametrize('share', [0.5, 0.0], ids=['half', 'one'])
def test_temporal_split_of_patients_without_years(share, trial, whole):
    "Patients whose year group is missing cannot be the latest; nobody ends in the test split for that in silence."
    subjects = [str(s) for s in whole().stays['subject_id'].unique()]
    without = subjects[:max(1, round(share * len(subjects)))]
    trial.change('patients', 'anchor_year_group', '', lambda row: row['subject_id'] in without)
    trial.refused('anchor_year_group', split='temporal')


# Parquet as other programs write it

@pytest.mark.parametrize('how', [{}, dict(preset='medfuse')], ids=['clean', 'medfuse'])
@pytest.mark.parametrize('kind', ['pandas', 'texts', 'moments'])
def test_parquet_of_pandas(kind, how, trial, watched, whole):
    "Identifiers as floats, everything as text, moments in nanoseconds: the same cohort."
    for name in READ:
        path = trial.path(name)
        frame = pd.read_csv(path, dtype=str if kind == 'texts' else None, keep_default_na=False, na_values=[''],
                            low_memory=False)
        if kind == 'moments':
            times = [c for c in frame if c.endswith('time') or c == 'dod']
            frame[times] = frame[times].apply(pd.to_datetime)
        frame.to_parquet(path.parent / f'{name}.parquet')
        path.unlink()
    made = build_cohort(trial.root, out=trial.out, **how)
    assert content(made) == content(whole(**how))


@each_table
def test_cut_parquet(name, trial):
    path = trial.path(name)
    frame = pl.read_csv(path, infer_schema_length=None)
    path.unlink()
    frame.write_parquet(path.parent / f'{name}.parquet')
    data = (path.parent / f'{name}.parquet').read_bytes()
    (path.parent / f'{name}.parquet').write_bytes(data[:len(data) // 2])
    trial.refused(str(path.parent / f'{name}.parquet'))


# Any bytes

@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
    "A tiny random root with reports."
    root = edge_tables.random_root(tmp_path_factory.mktemp('tiny') / 'root', 3, layout='v2')
    rng = random.Random(0)
    stays = list(csv.DictReader(open(root / 'icu' / 'icustays.csv', newline='')))
    (root / 'note').mkdir()
    with open(root / 'note' / 'radiology.csv', 'w', newline='') as f:
        writer = csv.writer(f, lineterminator='\n')
        writer.writerow('note_id subject_id hadm_id note_type note_seq charttime storetime text'.split())
        for i in range(30):
            s = rng.choice(stays)
            times = [edge_tables.moved(s['intime'], rng.choice([-1, 1, 5, 20, 50])) for _ in range(2)]
            text = f'EXAMINATION: CHEST, "PORTABLE" {i}\n\nFINDINGS: a, b.\n\nIMPRESSION: "c", {i}.\n'
            writer.writerow([f'{s["subject_id"]}-RR-{i}', s['subject_id'], s['hadm_id'], 'RR', i, *sorted(times), text])
    return root


RULES = [{}, dict(preset='medfuse'), dict(task='phenotyping', window='whole'), dict(preset='paper', task='phenotyping')]
byte = st.one_of(st.integers(0, 255), st.sampled_from(list(b'",\n\r0. -')))
flips = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), byte), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(list(HOME)[:-1]), flips=flips, packed=st.booleans(), how=st.sampled_from(RULES))
def test_any_bytes_changed(tiny, tmp_path, name, flips, packed, how):
    "Whatever bytes change in whatever table: a clear error or a balanced ledger."
    root, out = tmp_path / 'root', tmp_path / 'cohort'
    shutil.rmtree(root, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(tiny, root)
    path = root / HOME[name] / f'{name}.csv'
    data = bytearray(path.read_bytes())
    for share, byte in flips:
        data[int(share * len(data))] = byte
    if packed:
        path.unlink()
        path = path.with_suffix('.csv.gz')
    path.write_bytes(gzip.compress(bytes(data), 1) if packed else bytes(data))
    try:
        balanced(build_cohort(root, out=out, missing_report='keep', **how))
    except UserError as error:
        clear(error)
        assert not out.exists()


# Killed and interrupted builds

PART, BLOCK, SEED = 4000, 60, 20260101  # rows of a part, patients of a block; of the moments
CHILD = inspect.getsource(shrink) + '''
import os, signal, sys
from lp_nb.data import cohort
root, out, work, stop, part, block = sys.argv[1:]
shrink(int(part), int(block))
if stop:
    setattr(cohort, stop, lambda *args, **more: os.kill(os.getpid(), signal.SIGKILL))
print('ready', flush=True)
sys.stdin.readline()
print(cohort.build_cohort(root, out=out, work=work or None).manifest['content'], flush=True)
'''


@pytest.fixture(scope='session')
def hospital(tmp_path_factory):
    "A synthetic hospital of 300 patients."
    return make_hospital(tmp_path_factory.mktemp('hospital') / 'h', HospitalConfig(patients=300, general=0, chart_every=4))


@pytest.fixture(scope='session')
def calm(hospital):
    "The cohort of that hospital with many parts and blocks, in a process that nobody disturbs, and how long it took."
    out = hospital.parent / 'cohort'
    child = start(hospital, out)
    began = time.monotonic()
    go(child)
    said, wrong = child.communicate()
    assert child.returncode == 0, wrong
    return Cohort.load(out), time.monotonic() - began


@pytest.fixture
def undisturbed(calm, small_parts):
    "The same, and the builds of this test have parts and blocks as small."
    small_parts(PART, BLOCK)
    return calm


def start(root, out, work='', stop=''):
    "A build in a process of its own, ready to begin."
    child = subprocess.Popen([sys.executable, '-c', CHILD, root, out, work, stop, str(PART), str(BLOCK)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == 'ready\n', child.stderr.read()
    return child


def go(*children):
    "Let children begin."
    for child in children:
        child.stdin.write('\n')
        child.stdin.flush()


def finished(folder: Path) -> dict:
    "Path -> time of change of every part and block that is finished, below a folder of intermediate results."
    parts = [p for sidecar in folder.glob('**/part-*.json') for p in (sidecar, sidecar.with_suffix('.arrow'))]
    blocks = [p for p in folder.glob('blocks-*/[0-9]*/*')]
    paths = [p.relative_to(folder) for p in parts + blocks]
    return {str(p): (folder / p).stat().st_mtime_ns for p in paths if not p.parts[0].startswith('canary-')}  # those are copies for one look


def complete(folder: Path) -> dict:
    "The files of the cohort in a folder, each compared with its hash in the manifest; {} if there is nothing."
    if not folder.exists():
        return {}
    files = Cohort.load(folder).manifest['files']
    assert {n: digest for n, (_, digest) in snapshot(folder).items() if n != 'manifest.json'} == files
    return files


@pytest.mark.parametrize('part, block', [(10_000, BLOCK)])
def test_parts_change_nothing(part, block, hospital, calm, tmp_path, small_parts):
    "The same bytes whatever the size of parts."
    small_parts(part, block)
    made, expected = content(build_cohort(hospital, out=tmp_path / 'large')), content(calm[0])
    assert [name for name in expected if made[name] != expected[name]] == []


@pytest.mark.parametrize('before', ['nothing', 'another cohort'])
def test_sigkill_at_random_moments(before, hospital, undisturbed, tmp_path):
    "Killed again and again: always nothing or the old cohort, in the end the same bytes, no finished part done twice."
    whole, took = undisturbed
    rng, out, old, done, killed = random.Random(f'{SEED} {before}'), tmp_path / 'again' / 'cohort', {}, {}, 0
    for _ in range(12):
        if before == 'another cohort' and not old:
            old = content(build_cohort(hospital, out=out, split_seed=5))
        child = start(hospital, out)
        go(child)
        try:
            child.wait(took * rng.uniform(0.02, 0.4))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        child.communicate()
        if child.returncode == 0 or complete(out) == content(whole):  # it was quicker (if only by its last breath): begin anew
            assert complete(out) == content(whole)
            shutil.rmtree(out)
            old, done = {}, {}
            continue
        killed += 1
        assert complete(out) == old
        now = finished(out.parent / '.cohort.work')
        assert done.items() <= now.items()
        done = now
        if killed == 6:
            break
    assert killed >= 3
    assert content(build_cohort(hospital, out=out)) == content(whole)


@pytest.mark.parametrize('stop', ['append_series', 'audit_split'])
def test_sigkill_while_the_cohort_is_written(stop, hospital, undisturbed, tmp_path):
    "The late moments one by one; after the next build nothing is left beside the cohort."
    out = tmp_path / 'again' / 'cohort'
    child = start(hospital, out, stop=stop)
    go(child)
    child.communicate()
    assert child.returncode == -signal.SIGKILL and not out.exists()
    assert content(build_cohort(hospital, out=out)) == content(undisturbed[0])
    assert [p.name for p in out.parent.iterdir()] == ['cohort']


class Interrupted(BaseException):
    "What a test raises in the middle of a build."


@pytest.mark.parametrize('module, name, calls', [(tables, 'write_part', 7), (blocks, 'save_block', 3),
                                                 (cohorts, 'canaries', 1)])
def test_interrupted_build_goes_on(module, name, calls, hospital, undisturbed, tmp_path, monkeypatch):
    "What an interrupted build had finished is not done again by the next one."
    out, real, left = tmp_path / 'again' / 'cohort', getattr(module, name), [calls]

    def until(*args, **more):
        left[0] -= 1
        if left[0] <= 0:
            raise Interrupted
        return real(*args, **more)

    monkeypatch.setattr(module, name, until)
    work = out.parent / '.cohort.work'
    with pytest.raises(Interrupted):
        build_cohort(hospital, out=out)
    done = finished(work)
    assert len(done) > 4 and not out.exists()
    left[0] = calls
    with pytest.raises(Interrupted):
        build_cohort(hospital, out=out)
    assert done.items() <= finished(work).items()
    assert len(finished(work)) > len(done) or name == 'canaries'
    monkeypatch.setattr(module, name, real)
    assert content(build_cohort(hospital, out=out)) == content(undisturbed[0])


@pytest.mark.parametrize('kept', [False, True], ids=['work beside out', 'work kept'])
def test_two_processes_build_the_same_cohort(kept, hospital, undisturbed, tmp_path):
    "Both succeed, with the same cohort, and leave nothing beside it."
    out, work = tmp_path / 'again' / 'cohort', tmp_path / 'work' if kept else ''
    lock = (work or out.parent / '.cohort.work') / 'lock'
    lock.parent.mkdir(parents=True)
    with FileLock(lock):  # both wait here, so that none comes too late
        children = [start(hospital, out, work) for _ in range(2)]
        go(*children)
        time.sleep(1)
    said = [(*child.communicate(timeout=60), child.returncode) for child in children]
    for printed, wrong, status in said:
        assert status == 0, wrong[-600:]
        assert printed.strip() == undisturbed[0].manifest['content']
    assert complete(out) == content(undisturbed[0])
    assert [p.name for p in out.parent.iterdir()] == ['cohort']


def test_kept_work_after_a_table_changed(hospital, tmp_path, monkeypatch):
    "Intermediate results of one state of the tables do not find their way into a cohort of another."
    monkeypatch.setattr(blocks, 'ROWS_PER_BLOCK', 15_000)
    root = tmp_path / 'hospital'
    shutil.copytree(hospital, root)
    build_cohort(root, out=tmp_path / 'before', work=tmp_path / 'work')
    path = root / 'icu' / 'chartevents.csv.gz'
    lines = unpacked(path).splitlines(True)
    path.write_bytes(gzip.compress(b''.join(lines[:len(lines) // 2]), 1))
    made = build_cohort(root, out=tmp_path / 'after', work=tmp_path / 'work')
    assert made.ledger.equals(build_cohort(root, out=tmp_path / 'fresh').ledger)
