"Hand-made roots that show one rule of the cohort each, and small random roots that mix them all."
import csv
import random
from datetime import datetime, timedelta
from pathlib import Path

BEGIN = datetime(2150, 3, 10, 8)  # when the first stay begins; hours below count from here
FOLDERS = {'patients': 'hosp', 'admissions': 'hosp', 'icustays': 'icu', 'diagnoses_icd': 'hosp', 'd_icd_diagnoses': 'hosp',
           'chartevents': 'icu', 'labevents': 'hosp', 'outputevents': 'icu'}
FULL = {
    'patients': 'subject_id gender anchor_age anchor_year anchor_year_group dod',
    'admissions': 'subject_id hadm_id admittime dischtime deathtime admission_type admit_provider_id admission_location '
                  'discharge_location insurance language marital_status race edregtime edouttime hospital_expire_flag',
    'icustays': 'subject_id hadm_id stay_id first_careunit last_careunit intime outtime los',
    'diagnoses_icd': 'subject_id hadm_id seq_num icd_code icd_version',
    'd_icd_diagnoses': 'icd_code icd_version long_title',
    'chartevents': 'subject_id hadm_id stay_id caregiver_id charttime storetime itemid value valuenum valueuom warning',
    'labevents': 'labevent_id subject_id hadm_id specimen_id itemid order_provider_id charttime storetime value valuenum '
                 'valueuom ref_range_lower ref_range_upper flag priority comments',
    'outputevents': 'subject_id hadm_id stay_id caregiver_id charttime storetime itemid value valueuom'}
LEAN = {**FULL,
        'patients': 'subject_id gender anchor_age dod',
        'admissions': 'subject_id hadm_id admittime dischtime deathtime race',
        'd_icd_diagnoses': 'icd_code long_title',
        'chartevents': 'subject_id hadm_id stay_id charttime itemid value valuenum',
        'labevents': 'subject_id hadm_id charttime itemid value valuenum',
        'outputevents': 'subject_id hadm_id stay_id charttime itemid value valueuom'}
LATER = {'admit_provider_id', 'caregiver_id', 'order_provider_id'}  # columns that v1 does not have
DEFAULTS = {
    'patients': {'gender': 'F', 'anchor_age': 60, 'anchor_year': 2150, 'anchor_year_group': '2014 - 2016'},
    'admissions': {'admission_type': 'EW EMER.', 'admit_provider_id': 'P00AAA', 'admission_location': 'EMERGENCY ROOM',
                   'insurance': 'Medicare', 'language': 'ENGLISH', 'marital_status': 'MARRIED', 'race': 'WHITE'},
    'icustays': {'first_careunit': 'Medical Intensive Care Unit (MICU)'},
    'diagnoses_icd': {'seq_num': 1, 'icd_version': 10},
    'd_icd_diagnoses': {'icd_version': 10, 'long_title': 'A diagnosis'},
    'chartevents': {'caregiver_id': 7, 'warning': 0},
    'labevents': {'priority': 'ROUTINE'},
    'outputevents': {'caregiver_id': 7, 'valueuom': 'ml'}}
TRANSFER = {'last_careunit': 'Coronary Care Unit (CCU)'}
EYE, MOTOR, VERBAL, FIO2, HEART, RESP, RESP_TOTAL, MBP = 220739, 223901, 223900, 223835, 220045, 220210, 224690, 220052
SBP, DBP, SPO2, TEMP_F, TEMP_C, KILOS, POUNDS, INCHES, CENTIMETRES = (
    220050, 220051, 220277, 223761, 223762, 226512, 226531, 226707, 226730)
GLUCOSE, RHYTHM, UNKNOWN = 220621, 220048, 229999  # rhythm: an item that MIMIC-III knows but no variable uses
LAB_GLUCOSE, LAB_PH, LAB_SAO2, OTHER_PH, URINE_GLUCOSE = 50931, 50820, 50817, 50831, 51478
URINE_PH, URINE_PH_TOO, URINE_OUTPUT = 51491, 51094, 226559


def clock(hours, seconds=0):
    "Clock text so many hours after the first stay begins."
    return str(BEGIN + timedelta(hours=hours, seconds=seconds))


def number(text):
    "The text where it is a number, else nothing."
    try:
        return str(float(text)) if text != '' else ''
    except ValueError:
        return ''


def days(row):
    "Length of a stay in days."
    return (datetime.fromisoformat(row['outtime']) - datetime.fromisoformat(row['intime'])).total_seconds() / 86400


def complete(table, row, i):
    "A row with every column that it does not give filled in."
    row = {**DEFAULTS[table], **row}
    if table == 'admissions':
        dead = bool(row.get('deathtime'))
        row = {'hospital_expire_flag': int(dead), 'discharge_location': 'DIED' if dead else 'HOME', **row}
    elif table == 'icustays':
        row = {'last_careunit': row['first_careunit'], **row}
        row = {'los': days(row), **row}
    elif table.endswith('events'):
        row = {'storetime': row['charttime'], 'valuenum': number(row['value']), **row}
        row = {'labevent_id': i + 1, 'specimen_id': i + 1, **row}
    return row


def admissions_of(icustays):
    "One admission around the stays of each hadm_id, six hours before to two days after."
    for hadm in dict.fromkeys(s['hadm_id'] for s in icustays):
        own = [s for s in icustays if s['hadm_id'] == hadm]
        first, last = min(s['intime'] for s in own), max(s['outtime'] for s in own)
        yield {'subject_id': own[0]['subject_id'], 'hadm_id': hadm,
               'admittime': str(datetime.fromisoformat(first) - timedelta(hours=6)),
               'dischtime': str(datetime.fromisoformat(last) + timedelta(days=2))}


def write_table(folder, table, rows, layout, lean):
    "One table as csv in the place and with the columns of a layout."
    home = 'core' if layout == 'v1' and table in ('patients', 'admissions') else FOLDERS[table]
    columns = [c for c in (LEAN if lean else FULL)[table].split() if not (layout == 'v1' and c in LATER)]
    path = Path(folder) / home / f'{table}.csv'
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', newline='', encoding='utf-8') as f:
        writer = csv.writer(f, lineterminator='\n')
        writer.writerow(['ethnicity' if layout == 'v1' and c == 'race' else c for c in columns])
        full = [complete(table, row, i) for i, row in enumerate(rows)]
        writer.writerows([row.get(c, '') for c in columns] for row in full)


def write_root(folder, layout='v2', patients=None, admissions=None, icustays=(), diagnoses_icd=(), d_icd_diagnoses=None,
               chartevents=(), labevents=(), outputevents=None, lean=False):
    "Writes a root and returns it; patients, admissions and the dictionary follow from the other tables where not given."
    if layout not in ('v1', 'v2', 'v3'):
        raise ValueError(f'{layout!r} is not a layout')
    if admissions is None:
        admissions = list(admissions_of(icustays))
    if patients is None:
        patients = [{'subject_id': s} for s in dict.fromkeys(a['subject_id'] for a in admissions)]
    if d_icd_diagnoses is None:
        d_icd_diagnoses = [dict(icd_code=c, icd_version=v) for c, v in dict.fromkeys(
            (d['icd_code'], d.get('icd_version', 10)) for d in diagnoses_icd)]
    tables = {'patients': patients, 'admissions': admissions, 'icustays': icustays, 'diagnoses_icd': diagnoses_icd,
              'd_icd_diagnoses': d_icd_diagnoses, 'chartevents': chartevents, 'labevents': labevents}
    if outputevents is not None:
        tables['outputevents'] = outputevents
    for table, rows in tables.items():
        write_table(folder, table, rows, layout, lean)
    return Path(folder)


def ids(n):
    "Subject and admission of the n-th patient."
    return {'subject_id': 100 + n, 'hadm_id': 2000 + n}


def stay(n=1, start=0, hours=72, **more):
    "A stay of the n-th patient."
    return {**ids(n), 'stay_id': 30000 + n, 'intime': clock(start), 'outtime': clock(start + hours), **more}


def chart(itemid, value, hours=1, n=1, seconds=0, **more):
    "A charted value in the stay of the n-th patient."
    return {**ids(n), 'stay_id': 30000 + n, 'charttime': clock(hours, seconds), 'itemid': itemid, 'value': value, **more}


def lab(itemid, value, hours=1, n=1, **more):
    "A laboratory value in the admission of the n-th patient."
    return {**ids(n), 'charttime': clock(hours), 'itemid': itemid, 'value': value, **more}


def diagnosis(code, n=1, version=10, seq=1):
    "A diagnosis of the n-th patient."
    return {**ids(n), 'seq_num': seq, 'icd_code': code, 'icd_version': version}


def root_of(folder, charts=(), labs=(), stays=None, codes=None, **how):
    "A root with one ordinary stay of 72 hours, or these stays, and one labelled diagnosis for each, or these."
    stays = [stay()] if stays is None else stays
    if codes is None:
        codes = [{**diagnosis('N179'), 'subject_id': s, 'hadm_id': h}
                 for s, h in dict.fromkeys((s['subject_id'], s['hadm_id']) for s in stays)]
    return write_root(folder, icustays=stays, diagnoses_icd=codes, chartevents=list(charts), labevents=list(labs), **how)


WORD = chart(EYE, 'Spontaneously', 9)  # makes the values of its subject text
QUIRKS = {}


def quirk(f):
    "Lists a function that writes the root of one rule."
    QUIRKS[f.__name__] = f
    return f


TIES = [chart(HEART, '99'), chart(HEART, '101'), chart(RESP, '9'), chart(RESP_TOTAL, '18'), chart(MBP, '101', 2),
        chart(MBP, '99', 2), chart(SBP, '99', 3), chart(SBP, '101', 3)]


@quirk
def ties_as_text(folder, **how):
    "Two values at one time, a word elsewhere: heart rate 99 and respiratory rate 9 stay, but the cleaned pressure 101."
    return root_of(folder, [*TIES, WORD], **how)


@quirk
def ties_as_numbers(folder, **how):
    "The same without the word: 101 and 18 stay."
    return root_of(folder, TIES, **how)


@quirk
def ties_word_of_dropped_event(folder, **how):
    "The only word belongs to an admission without a kept stay, so the values are numbers when read again."
    away = stay(2, 200, subject_id=101, **TRANSFER)
    return root_of(folder, [*TIES, chart(EYE, 'None', 201, 2, subject_id=101)], stays=[stay(), away], **how)


@quirk
def ties_word_of_other_item(folder, **how):
    "The only word belongs to an item that no variable uses but the first step keeps: text."
    return root_of(folder, [*TIES, chart(RHYTHM, 'SR (Sinus Rhythm)')], **how)


@quirk
def ties_word_of_unknown_item(folder, **how):
    "The only word belongs to an item that the first step drops: numbers."
    return root_of(folder, [*TIES, chart(UNKNOWN, 'Some word')], **how)


@quirk
def oxygen_fraction(folder, **how):
    "Inspired oxygen is divided by 100 whatever its unit: 0.5, 0.005, 0.21, 1."
    return root_of(folder, [chart(FIO2, v, h) for h, v in enumerate(['50', '0.5', '21', '100'], 1)], **how)


@quirk
def temperature_79(folder, **how):
    "From 79 on a temperature is taken for Fahrenheit, whatever its item says."
    charts = [chart(TEMP_F, v, h) for h, v in enumerate(['78', '79', '98.6'], 1)]
    return root_of(folder, charts + [chart(TEMP_C, v, h) for h, v in enumerate(['79', '78.9', '37'], 5)], **how)


@quirk
def height_in_inches(folder, **how):
    "Inches stay inches; where both items share a time the greater number is that in centimetres."
    charts = [chart(INCHES, '67'), chart(INCHES, '67', 5), chart(CENTIMETRES, '170', 5), chart(HEART, '80', 7)]
    return root_of(folder, charts, **how)


@quirk
def weight_in_pounds(folder, **how):
    "Pounds are converted, kilograms are not."
    return root_of(folder, [chart(POUNDS, '176'), chart(KILOS, '80', 3)], **how)


@quirk
def saturation_fraction(folder, **how):
    "Saturations up to 1 are taken for fractions."
    charts = [chart(SPO2, v, h) for h, v in enumerate(['0.97', '1', '1.01', '97', '0'], 1)]
    return root_of(folder, charts, [lab(LAB_SAO2, '0.98', 7), lab(LAB_SAO2, '98', 8)], **how)


@quirk
def pressure_pairs(folder, **how):
    "Text a/b gives the systolic a and the diastolic b."
    return root_of(folder, [chart(SBP, '120/80'), chart(DBP, '120/80'), chart(SBP, '95', 2), chart(DBP, '60', 2)], **how)


@quirk
def masked_labs(folder, **how):
    "Values masked as ___ are lost though their number is there."
    labs = [lab(LAB_GLUCOSE, '___', 1, valuenum='110', comments='___'), lab(LAB_PH, '___', 1, valuenum='7.2'),
            lab(LAB_SAO2, '___', 1, valuenum='97'), lab(LAB_PH, '7.31', 4)]
    return root_of(folder, [chart(HEART, '80')], labs, **how)


@quirk
def lab_texts(folder, **how):
    "Laboratory text that is no plain number is lost: a sign, a blank, a comparison, a word."
    texts = ['>500', 'ERROR', 'NEG', '-5', '7.4 ', '1e2', '.5', '7.', '101']
    return root_of(folder, [chart(HEART, '80')], [lab(LAB_GLUCOSE, t, h) for h, t in enumerate(texts, 1)], **how)


@quirk
def negative_number(folder, **how):
    "Where all values of a subject are numbers, a negative glucose stays."
    return root_of(folder, [chart(HEART, '80')], [lab(LAB_GLUCOSE, '-5', 2)], **how)


@quirk
def other_fluids(folder, **how):
    "Glucose and pH of urine and other fluids count as those of blood; the maximum stays."
    labs = [lab(LAB_GLUCOSE, '110'), lab(URINE_GLUCOSE, '1000'), lab(LAB_PH, '7.4'), lab(URINE_PH, '5.0'),
            lab(URINE_PH, '6.5', 3), lab(URINE_PH_TOO, '5.5', 4), lab(OTHER_PH, '7.9', 5)]
    return root_of(folder, [WORD], labs, **how)


@quirk
def window_edges(folder, **how):
    "Values at the edges of hours and of the window; an hour ends with its last second, the first begins with second 0."
    edges = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (47, 0), (47, 1), (48, 0), (48, 1), (72, 0), (72, 1)]
    return root_of(folder, [chart(HEART, str(60 + i), h, seconds=s) for i, (h, s) in enumerate(edges)], **how)


@quirk
def lengths_of_stay(folder, **how):
    "Exactly 48 hours, a second less (not a mortality sample), a second more, and a rounding error less."
    stays = [stay(1, hours=48), stay(2, hours=48, outtime=clock(48, -1)), stay(3, hours=48, outtime=clock(48, 1)),
             stay(4, hours=48, los='1.99999999')]
    return root_of(folder, [chart(HEART, str(60 + h), h, n) for n in (1, 2, 3, 4) for h in (1, 47, 48)], stays=stays, **how)


@quirk
def whole_hours_of_stay(folder, **how):
    "Phenotyping has as many bins as hours have begun: 3, 4 and 1; values of the last second count."
    stays = [stay(1, hours=3), stay(2, hours=3, outtime=clock(3, 1)), stay(3, hours=1 / 60)]
    last = [chart(HEART, '70', 3), chart(HEART, '70', 3, 2, 1), chart(HEART, '70', 0, 3, 60)]
    return root_of(folder, [chart(HEART, '60', 0, n) for n in (1, 2, 3)] + last, stays=stays, **how)


@quirk
def length_zero(folder, **how):
    "A stay of no length with a value at its one instant is given 48 bins."
    return root_of(folder, [chart(HEART, '80', 0), chart(HEART, '80', 1, 2)], stays=[stay(1, hours=0), stay(2)], **how)


@quirk
def own_event_in_other_window(folder, **how):
    "An event with the id of one stay within the next one enters both episodes, and takes its neighbours at that time along."
    charts = [chart(HEART, '80'), chart(HEART, '90', 245), chart(RESP, '20', 245, 2, subject_id=101),
              chart(HEART, '85', 241, 2, subject_id=101)]
    return root_of(folder, charts, stays=[stay(), stay(2, 240, subject_id=101)], **how)


@quirk
def own_event_before_intime(folder, **how):
    "An event with the id of its stay two hours before it is in the episode, in no sample, and not carried in."
    return root_of(folder, [chart(HEART, '90', -2), chart(HEART, '80', 5)], **how)


@quirk
def own_event_after_outtime(folder, **how):
    "The same two hours after the end."
    return root_of(folder, [chart(HEART, '80', 5), chart(HEART, '90', 74)], **how)


@quirk
def lab_without_admission(folder, **how):
    "A laboratory value without hadm_id is dropped though it lies within the stay."
    return root_of(folder, [chart(HEART, '80')], [lab(LAB_PH, '7.2', 2, hadm_id=''), lab(LAB_PH, '7.4', 4)], **how)


@quirk
def lab_outside_stay(folder, **how):
    "Laboratory values of the admission before and after the stay are in the episode, in no sample."
    labs = [lab(LAB_PH, '7.1', -3), lab(LAB_PH, '7.2', 2), lab(LAB_PH, '7.3', 75)]
    return root_of(folder, [chart(HEART, '80')], labs, **how)


@quirk
def lab_of_other_admission(folder, **how):
    "A laboratory value within the stay that carries another admission without a kept stay is dropped."
    adms = list(admissions_of([stay(), stay(2, 300, subject_id=101)]))
    return root_of(folder, [chart(HEART, '80')], [lab(LAB_PH, '7.2', 2, 2, subject_id=101)], admissions=adms, **how)


@quirk
def other_stay_of_admission(folder, **how):
    "An event that carries the transfer stay of the same admission is dropped, even within the kept stay."
    other = stay(1, 100, stay_id=30002, **TRANSFER)
    return root_of(folder, [chart(HEART, '80'), chart(HEART, '90', 5, stay_id=30002)], stays=[stay(), other], **how)


@quirk
def event_without_stay(folder, **how):
    "A charted value without stay_id is given the kept stay of its admission."
    return root_of(folder, [chart(HEART, '80'), chart(HEART, '90', 5, stay_id='')], **how)


@quirk
def all_before_intime(folder, **how):
    "A stay whose events all precede it has an episode but no sample."
    return root_of(folder, [chart(HEART, '80', -1), chart(HEART, '80', 1, 2)], stays=[stay(), stay(2)], **how)


@quirk
def nothing_usable(folder, **how):
    "A stay whose only event is of no variable has no episode."
    return root_of(folder, [chart(RHYTHM, 'AF'), chart(HEART, '80', 1, 2)], stays=[stay(), stay(2)], **how)


@quirk
def no_diagnosis(folder, **how):
    "A stay without a diagnosis row is in no task, but the next one of its subject keeps its number 2."
    charts = [chart(HEART, '80'), chart(HEART, '81', 241, 2, subject_id=101)]
    codes = [{**diagnosis('N179', 2), 'subject_id': 101}]
    return root_of(folder, charts, stays=[stay(), stay(2, 240, subject_id=101)], codes=codes, **how)


@quirk
def code_missing_from_dictionary(folder, **how):
    "Codes that the dictionary lacks do not count; a stay with no other code is in no task."
    codes = [diagnosis('N179'), diagnosis('I509', seq=2), diagnosis('N179', 2)]
    known = [{'icd_code': 'I509', 'icd_version': 10}]
    return root_of(folder, [chart(HEART, '80', 1, n) for n in (1, 2)], stays=[stay(), stay(2)], codes=codes,
                   d_icd_diagnoses=known, **how)


@quirk
def code_in_both_versions(folder, **how):
    "V420 is a kidney transplant in ICD-9 and a transport accident in ICD-10, and labels both."
    codes = [diagnosis('V420'), diagnosis('V420', 2, 9), diagnosis('Z0000', 2, seq=2)]
    known = [dict(icd_code=c, icd_version=v) for c, v in [('V420', 9), ('V420', 10), ('Z0000', 10)]]
    return root_of(folder, [chart(HEART, '80', 1, n) for n in (1, 2)], stays=[stay(), stay(2)], codes=codes,
                   d_icd_diagnoses=known, **how)


@quirk
def mapped_codes(folder, **how):
    "One code for each stay: N179, I509, 0389 and 4280 label it, J9601, J80, I480 and E1122 do not."
    names = dict(enumerate(['N179', 'I509', '0389', '4280', 'J9601', 'J80', 'I480', 'E1122'], 1))
    codes = [diagnosis(c, n, 9 if c.isdigit() else 10) for n, c in names.items()]
    return root_of(folder, [chart(HEART, '80', 1, n) for n in names], stays=[stay(n) for n in names], codes=codes, **how)


def one_death(folder, dod='', deathtime='', flag=0, **how):
    "An ordinary stay with these records of a death; admission at hour -6, discharge at hour 120."
    admission = {**next(admissions_of([stay()])), 'deathtime': deathtime, 'hospital_expire_flag': flag}
    return root_of(folder, [chart(HEART, '80')], admissions=[admission], patients=[{'subject_id': 101, 'dod': dod}], **how)


@quirk
def death_in_hospital(folder, **how):
    "The ordinary case: 1."
    return one_death(folder, clock(119)[:10], clock(119), 1, **how)


@quirk
def death_on_discharge_day(folder, **how):
    "A death at home on the day of discharge: its date is midnight, before the discharge, so 1."
    return one_death(folder, clock(120)[:10], **how)


@quirk
def death_on_admission_day(folder, **how):
    "A date of death that is midnight before the admission, and no time: 0."
    return one_death(folder, clock(-6)[:10], '', 1, **how)


@quirk
def death_after_discharge(folder, **how):
    "A time of death after the discharge, and a date of the next day: 0."
    return one_death(folder, clock(150)[:10], clock(150), 1, **how)


@quirk
def deathtime_after_discharge_same_day(folder, **how):
    "A time of death after the discharge, on its day: the time says no, the date says yes, so 1."
    return one_death(folder, clock(120, 600)[:10], clock(120, 600), 1, **how)


@quirk
def transfer_and_clean_stay(folder, **how):
    "Stays with a transfer go before stays are counted: the clean one of the admission is kept."
    return root_of(folder, [chart(HEART, '80')], stays=[stay(), stay(1, 80, stay_id=30002, **TRANSFER)], **how)


@quirk
def two_clean_stays(folder, **how):
    "Two clean stays drop their admission."
    charts = [chart(HEART, '80'), chart(HEART, '80', 81, stay_id=30003), chart(HEART, '80', 1, 2)]
    return root_of(folder, charts, stays=[stay(), stay(1, 80, stay_id=30003), stay(2)], **how)


@quirk
def anchor_age(folder, **how):
    "The age is that of the anchor year: 17 then and 19 at admission is dropped, 18 then is kept."
    patients = [{'subject_id': 101, 'anchor_age': 17, 'anchor_year': 2148}, {'subject_id': 102, 'anchor_age': 18}]
    return root_of(folder, [chart(HEART, '80', 1, n) for n in (1, 2)], stays=[stay(), stay(2)], patients=patients, **how)


@quirk
def coma_words(folder, **how):
    "Every word of MIMIC-IV; the eye's None is one of them, not a missing value."
    words = {EYE: ['None', 'To Pain', 'To Speech', 'Spontaneously'],
             MOTOR: ['No response', 'Abnormal extension', 'Abnormal Flexion', 'Flex-withdraws', 'Localizes Pain',
                     'Obeys Commands'],
             VERBAL: ['No Response', 'No Response-ETT', 'Incomprehensible sounds', 'Inappropriate Words', 'Confused',
                      'Oriented']}
    return root_of(folder, [chart(i, w, h) for i, own in words.items() for h, w in enumerate(own, 2)], **how)


@quirk
def missing_length(folder, **how):
    "A stay without a length is in no task."
    return root_of(folder, [chart(HEART, '80', 1, n) for n in (1, 2)], stays=[stay(los=''), stay(2)], **how)


@quirk
def height_before_intime(folder, **how):
    "A height charted just before the stay is cut off and not carried in."
    return root_of(folder, [chart(CENTIMETRES, '160', -0.5), chart(KILOS, '70', -0.5), chart(KILOS, '72', 2)], **how)


@quirk
def last_of_the_hour(folder, **how):
    "Within an hour the last value wins, each variable for itself, and is carried forward."
    charts = [chart(HEART, '70', 2.25), chart(HEART, '90', 2.5), chart(RESP, '15', 2.25), chart(HEART, '80', 5.5)]
    return root_of(folder, [*charts, WORD], **how)


# Random roots: numbers and texts of an item, none of which any step refuses.
NUMBERS = {HEART: '99 101 9 88.5', RESP: '9 18 101', RESP_TOTAL: '12 9.5', MBP: '65 99 101 -3', SBP: '120 95 101',
           DBP: '80 60 9', FIO2: '0.5 21 50 100', GLUCOSE: '110 95.5', SPO2: '0.97 1 97 100', TEMP_F: '78 79 98.6',
           TEMP_C: '36.6 79 37', KILOS: '80 0 72.5', POUNDS: '176', INCHES: '67', CENTIMETRES: '170', RHYTHM: '1 2',
           UNKNOWN: '1'}
TEXTS = {EYE: ['None', 'To Pain', 'Spontaneously'], MOTOR: ['No response', 'Obeys Commands', 'Flex-withdraws'],
         VERBAL: ['No Response-ETT', 'Oriented', 'Confused'], SBP: ['120/80', '99/101'], DBP: ['120/80'],
         SPO2: ['ERROR', '97 '], GLUCOSE: ['ERROR', '>500', '-5'], RHYTHM: ['AF'], HEART: ['', '100'], UNKNOWN: ['word']}
LAB_NUMBERS = {LAB_GLUCOSE: '110 99 -5', URINE_GLUCOSE: '1000', LAB_PH: '7.4 7.35', URINE_PH: '5.0 6.5',
               LAB_SAO2: '0.98 98 1'}
LAB_TEXTS = {LAB_GLUCOSE: ['___', '>500'], LAB_PH: ['___', '7.4 ', '.5'], LAB_SAO2: ['___', ''], URINE_GLUCOSE: ['NEG']}
CODES = [('N179', 10), ('J9601', 10), ('V420', 9), ('V420', 10), ('4280', 9), ('I509', 10), ('I480', 10), ('0389', 9),
         ('5849', 9), ('41401', 9), ('Z0000', 10), ('Q0000', 10)]
EDGES = [(0, 0), (0.5, 0), (-0.5, 0), (-2, 0), (1, 0), (1, 1), (2.25, 0), (5, 0), (47, 1), (48, 0), (48, 1), (60, 0)]
LENGTHS = [(48, 0), (48, -1), (48, 1), (72, 0), (60.5, 7), (100.25, 0), (20, 1), (0, 600), (50, 3599)]


def moved(text, hours=0, seconds=0):
    "A clock text so much later."
    return str(datetime.fromisoformat(text) + timedelta(hours=hours, seconds=seconds))


def random_stays(rng, n, a, begin):
    "Stays of one admission one after another, some touching, some with a transfer, some without a length."
    stays, now = [], begin
    for k in range(rng.choice([0, 1, 1, 1, 1, 1, 1, 2, 2, 3])):
        end = moved(now, *rng.choice(LENGTHS))
        more = TRANSFER if rng.random() < 0.15 else {}
        more = {**more, 'los': ''} if rng.random() < 0.05 else more
        stays.append({'subject_id': 100 + n, 'hadm_id': 2000 + 10 * n + a, 'stay_id': 30000 + 100 * n + 10 * a + k,
                      'intime': now, 'outtime': end, **more})
        now = moved(end, rng.choice([0, 0, 5, 30]))
    return stays, now


def random_patient(rng, n, tables):
    "A patient with one to three admissions, their stays and diagnoses."
    now = clock(rng.choice([0, 7.5, 100]))
    for a in range(1 + (rng.random() < 0.5) + (rng.random() < 0.3)):
        stays, end = random_stays(rng, n, a, now)
        admission = {'subject_id': 100 + n, 'hadm_id': 2000 + 10 * n + a, 'admittime': moved(now, rng.choice([0, -6, -30])),
                     'dischtime': moved(end, rng.choice([0, 2, 26, 90]))}
        tables['admissions'].append(admission)
        tables['icustays'] += stays
        for seq, (code, version) in enumerate(rng.sample(CODES, rng.choice([0, 1, 2, 3, 4])), 1):
            tables['diagnoses_icd'].append({**{k: admission[k] for k in ('subject_id', 'hadm_id')}, 'seq_num': seq,
                                            'icd_code': code, 'icd_version': version})
        now = moved(end, rng.choice([0, 12, 240]))
    tables['patients'].append({'subject_id': 100 + n, 'gender': rng.choice('FM'), 'anchor_year': rng.choice([2148, 2150]),
                               'anchor_age': rng.choice([17, 18, 18, 40, 50, 60, 65, 75, 80, 91]),
                               'dod': random_death(rng, admission)})


def random_death(rng, admission):
    "Perhaps a death around the last admission: its date, the admission being given its time."
    start, end = admission['admittime'], admission['dischtime']
    time = rng.choice([''] * 8 + [end, moved(end, -1), moved(end, 3), moved(end, 30), start])
    if time and rng.random() < 0.7:
        admission['deathtime'] = time
        admission['hospital_expire_flag'] = 1
    return rng.choice([time[:10]] * 4 + ['', start[:10], end[:10]]) if time else ''


def pick(rng, numbers, texts, wordy):
    "An item and a value, perhaps one that is no number where words are allowed."
    if wordy and rng.random() < 0.45:
        item = rng.choice(list(texts))
        return item, rng.choice(texts[item])
    item = rng.choice([*numbers, *(i for i in (HEART, RESP, MBP) if i in numbers for _ in range(3))])
    return item, rng.choice(numbers[item].split())


def again(rng, row):
    "The same item at the same time with another of its values."
    item = row['itemid']
    value = rng.choice({**NUMBERS, **LAB_NUMBERS}[item].split() if item in NUMBERS or item in LAB_NUMBERS else TEXTS[item])
    return {**row, 'value': value, **({'valuenum': number(value)} if 'valuenum' in row else {})}


def random_chart(rng, own, times, wordy):
    "A charted value, now and then with another stay of the patient, another admission or no stay."
    where, other, chance = rng.choice(own), rng.choice(own), rng.random()
    item, value = pick(rng, NUMBERS, TEXTS, wordy)
    stay_id = other['stay_id'] if chance < 0.08 else '' if chance < 0.11 else where['stay_id']
    return {'subject_id': where['subject_id'], 'hadm_id': where['hadm_id'], 'stay_id': stay_id, 'itemid': item,
            'charttime': rng.choice(times), 'value': value}


def random_lab(rng, own, times, wordy):
    "A laboratory value, now and then without an admission; one without may be a word whatever the others are."
    where, lost = rng.choice(own), rng.random() < 0.15
    item, value = pick(rng, LAB_NUMBERS, LAB_TEXTS, wordy or lost)
    return {'subject_id': where['subject_id'], 'hadm_id': '' if lost else where['hadm_id'], 'charttime': rng.choice(times),
            'itemid': item, 'value': value, 'valuenum': number(value) or '7.3'}


def random_events(rng, own, count, tables):
    "Events of one patient at few times, most of them edges, so that many share one."
    own_times = [moved(s['intime'], *e) for s in own for e in rng.sample(EDGES, 3)]
    times = own_times + [moved(s['outtime'], 0, e) for s in own for e in rng.sample([-1, 0, 1, 7200], 1)]
    wordy = rng.random() < 0.6
    sure = rng.choice(own)
    tables['chartevents'].append({**{k: sure[k] for k in ('subject_id', 'hadm_id', 'stay_id')}, 'itemid': HEART,
                                  'charttime': rng.choice(own_times), 'value': rng.choice(['99', '101'])})
    if wordy:
        tables['chartevents'].append({**tables['chartevents'][-1], 'itemid': EYE, 'value': 'None'})
    for k in range(count):
        table = rng.choice(['chartevents', 'chartevents', 'labevents'])
        row = (random_lab if table == 'labevents' else random_chart)(rng, own, times, wordy)
        tables[table] += [row, again(rng, row)] if rng.random() < 0.5 else [row]
        if k % 8 == 0:
            tables['outputevents'].append({**random_chart(rng, own, times, False), 'itemid': URINE_OUTPUT, 'value': '60'})


def random_root(folder, seed, layout='v2', lean=False):
    "A small root rich in all of the above, the same for the same seed; its first patient is ordinary."
    rng = random.Random(seed)
    first = {'subject_id': 100, 'hadm_id': 2000}
    tables = {'patients': [{'subject_id': 100}], 'admissions': list(admissions_of([stay(0)])), 'icustays': [stay(0)],
              'diagnoses_icd': [{**first, 'seq_num': 1, 'icd_code': 'N179', 'icd_version': 10}],
              'chartevents': [chart(HEART, '80', 1, 0)], 'labevents': [], 'outputevents': []}
    for n in range(1, rng.randint(5, 15)):
        random_patient(rng, n, tables)
    subjects = list(dict.fromkeys(s['subject_id'] for s in tables['icustays'][1:]))
    count = rng.randint(50, 105) // max(len(subjects), 1)
    for subject in subjects:
        random_events(rng, [s for s in tables['icustays'] if s['subject_id'] == subject], count, tables)
    for name in ('icustays', 'chartevents', 'labevents'):
        rng.shuffle(tables[name])
    known = [dict(icd_code=c, icd_version=v) for c, v in CODES if c != 'Q0000']
    if rng.random() < 0.3:
        del tables['outputevents']
    return write_root(folder, layout, d_icd_diagnoses=known, lean=lean, **tables)
