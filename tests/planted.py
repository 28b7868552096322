"""A synthetic hospital that looks as if it came with credentials, with patients who can be recognised wherever they turn up.

The canaries are a name, a phone number, an address, a rare finding and a date in reports, a number with many digits in the
series, and the identifiers and moments of all patients. `canaries_in(path, ...)` finds them in any file that the kit makes.
"""
import base64
import binascii
import csv
import gzip
import io
import re
import shutil
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from lp_nb.data.hospital import make_hospital
from lp_nb.data.people import HospitalConfig

NAME, STREET, FINDING = 'Zyxwyth Quorvane', '14 Glimmerholt Lane, Dunwithy', 'thrumblewort effusion'
PHONE, DATE, VALUE = '-'.join(['617', '555', '0142']), '19 March 2207', 137.482913
SENTENCES = (f'Findings were told to {NAME}, by phone, {PHONE}, on {DATE}.', f'The patient, {NAME}, lives at {STREET}.',
             f'There is a {FINDING}. {NAME} was seen.')
WORDS = ('zyxwyth', 'quorvane', 'glimmerholt', 'dunwithy', 'thrumblewort', PHONE, DATE.lower(), str(VALUE), '137.48')
GLUCOSE = ('220621', '225664', '50931', '50809')  # items of the two event tables
SIZE = HospitalConfig(patients=260, general=0, seed=5, chart_every=4)


def read_table(path: Path) -> list:
    "The header and the rows of a packed table."
    return list(csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode(), newline='')))


def write_table(path: Path, rows: list):
    "Replace a packed table."
    out = io.StringIO()
    csv.writer(out, lineterminator='\n').writerows(rows)
    path.write_bytes(gzip.compress(out.getvalue().encode(), 1))


def change(root: Path, table: str, column: str, row: int, value):
    "Set one cell of a table, in a row counted from 1, to a text or a function of it; what was there."
    path = next(root.rglob(f'{table}.csv.gz'))
    rows = read_table(path)
    at = rows[0].index(column)
    old, rows[row][at] = rows[row][at], value(rows[row][at]) if callable(value) else value
    write_table(path, rows)
    return old


def plant(root: Path) -> Path:
    "A hospital in `root` without the marker that makes it open data, its patients planted."
    make_hospital(root, SIZE)
    (root / 'hospital.json').unlink()
    for made_up in ('truth', 'general'):
        shutil.rmtree(root / made_up, ignore_errors=True)
    reports = read_table(root / 'note' / 'radiology.csv.gz')
    text, who = reports[0].index('text'), reports[0].index('subject_id')
    some = list(dict.fromkeys(row[who] for row in reports[1:]))[::9][:8]  # under ten patients
    for row in reports[1:]:
        if row[who] in some:
            row[text] += '\n' + ' '.join(SENTENCES) + '\n'
    write_table(root / 'note' / 'radiology.csv.gz', reports)
    for path in (root / 'icu' / 'chartevents.csv.gz', root / 'hosp' / 'labevents.csv.gz'):
        events = read_table(path)
        who, item, value, number = (events[0].index(c) for c in ('subject_id', 'itemid', 'value', 'valuenum'))
        for row in [r for r in events[1:] if r[who] in some and r[item] in GLUCOSE][:4]:
            row[value] = row[number] = str(VALUE)
        write_table(path, events)
    stays = read_table(root / 'hosp' / 'admissions.csv.gz')
    died, death, end = (stays[0].index(c) for c in ('hospital_expire_flag', 'deathtime', 'dischtime'))
    for row in stays[1::3]:  # enough deaths for every measure
        row[died], row[death] = '1', row[end]
    write_table(root / 'hosp' / 'admissions.csv.gz', stays)
    return root


def canaries_of(root: Path) -> set:
    "Everything that must not be found: words of reports, identifiers, moments of admission."
    stays = pl.read_csv(next(root.rglob('icustays.csv.gz')), infer_schema=False)
    ids = {i for column in ('subject_id', 'hadm_id', 'stay_id') for i in stays[column] if i}
    return {*WORDS, *ids, *stays['intime']}


def is_picture(data: bytes, start: int) -> bool:
    "Whether a packed stream of a PDF that begins at `start` is an image: its dictionary, which ends there, says so."
    return b'/Image' in data[data.rfind(b' obj', 0, start):start]


def layers(data: bytes):
    "A file's bytes as text, and what is packed or coded in them: gzip, streams of PDF, texts of PNG, base64; pixels spell numbers by chance and are left out."
    yield data
    if data[:2] == b'\x1f\x8b':
        yield gzip.decompress(data)
    packed = [m.end() for m in re.finditer(rb'stream\r?\n', data) if not is_picture(data, m.end())]
    packed += [m.end() for m in re.finditer(rb'zTXt[^\0]*\0\0|iTXt[^\0]*\0\x01\0[^\0]*\0[^\0]*\0', data)]
    for start in packed:
        try:
            yield zlib.decompressobj().decompress(data[start:])
        except zlib.error:  # not a packed stream
            continue
    for coded in re.findall(rb'[A-Za-z0-9+/]{80,}={0,2}', data):
        try:
            yield from layers(base64.b64decode(coded + b'=' * (-len(coded) % 4)))
        except binascii.Error:  # not base64
            continue


def canaries_in(thing, canaries: set) -> set:
    "The canaries in a text, in bytes, in a file, or in all files below a folder, in their names too."
    if isinstance(thing, Path) and thing.is_dir():
        return set().union(*(canaries_in(p, canaries) | canaries_in(p.name, canaries) for p in thing.rglob('*') if p.is_file()), set())
    data = thing.read_bytes() if isinstance(thing, Path) else thing if isinstance(thing, bytes) else str(thing).encode()
    found = set()
    for layer in layers(data):
        text = layer.decode('utf-8', 'replace').lower()
        numbers = {n.replace('t', ' ') for n in re.findall(r'(?<!\d)\d{8}(?!\d)|\d{4}-\d\d-\d\d[ t]\d\d:\d\d:\d\d', text)}
        found |= {c for c in canaries if c in numbers or c in WORDS and c in text} | as_bytes(layer, canaries)
    return found


def as_bytes(data: bytes, canaries: set) -> set:
    "The identifiers that stand in bytes as whole numbers of 64 bits."
    ids, found = np.array([int(c) for c in canaries if c.isdigit()]), set()
    for start in range(8 if len(data) > 16 else 0):
        numbers = np.frombuffer(data, '<i8', (len(data) - start) // 8, start)
        found |= {str(n) for n in numbers[np.isin(numbers, ids)]}
    return found


@contextmanager
def no_network(patch):
    "Inside, whoever looks up a name or connects to another machine fails."
    import socket

    def refused(*args, **more):
        raise AssertionError(f'the network was asked: {args[1:]}')

    with patch.context() as p:
        p.setattr(socket.socket, 'connect', refused)
        p.setattr(socket.socket, 'connect_ex', refused)
        p.setattr(socket, 'getaddrinfo', refused)
        yield
