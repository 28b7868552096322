"What pip needs, read from settings.ini; there is nothing to edit here."
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_namespace_packages, setup

here = Path(__file__).parent
ini = ConfigParser(delimiters=['='])
ini.read(here / 'settings.ini', encoding='utf-8')
ini = ini['DEFAULT']
name = ini['lib_name']

setup(
    name=name,
    version=ini['version'],
    description=ini['description'],
    long_description=(here / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    url=ini['git_url'],
    author=ini['author'],
    author_email=ini['author_email'],
    license='Apache-2.0',
    keywords=ini['keywords'].split(),
    python_requires='>=' + ini['min_python'],
    install_requires=ini['requirements'].split(),
    extras_require={key.removesuffix('_requirements'): value.split()
                    for key, value in ini.items() if key.endswith('_requirements')},
    packages=find_namespace_packages(include=[name, f'{name}.*']),
    package_data={name: ini['package_data'].split()},
    entry_points={'console_scripts': ini['console_scripts'].splitlines(), 'nbdev': [f'{name}={name}._modidx:d']},
)
