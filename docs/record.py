"""The picture on the first page of what eight seeds on both hospitals of the demo say, from the record that ships.

    python docs/record.py           exit 1 where nbs/figures/record.png was drawn from another record
    python docs/record.py --write   draw it
"""
import sys
from pathlib import Path

import pandas as pd

from lp_nb.core import asset, fingerprint
from lp_nb.folders import read_json
from lp_nb.view.demo import recorded_frame
from lp_nb.view.results import label_curves

PICTURE = Path(__file__).parents[1] / 'nbs' / 'figures' / 'record.png'
ARMS = ('neither', 'contrastive', 'reader', 'reader + contrastive', 'report words', 'perfect reader')


def curves() -> pd.DataFrame:
    "Test AUROC by number of labels of some arms, in both hospitals: the table that is drawn."
    kept = {kind: recorded_frame(record, 'labels') for kind, record in read_json(asset('hospital.json')).items()}
    both = pd.concat([frame[frame['metric'] == 'AUROC'].assign(metric=f'AUROC, hospital {kind}') for kind, frame in kept.items()])
    return both[both['arm'].isin(ARMS)].sort_values('task', ascending=False, kind='stable')


def main(write: bool) -> int:
    "0 if the picture is of this record, or is so now."
    mark = fingerprint(curves().to_csv(index=False))
    if write:
        label_curves(curves(), most=0).savefig(PICTURE, dpi=110, metadata=dict(Source=f'record {mark}', Software='lp_nb'))
    return int(not PICTURE.exists() or f'record {mark}'.encode() not in PICTURE.read_bytes())


if __name__ == '__main__':
    sys.exit(main('--write' in sys.argv))
