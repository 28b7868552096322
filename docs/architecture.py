"""The parts of the kit, read from its files: who exports what, who imports whom.

    python docs/architecture.py           exit 1 where nbs/figures/architecture.svg or the tree of the first page is not what the files give
    python docs/architecture.py --write   write both
"""
import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NBS, PACKAGE = ROOT / 'nbs', ROOT / 'lp_nb'


def notebooks() -> list[Path]:
    "The notebooks that export a module, in reading order: the ground, the parts, the command."
    return [p for p in sorted(NBS.rglob('*.ipynb')) if re.match(r'\d', str(p.relative_to(NBS))) and '.ipynb_checkpoints' not in p.parts]


def module_of(path: Path) -> str:
    "The module that a notebook exports: its path without the numbers."
    return '.'.join(re.sub(r'^\d+_', '', part) for part in path.relative_to(NBS).with_suffix('').parts)


def file_of(module: str) -> Path:
    "Where a module lies."
    return PACKAGE / f'{module.replace(".", "/")}.py'


def sentence(module: str) -> str:
    "What a module says of itself."
    return ast.get_docstring(ast.parse(file_of(module).read_text(encoding='utf-8'))) or ''


def imports_of(path: Path) -> set[str]:
    "The modules of the kit that a module imports, at its head or within a function."
    tree, here, found = ast.parse(path.read_text(encoding='utf-8')), path.relative_to(PACKAGE).parts, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = '.'.join(here[:len(here) - node.level]) if node.level else ''
            base = '.'.join(filter(None, [above, node.module or ''])) if node.level else (node.module or '').removeprefix('lp_nb').lstrip('.')
            if node.level or (node.module or '').split('.')[0] == 'lp_nb':
                found |= {name for name in [base, *(f'{base}.{a.name}'.lstrip('.') for a in node.names)] if name and file_of(name).exists()}
        elif isinstance(node, ast.Import):
            found |= {a.name[6:] for a in node.names if a.name.startswith('lp_nb.') and file_of(a.name[6:]).exists()}
    return found
