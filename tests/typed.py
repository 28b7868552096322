"A program through the public face, for a type checker: pyright in basic mode has nothing to say about it. It is read, never run."
from pathlib import Path

import pandas as pd

import lp_nb as lp

root = lp.make_hospital(Path('hospital'), lp.hospital_named('clear', patients=600))
cohort = lp.build_cohort(root, task='phenotyping', out=Path('phenotyping'))
cohort = lp.Cohort.load('phenotyping') if cohort else lp.example_cohort('mortality')
stay = int(cohort.ids('test')[0])
print(cohort.document(stay)[:200], cohort.features(stay).shape, cohort.labels, cohort.ledger)
ceilings = {'oracle': lp.oracle(root, 'phenotyping'), 'perfect reader': lp.perfect_reader(Path('.'), cohort)}

lab = lp.Lab('lab', cohort, lp.EncoderConfig(architecture='reader', dim=128), probe_stays=100)
layered = lp.plan('load(reader) > contrastive(epochs=1) > supervised(train=head, head=logistic)')
run = lab.run(str(layered), seed=0)
print(run.embeddings('test').shape, run.history, lab.tree())

held = pd.DataFrame(cohort.stays).loc[cohort.ids('test')]
scores = lp.evaluate(held[cohort.labels], run.predictions('test'), held['subject_id'], metrics='AUROC')
arms = {'a': lp.arm_draws(held[cohort.labels], [run.predictions('test')], held['subject_id'], 'AUROC')['AUROC']}
print(scores, lp.claim(lp.compare(arms, [('a', 'a')]).iloc[0]))

study = lp.Study('lab', {'phenotyping': cohort}, lp.arms_of(str(layered)), lp.Search(1, 3e-3, 3e-3))
judgement = lp.judge(study.run(workers=1), {'phenotyping': ceilings}, n=200)
print(judgement.words(), lp.forest(judgement.table))

curves = lp.trajectory(run)
layout = lp.run_layout(run, method='pca')
best = lp.clearest(layout, pd.DataFrame(held[cohort.labels]))
print(lp.honesty(layout), best.label if best else '', lp.deviation_curves(curves), lp.stage_maps(layout), lp.cohort_flow(cohort.ledger))
print(lp.CohortFlow(cohort), lp.StayViewer(cohort), lp.Live(lab), lp.Composer(lab), lp.Explorer(run), lp.DeviationCurves(curves), lp.ResultsBoard(judgement))
print(lp.measure, lp.add_measure, lp.add_stage, lp.add_series_encoder, lp.Stage, lp.Objective, lp.Claim, lp.verdicts, lp.UserError, lp.__version__)
