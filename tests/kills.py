"""SIGKILL at random moments of the real commands; each is started again and must end in the bytes of a run that nobody disturbed.

    python tests/kills.py --kills 50
    python tests/kills.py --kills 12 --only cohort --only save --seed 1 --out runs/kills

About a quarter of an hour on two cores for fifty kills.

A kill hits the whole process group (or one worker of a sweep) at a moment drawn over the length of the undisturbed run, which is measured
first. Of each four, one is drawn from the last twentieth, and one waits until a temporary file or folder is there: the moments of fsync and rename.
"""
import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

SAMPLE = Path(__file__).parents[1] / 'data' / 'sample'
HURRY = '''"Checkpoints ten times a second, so that a kill finds one, and short arms for Table 1."
from functools import partialmethod

from lp_nb.learning.lab import Lab
from lp_nb.learning.plans import PLAN_PRESETS, Preset

Lab.__init__ = partialmethod(Lab.__init__, save_every=0.1)
PLAN_PRESETS['short'] = Preset('mlm(epochs=1) > contrastive(epochs=1) > supervised(train=projection, epochs=2)', 'For kills.')
'''
LAB = '--cohort {home}/cohort --lab lab'
RUN = f'--use {{home}}/hurry.py run {LAB}'
SWEEP = f'--use {{home}}/hurry.py sweep {LAB} --low 1e-3 --high 1e-2 --runs 2'
TABLE1 = f'--use {{home}}/hurry.py table1 {LAB} --preset short --runs 1 --low 1e-3 --high 1e-3 --no-curves'
FINISHED = ('lab/stages/[!.]*/result.json',)  # what must not be computed again, once it is there


@dataclass(frozen=True)
class Part:
    "A command that is killed: what is there before it begins, what it may not compute twice, and who is killed."

    name: str
    command: tuple  # of `lp-nb`, run in the folder of the attempt
    before: tuple = ()  # commands that are run in peace
    finished: tuple = ()  # patterns of files that stay as they are from the moment that they are there
    worker: bool = False  # a worker is killed, not the group
    once: str = ''  # a folder that the command makes, whole, and refuses to make again


def said(options: str, *more: str) -> tuple:
    "A command: options as one text, then arguments that hold blanks."
    return (*options.split(), *more)


MLM, LAYERED = 'mlm(epochs=8)', 'mlm(epochs=2) > contrastive(epochs=8)'
ARMS = ('mlm(epochs=1) > supervised(epochs=3)', 'supervised(reads=series, epochs=8)')
SAVED = 'mlm(epochs=1) > supervised(epochs=1)'
COHORT = '--mimic {home}/hospital --out cohort'
PARTS = [
    Part('cohort', said(f'cohort {COHORT} --work work'), finished=('work/[!.]*/part-*.json', 'work/*/whole.json')),
    Part('mlm', said(RUN, MLM), finished=FINISHED),
    Part('contrastive', said(RUN, LAYERED), (said(RUN, 'mlm(epochs=2)'),), FINISHED),
    Part('supervised', said(RUN, f'{LAYERED} > supervised(epochs=8)'), (said(RUN, LAYERED),), FINISHED),
    Part('sweep', said(f'{SWEEP} --workers 2', *ARMS), finished=FINISHED),
    Part('save', said(f'--use {{home}}/hurry.py save {LAB}', SAVED, 'model'), (said(RUN, SAVED),), FINISHED, once='model'),
    Part('worker', said(f'{SWEEP} --workers 2', *ARMS), finished=FINISHED, worker=True),
    Part('table1', said(f'{TABLE1} --out tables'), (said(f'{TABLE1} --worker'),), (*FINISHED, 'lab/baselines/*.parquet')),
    Part('bundle', said(f'{SWEEP} --workers 1', 'supervised(train=projection, epochs=60)'), finished=FINISHED),
    Part('simcse', said(RUN, 'simcse(epochs=8)'), finished=FINISHED),
    Part('autoencode', said(RUN, 'autoencode(epochs=30)'), finished=FINISHED),
    Part('another cohort', said(f'cohort {COHORT} --task phenotyping --replace'), (said(f'cohort {COHORT}'),)),
    Part('hospital', said('hospital hospital --patients 60')),
    Part('reader', said('reader reader --texts 400')),
    Part('export', said('cohort export {home}/cohort --format mimic3-benchmarks --out export'), once='export'),
]

# What is by nature a time (or memory in use), by file name; all else in these files is compared.
TIMES = {
    'history.parquet': ('seconds', 'throughput', 'memory_gb'),  # columns
    'result.json': ('metrics.seconds', 'work.took', 'files.history.parquet', 'seal'),  # fields; the last two are hashes of the file above and of all fields
}
TEMPORARY = ('.new-', '.old-', '.gone-')


def told(path: Path) -> bytes:
    "The bytes of a file, times left out."
    times = TIMES.get(path.name)
    if times is None:
        return path.read_bytes()
    if path.suffix == '.parquet':
        out = io.BytesIO()
        pl.read_parquet(path).drop(times).write_ipc(out)
        return out.getvalue()
    facts = json.loads(path.read_text())
    for first, _, rest in (name.partition('.') for name in times):
        del (facts[first] if rest else facts)[rest or first]
    return json.dumps(facts, sort_keys=True).encode()


def contents(folder: Path) -> dict:
    "SHA-256 of every file in a folder, hidden ones included, times left out."
    files = sorted(p for p in folder.rglob('*') if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(told(p)).hexdigest() for p in files}


def temporary(folder: Path) -> list[str]:
    "Names below a folder that belong to a writer who is not at his end."
    return [str(p.relative_to(folder)) for p in folder.rglob('.*') if any(mark in p.name for mark in TEMPORARY)]


def marks(folder: Path, patterns: tuple) -> dict:
    "What is finished, and by whom: path -> inode and time of writing."
    found = [p for pattern in patterns for p in folder.glob(pattern)]
    return {p: (s.st_ino, s.st_mtime_ns) for p in found for s in [p.stat()]}


@dataclass
class Tally:
    "What became of the kills of a part."

    kills: int = 0
    resumed: int = 0  # commands started again that came to their end
    writing: int = 0  # kills in the middle of a write
    kept: int = 0  # finished files found after kills
    again: int = 0  # of these, computed again
    faults: list = field(default_factory=list)


class Trial:
    "All kills of one part, in folders of its own."

    def __init__(self, home: Path, part: Part, seed: int, tell):
        self.home, self.part, self.tell, self.tally = home, part, tell, Tally()
        self.folder, self.draw = home / 'parts' / part.name.replace(' ', '-'), random.Random(f'{seed} {part.name}')

    def start(self, command: tuple, folder: Path) -> subprocess.Popen:
        "A command of `lp-nb` in a process group of its own."
        words = [word.format(home=self.home) for word in command]
        env = os.environ | dict(LPNB_QUIET='1', OMP_NUM_THREADS='1', PYTHONWARNINGS='ignore')
        self.log = folder.with_suffix('.log')
        with open(self.log, 'ab') as log:
            return subprocess.Popen([Path(sys.executable).with_name('lp-nb'), *words], cwd=folder, env=env, start_new_session=True,
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def in_peace(self, command: tuple, folder: Path) -> float:
        "Run a command to its end; seconds."
        began, there = time.monotonic(), self.part.once and (folder / self.part.once).exists()
        status = self.start(command, folder).wait(900)
        if status and not (status == 2 and there):
            raise RuntimeError(f'{self.part.name}: status {status}: {self.log.read_text()[-1500:]}')
        return time.monotonic() - began

    def prepare(self):
        "What is there before, and the run that nobody disturbs."
        self.ground, self.whole = self.folder / 'before', self.folder / 'whole'
        self.ground.mkdir(parents=True)
        for command in self.part.before:
            self.in_peace(command, self.ground)
        shutil.copytree(self.ground, self.whole)
        self.length = self.in_peace(self.part.command, self.whole)
        self.expected = contents(self.whole)

    def victim(self, process: subprocess.Popen, folder: Path):
        "Kill the group, or one worker that is at a stage; whether there was somebody to kill."
        if process.poll() is not None:
            return False
        if not self.part.worker:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        for holder in folder.glob('lab/unfinished/[!.]*.holder'):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just come to its end
                os.kill(int(holder.read_text().split(':')[1]), signal.SIGKILL)
                return True
        return False

    def kill_at(self, seconds: float, folder: Path, watch: bool) -> bool:
        "Start the command and kill it after so many seconds, or (`watch`) when next something is being written; whether it was killed."
        process = self.start(self.part.command, folder)
        limit, killed = time.monotonic() + seconds, False
        while process.poll() is None and not killed:
            late = time.monotonic() >= limit
            if late and (not watch or temporary(folder)):
                time.sleep(self.draw.uniform(0, 0.003) if watch else 0)
                killed = self.victim(process, folder)
            time.sleep(0.001 if late else 0.005)
        if self.part.worker and process.wait(900):  # its driver goes on without it
            raise RuntimeError(f'{self.part.name}: the sweep failed: {self.log.read_text()[-1500:]}')
        return killed

    def check(self, folder: Path, before: dict):
        "Run the command to its end and compare."
        if not self.part.worker:  # there the sweep has gone on by itself
            self.in_peace(self.part.command, folder)
        self.tally.resumed += 1
        found = contents(folder)
        other = sorted(k for k in self.expected.keys() | found.keys() if self.expected.get(k) != found.get(k))
        after = marks(folder, self.part.finished)
        again = [str(p.relative_to(folder)) for p, mark in before.items() if after.get(p) != mark]
        self.tally.kept += len(before)
        self.tally.again += len(again)
        if other or again:
            self.tally.faults.append((folder.name, other, again))
        return not (other or again)

    def kill(self, number: int, share: float, watch: bool, again: bool) -> int:
        "From the beginning: one kill, `again` a second, then to the end; how many there were."
        folder, before, kills = self.folder / f'killed-{number}', {}, 0
        shutil.copytree(self.ground, folder)
        moments = [share, (1 - share) * self.draw.random() + 0.2] if again and not self.part.worker else [share]
        for moment in moments:
            if self.kill_at(moment * self.length, folder, watch):
                kills += 1
                self.tally.writing += bool(temporary(folder))
                before |= marks(folder, self.part.finished)
        self.tally.kills += kills
        same = self.check(folder, before) if kills else True
        if same:
            shutil.rmtree(folder)
        for _ in range(kills):
            self.tell(self, share, watch, same)
        return kills

    def run(self, kills: int) -> Tally:
        "So many kills, spread over the command's length."
        self.prepare()
        number, haste = 0, 1.0
        while self.tally.kills < kills and number < 6 * kills + 6:
            watch, last = number % 4 == 1, number % 4 == 2  # the others: evenly
            share = self.draw.uniform(0.95, 1) if last else (number % kills + self.draw.random()) / kills * 0.95
            found = self.kill(number, share * haste, watch, not last and kills - self.tally.kills > 2 and self.draw.random() < 1 / 3)
            number, haste = number + 1, 1.0 if found else haste * 0.85  # it was over before: the machine has become faster
        return self.tally


def shared_out(kills: int, parts: list) -> dict:
    "How many kills each part gets: one by one, the first parts first."
    return dict(Counter(parts[i % len(parts)].name for i in range(kills)))


class Teller:
    "Says what has happened, and how much time is left."

    def __init__(self, total: int):
        self.total, self.done, self.began, self.lock = total, 0, time.monotonic(), threading.Lock()

    def __call__(self, trial: Trial, share: float, watch: bool, same: bool):
        with self.lock:
            self.done += 1
            left = (time.monotonic() - self.began) / self.done * (self.total - self.done)
            print(f'{self.done:3} of {self.total}  {trial.part.name:15} killed at {share:4.0%} of {trial.length:5.1f} s{" in a write" if watch else ""}: '
                  f'{"same bytes" if same else "OTHER BYTES"}; about {left / 60:.0f} min left', flush=True)


def ground(home: Path):
    "A small hospital and its cohort, for all parts."
    (home / 'hurry.py').write_text(HURRY)
    shutil.copytree(SAMPLE, home / 'hospital')
    words = [Path(sys.executable).with_name('lp-nb'), 'cohort', '--mimic', 'hospital', '--out', 'cohort']
    done = subprocess.run(words, cwd=home, env=os.environ | dict(LPNB_QUIET='1'), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def report(tallies: dict):
    "A line for each part, and the last line."
    print(f'\n{"part":16}{"kills":>6}{"in a write":>12}{"resumed":>9}{"finished before":>17}{"computed again":>16}  same bytes')
    for name, of in tallies.items():
        print(f'{name:16}{of.kills:6}{of.writing:12}{of.resumed:9}{of.kept:17}{of.again:16}  {"no" if of.faults else "yes"}')
        for folder, other, again in of.faults:
            print(f'    {folder}: other or missing {other}; computed again {again}')


def main(kills: int, seed: int = 0, out: Path | None = None, only: list | None = None, jobs: int = 1) -> int:
    "All kills; 0 if every one ended in the same bytes."
    parts = [p for p in PARTS if not only or p.name in only]
    with contextlib.ExitStack() as stack:
        home = Path(out or stack.enter_context(tempfile.TemporaryDirectory())).absolute()
        home.mkdir(parents=True, exist_ok=True)
        ground(home)
        share, tell = shared_out(kills, parts), Teller(kills)
        trials = {p.name: Trial(home, p, seed, tell) for p in parts if p.name in share}
        with ThreadPoolExecutor(jobs) as pool:
            tallies = dict(zip(trials, pool.map(lambda t: t.run(share[t.part.name]), trials.values())))
    report(tallies)
    hurt, bad = sum(t.kills for t in tallies.values()), sum(len(t.faults) for t in tallies.values())
    print(f'{hurt} of {kills} kills; {"all ended in the same bytes" if not bad else f"{bad} ended otherwise"}.')
    return int(bool(bad) or hurt < kills)


if __name__ == '__main__':
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument('--kills', type=int, default=50)
    words.add_argument('--seed', type=int, default=0, help='of the moments')
    words.add_argument('--out', type=Path, help='a new folder, to look at what differs (default: a temporary one)')
    words.add_argument('--only', action='append', choices=[p.name for p in PARTS], help='a part; may be repeated')
    words.add_argument('--jobs', type=int, default=min(2, os.cpu_count() or 1), help='parts side by side')
    raise SystemExit(main(**vars(words.parse_args())))
