"The prior work's cohort pipeline, rule by rule, in slow and plain pandas: what a faster builder is held against."
import csv
import gzip
import io
import re
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

ASSETS = Path(__file__).parents[1] / 'lp_nb' / 'assets'
FACTS = {'variable_map.csv': 'a6dc63fd160c39eb56e202707cb8cf212b0307544ec71576af0bf28afe778340',
         'phenotype_definitions.csv': '86c4ac421fb4ef3a7240b6f6c3afff0af02a9444862109dfcef818bb296c144c'}
TASKS = ('mortality', 'phenotyping')
EPS = 1e-6
# The tables in the order in which they are read, each with the last item id that MIMIC-III knows.
LAST_ITEM = {'outputevents': 228647, 'chartevents': 228647, 'labevents': 51555}
STAY = ['subject_id', 'hadm_id', 'stay_id', 'first_careunit', 'last_careunit', 'intime', 'outtime', 'los']
EVENT = ['subject_id', 'hadm_id', 'stay_id', 'charttime', 'itemid', 'value', 'valuenum']
NUMBER = re.compile(r'^(\d+(\.\d*)?|\.\d+)$')
PAIR = re.compile(r'^(\d+)/(\d+)$')
# What pandas before 2.0 reads as missing; the word None is a value.
MISSING = ['', '#N/A', '#N/A N/A', '#NA', '-1.#IND', '-1.#QNAN', '-NaN', '-nan', '1.#IND', '1.#QNAN', '<NA>', 'N/A', 'NA',
           'NULL', 'NaN', 'n/a', 'nan', 'null']
# variable -> (what a bin holds before the first value, its words where it is categorical), in the order of the columns
CHANNELS = {
    'Capillary refill rate': ('0.0', ['0.0', '1.0']),
    'Diastolic blood pressure': ('59.0', None),
    'Fraction inspired oxygen': ('0.21', None),
    'Glascow coma scale eye opening': ('4 Spontaneously', [
        'To Pain', '3 To speech', '1 No Response', '4 Spontaneously', 'None', 'To Speech', 'Spontaneously', '2 To pain']),
    'Glascow coma scale motor response': ('6 Obeys Commands', [
        '1 No Response', '3 Abnorm flexion', 'Abnormal extension', 'No response', '4 Flex-withdraws', 'Localizes Pain',
        'Flex-withdraws', 'Obeys Commands', 'Abnormal Flexion', '6 Obeys Commands', '5 Localizes Pain', '2 Abnorm extensn']),
    'Glascow coma scale total': ('15', '11 10 13 12 15 14 3 5 4 7 6 9 8'.split()),
    'Glascow coma scale verbal response': ('5 Oriented', [
        '1 No Response', 'No Response', 'Confused', 'Inappropriate Words', 'Oriented', 'No Response-ETT', '5 Oriented',
        'Incomprehensible sounds', '1.0 ET/Trach', '4 Confused', '2 Incomp sounds', '3 Inapprop words']),
    'Glucose': ('128.0', None),
    'Heart Rate': ('86', None),
    'Height': ('170.0', None),
    'Mean blood pressure': ('77.0', None),
    'Oxygen saturation': ('98.0', None),
    'Respiratory rate': ('19', None),
    'Systolic blood pressure': ('118.0', None),
    'Temperature': ('36.6', None),
    'Weight': ('81.0', None),
    'pH': ('7.4', None)}
VARIABLES = sorted(CHANNELS)
RAW = ['Heart Rate', 'Respiratory rate', 'Mean blood pressure', *(v for v in VARIABLES if v.startswith('Glascow'))]
# column -> (mean, standard deviation) of MIMIC-III
NORMS = {2: (61.73746731237323, 221.89647947315552), 3: (0.2941986945120962, 0.1714931950435367),
         49: (140.38699662380586, 1766.7412133808477), 50: (85.53853938464474, 57.11693013941011),
         51: (169.80350234321443, 6.222631784123813), 52: (79.59640838796953, 148.53013549514117),
         53: (104.98108350952208, 5135.238732591619), 54: (19.867925156740334, 7.3213287278950965),
         55: (122.3975667186341, 141.3988560835634), 56: (36.94399135355236, 5.277914736088037),
         57: (83.76208973419455, 27.233083363220278), 58: (7.207267791681239, 1.6568268628593597)}


def fact(name):
    "A shipped table of facts, refused where it is not the one that these rules were written for."
    blob = (ASSETS / name).read_bytes()
    if sha256(blob).hexdigest() != FACTS[name]:
        raise ValueError(f'{name} has changed')
    return pd.read_csv(io.BytesIO(blob), dtype={'icd_code': str})


ITEMS = fact('variable_map.csv')[['itemid', 'variable', 'mimic_label']]
GROUPS = fact('phenotype_definitions.csv')[['label_index', 'phenotype', 'icd_code']]
NAMES = list(GROUPS.drop_duplicates('label_index').sort_values('label_index').phenotype)


def load(text, **how):
    "Text of a csv file as pandas before 2.0 reads it, types inferred from each whole column."
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=MISSING, low_memory=False, **how)


def reload(frame):
    "A table after being written to a file and read again."
    return load(frame.to_csv(index=False))


def find(root, name):
    "The file of a table in any layout, or None."
    paths = [Path(root) / folder / (name + end) for folder in ('core', 'hosp', 'icu') for end in ('.csv', '.csv.gz')]
    return next((p for p in paths if p.exists()), None)


def read(root, name, columns, **how):
    "Some columns of a table."
    blob = find(root, name).read_bytes()
    text = (gzip.decompress(blob) if blob[:2] == b'\x1f\x8b' else blob).decode()
    return load(text, **how)[columns]


def dates(frame, *columns):
    "The table with these columns as times."
    return frame.assign(**{c: pd.to_datetime(frame[c]) for c in columns})


def died_within(stays, start, end):
    "Whether either record of death lies between two times, both included."
    return sum(stays[c].notnull() & (stays[start] <= stays[c]) & (stays[c] <= stays[end]) for c in ('dod', 'deathtime')) > 0


def kept_stays(root):
    "The ICU stays that the selection keeps: no transfer, then alone in their admission, then adult."
    stays = read(root, 'icustays', STAY)
    admissions = read(root, 'admissions', ['subject_id', 'hadm_id', 'admittime', 'dischtime', 'deathtime'])
    patients = read(root, 'patients', ['subject_id', 'anchor_age', 'dod'])
    stays = stays[stays.first_careunit == stays.last_careunit]
    stays = stays.merge(admissions, on=['subject_id', 'hadm_id']).merge(patients, on='subject_id')
    stays = stays[stays.groupby('hadm_id').stay_id.transform('count') == 1]
    stays = stays[stays.anchor_age.where(stays.anchor_age >= 0, 90) >= 18]
    stays = dates(stays, 'intime', 'outtime', 'admittime', 'dischtime', 'deathtime', 'dod')
    return stays.assign(mortality=died_within(stays, 'admittime', 'dischtime').astype(int))


def kept_diagnoses(root, stays):
    "Diagnosis rows of the kept stays whose code is in the dictionary, whatever its version there."
    rows = read(root, 'diagnoses_icd', ['subject_id', 'hadm_id', 'icd_code'], dtype={'icd_code': str})
    rows = rows.merge(read(root, 'd_icd_diagnoses', ['icd_code'], dtype={'icd_code': str}), on='icd_code')
    return rows.merge(stays[['subject_id', 'hadm_id', 'stay_id']], on=['subject_id', 'hadm_id'])


def labels_of(codes):
    "The 25 labels of a stay with these diagnosis codes."
    labels = np.zeros(len(NAMES), int)
    labels[GROUPS.label_index[GROUPS.icd_code.isin(codes)].unique()] = 1
    return labels


def table_rows(root, name):
    "The rows of an event table, every cell as text; none where there is no such file."
    path = find(root, name)
    if path is not None:
        with (gzip.open if path.suffix == '.gz' else open)(path, 'rt', newline='', encoding='utf-8') as f:
            yield from csv.DictReader(f)


def subject_events(root, subjects):
    "Text of the events file of each subject: every row of a known item, table after table."
    kept = {str(s): [] for s in subjects}
    mapped = set(ITEMS.itemid)
    for table, last in LAST_ITEM.items():
        unit = 'valueuom' if table == 'outputevents' else 'valuenum'
        for row in table_rows(root, table):
            if row['subject_id'] in kept and (int(row['itemid']) <= last or int(row['itemid']) in mapped):
                kept[row['subject_id']].append({**{c: row.get(c, '') for c in EVENT}, 'valuenum': row[unit]})
    return {int(s): events_file(rows) for s, rows in kept.items()}


def events_file(rows):
    "Rows as the text of a csv file."
    out = io.StringIO()
    writer = csv.DictWriter(out, EVENT)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def validate(text, stays):
    "Events with an admission that has a kept stay and with the id of that stay, which they are given where they have none."
    events = load(text).dropna(subset=['hadm_id'])
    if events.empty:
        return events
    events = events.merge(stays[['hadm_id', 'stay_id']], on='hadm_id', suffixes=['', '_kept'])
    events['stay_id'] = events.stay_id.fillna(events.stay_id_kept)
    return reload(events.loc[events.stay_id == events.stay_id_kept, EVENT])


def clean(variable, label, value):
    "One value of a variable after cleaning; text that makes no number is an error, except in laboratory values."
    text = isinstance(value, str)
    if variable in RAW:
        return value if text else float(value)
    if variable in ('Glucose', 'pH', 'Oxygen saturation') and text and not NUMBER.match(value):
        return np.nan
    if variable in ('Systolic blood pressure', 'Diastolic blood pressure') and text and '/' in value:
        if not PAIR.match(value):
            raise ValueError(f'{variable}: {value!r}')
        return float(PAIR.match(value)[1 if variable.startswith('S') else 2])
    number = float(value)
    if variable == 'Fraction inspired oxygen':
        return number / 100
    if variable == 'Oxygen saturation':
        return number * 100 if number <= 1 else number
    if variable == 'Temperature':
        return (number - 32) * 5 / 9 if number >= 79 else number
    if variable == 'Weight':
        return number * 0.453592 if 'lb' in label.lower() else number
    return number


def observations(events):
    "(charttime, stay_id, variable, value) of the events that have a clean value of one of the variables."
    events = events[events.value.notnull()]
    events = events.assign(itemid=events.itemid.astype(int)).merge(ITEMS, on='itemid')
    events = events.assign(charttime=pd.to_datetime(events.charttime), stay_id=events.stay_id.astype(int))
    for row in events.itertuples():
        value = clean(row.variable, row.mimic_label, row.value)
        if not pd.isnull(value):
            yield row.charttime, row.stay_id, row.variable, value


def timeline(events):
    "{charttime: {variable: greatest value}} and {charttime: stay ids}, as text or as numbers, whatever the values are."
    cells, owners = {}, {}
    for time, stay, variable, value in observations(events):
        cell = cells.setdefault(time, {})
        cell[variable] = max(cell.get(variable, value), value)
        owners.setdefault(time, set()).add(stay)
    return cells, owners


def episode_rows(cells, owners, stay):
    "The rows of one stay: at times of its own events, whenever they are, and at any time within it."
    times = [t for t in sorted(cells) if stay.stay_id in owners[t] or stay.intime <= t <= stay.outtime]
    rows = [{'Hours': (t - stay.intime).total_seconds() / 60 / 60, **cells[t]} for t in times]
    return pd.DataFrame(rows, columns=['Hours', *VARIABLES], dtype=object).astype({'Hours': float})


def by_subject(root):
    "(subject_id, its kept stays in time order, its validated events) for every subject with a kept stay."
    stays = kept_stays(root)
    texts = subject_events(root, stays.subject_id.unique())
    for subject, own in stays.groupby('subject_id'):
        own = dates(reload(own.sort_values('intime', kind='stable')), 'intime', 'outtime')
        own = own.sort_values(['intime', 'outtime'], kind='stable')
        yield subject, own, validate(texts[subject], own)


def subject_episodes(subject, stays, events, codes):
    "The episodes of one subject that have a row and a diagnosis."
    cells, owners = timeline(events)
    for i, stay in enumerate(stays.itertuples(), 1):
        rows = episode_rows(cells, owners, stay)
        if len(rows) and stay.stay_id in codes:
            yield {'subject_id': int(subject), 'hadm_id': int(stay.hadm_id), 'stay_id': int(stay.stay_id), 'episode': i,
                   'los_h': 24.0 * stay.los, 'mortality': int(stay.mortality), 'labels': labels_of(codes[stay.stay_id]),
                   'rows': rows}


def episodes(root):
    "Every kept stay that has events and a diagnosis row, by subject and time."
    codes = {}
    for stay, code in kept_diagnoses(root, kept_stays(root))[['stay_id', 'icd_code']].itertuples(index=False):
        codes.setdefault(stay, []).append(code)
    return [e for subject, stays, events in by_subject(root) for e in subject_episodes(subject, stays, events, codes)]


def cut(episode, task):
    "The rows within the window of a task, or None where the task leaves the stay out."
    if task not in TASKS:
        raise ValueError(f'{task!r} is not one of {TASKS}')
    end = 48.0 if task == 'mortality' else episode['los_h']
    if np.isnan(episode['los_h']) or (task == 'mortality' and episode['los_h'] < end - EPS):
        return None
    rows = episode['rows']
    rows = rows[(rows.Hours > -EPS) & (rows.Hours < end + EPS)]
    return rows if len(rows) else None


def encode(variable, text):
    "The columns of one value, from its text."
    words = CHANNELS[variable][1]
    if words is None:
        return [float(text)]
    one_hot = [0.0] * len(words)
    one_hot[words.index(text)] = 1.0
    return one_hot


def discretise(rows, end):
    "Hourly bins of 59 value columns, carried forward or normal where nothing was seen, and 17 masks."
    bins = int(end + 1.0 - EPS)
    seen = [{} for _ in range(bins)]
    for row in rows.to_dict('records'):
        if row['Hours'] > end + EPS:
            continue
        where = int(row['Hours'] - EPS)
        if where >= bins:
            raise ValueError(f'hour {row["Hours"]} is beyond {bins} bins')
        for v in VARIABLES:
            if not pd.isnull(row[v]):
                seen[where][v] = encode(v, row[v] if isinstance(row[v], str) else repr(float(row[v])))
    last = {v: encode(v, CHANNELS[v][0]) for v in VARIABLES}
    X = np.zeros((bins, 76))
    for k in range(bins):
        last.update(seen[k])
        X[k, :59] = np.concatenate([last[v] for v in VARIABLES])
        X[k, 59:] = [v in seen[k] for v in VARIABLES]
    return X


def sample(episode, task):
    "What a task makes of an episode: rows, period_length, X and y, or None where it leaves it out."
    rows = cut(episode, task)
    if rows is None:
        return None
    length = 0.0 if task == 'mortality' else float(f'{episode["los_h"]:.6f}')
    return {'rows': rows, 'period_length': length, 'X': discretise(rows, length if length > 0 else 48.0),
            'y': episode['mortality'] if task == 'mortality' else episode['labels']}


def normalise(X):
    "The continuous columns by the stored mean and standard deviation."
    Z = X.copy()
    for column, (mean, std) in NORMS.items():
        Z[:, column] = (X[:, column] - mean) / std
    return Z


def header(task):
    "The first line of a list file."
    return 'stay,period_length,stay_id,' + ('y_true' if task == 'mortality' else ','.join(NAMES))


def listfile(found, task):
    "(name of the series file, period_length as text, stay_id, labels) of the episodes that the task keeps."
    for e in found:
        if cut(e, task) is not None:
            name = f'{e["subject_id"]}_episode{e["episode"]}_timeseries.csv'
            length = '0' if task == 'mortality' else f'{e["los_h"]:.6f}'
            yield name, length, e['stay_id'], [e['mortality']] if task == 'mortality' else e['labels'].tolist()


def report(root):
    "Counts of a root, step by step."
    stays, kept = read(root, 'icustays', STAY), kept_stays(root)
    validated = [events for _, _, events in by_subject(root)]
    usable = sum(int(e.itemid.isin(ITEMS.itemid).sum()) for e in validated)
    print(f'stays {len(stays)} -> {(stays.first_careunit == stays.last_careunit).sum()} -> {len(kept)}')
    print(f'{kept.subject_id.nunique()} subjects, {sum(map(len, validated))} events, {usable} of the variables')
    found = episodes(root)
    print(f'{len(found)} episodes, {sum(e["mortality"] for e in found)} deaths, labels {sum(e["labels"] for e in found)}')
    for task in TASKS:
        samples = [s for s in (sample(e, task) for e in found) if s]
        X = np.concatenate([s['X'] for s in samples])
        print(f'{task}: {len(samples)} samples, {len(X)} bins, constant {np.flatnonzero(np.ptp(X, axis=0) == 0).tolist()}')
        print({c: float(f'{s:.2g}') for c, s in enumerate(normalise(X).std(axis=0)) if c in NORMS})


if __name__ == '__main__':
    report(sys.argv[1])
