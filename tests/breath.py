"""How a page breathes: exported cells before something runs, definitions in a cell, lines of functions and classes, columns, ids, methods from elsewhere.

    python tests/breath.py    what pages do not keep, if any
"""
import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUN, DEFINITIONS, FUNCTION, CLASS, COLUMNS, SHOWN = 3, 2, 25, 60, 110, 88  # the rules; 88 columns in what the site shows of index and tutorials


def sources(path: Path) -> list:
    "(id, source, parsed statements) of the code cells; magics are dropped."
    cells = [(c['id'], ''.join(c['source'])) for c in json.loads(path.read_text(encoding='utf-8'))['cells'] if c['cell_type'] == 'code']
    return [(i, s, ast.parse(re.sub(r'^\s*[%!].*$', '', s, flags=re.M)).body) for i, s in cells]


def is_exported(source: str) -> bool:
    return bool(re.search(r'^#\|\s*exporti?\b', source, flags=re.M))


def only_imports(body: list) -> bool:
    return all(isinstance(n, (ast.Import, ast.ImportFrom)) for n in body)


def longest_run(cells: list) -> int:
    "Exported cells in a row before a cell runs that readers see."
    longest = run = 0
    for _, source, body in cells:
        if is_exported(source):
            run += not only_imports(body)
            longest = max(longest, run)
        elif body and not only_imports(body) and not re.search(r'^#\|\s*hide\b', source, flags=re.M):
            run = 0
    return longest


def lent(node: ast.AST) -> bool:
    "Whether a statement gives a class or an object something from outside: `Lab.run = ...`, or a class body `pause, stop = pause, stop`."
    if isinstance(node, ast.ClassDef):
        return any(isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Tuple) and isinstance(n.value, ast.Tuple)
                   and all(isinstance(x, ast.Name) for x in n.value.elts) for n in node.body)
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Attribute) for t in node.targets)


def breath(path: Path) -> dict:
    "What a page does not keep: rule -> how often, or how long its longest run is; what is kept is left out."
    cells = sources(path)
    exported = [(i, s, body) for i, s, body in cells if is_exported(s)]
    defined = [[n for n in body if isinstance(n, (ast.FunctionDef, ast.ClassDef))] for _, _, body in exported]
    functions = [n for _, _, body in exported for top in body for n in ast.walk(top) if isinstance(n, ast.FunctionDef)]
    lines = lambda n: n.end_lineno - n.lineno + 1
    shown = exported if re.match(r'\d', path.relative_to(ROOT / 'nbs').parts[0]) else cells
    width = COLUMNS if shown is exported else SHOWN
    found = dict(
        run=longest_run(cells), crowded=sum(len(d) > DEFINITIONS for d in defined), long=sum(lines(f) > FUNCTION for f in functions),
        large=sum(lines(n) > CLASS for d in defined for n in d if isinstance(n, ast.ClassDef)),
        wide=sum(len(line) > width for _, s, _ in shown for line in s.splitlines()), lent=sum(lent(n) for _, _, body in exported for n in body),
        numbered=sum(bool(re.search(r'-(\d+|more|[a-d])$', i)) for i, _, _ in cells))
    return {rule: n for rule, n in found.items() if n > (RUN if rule == 'run' else 0)}


def pages() -> dict:
    "Page -> what it does not keep, for all that do not keep everything."
    found = {str(p.relative_to(ROOT / 'nbs')): breath(p) for p in sorted((ROOT / 'nbs').rglob('*.ipynb')) if '.ipynb_checkpoints' not in p.parts}
    return {name: rules for name, rules in found.items() if rules}


if __name__ == '__main__':
    for name, rules in pages().items():
        print(name, ' '.join(f'{rule} {n}' for rule, n in rules.items()))
