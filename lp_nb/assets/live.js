// Training while it runs: numbers and buttons on top, a card for each stage of the plan with its losses and its score.
// Traits in: shown, stages (and curves on an exported page). Messages in: whole, news. Messages out: hello, and one for each button.

const WORDS = {
  ready: 'ready', loading: 'reading data', training: 'training', paused: 'paused', stopping: 'stopping', ending: 'ending the stage',
  stopped: 'stopped', done: 'done', failed: 'failed',
}
const STATES = { todo: ['○', 'to do'], cached: ['✓', 'from the lab'], now: ['●', 'in training'], stopped: ['◐', 'stopped'], failed: ['✕', 'failed'], done: ['✓', 'trained now'] }
const PAD = { left: 44, right: 12, top: 8, bottom: 20 }
const LOSS = 120, SCORE = 64 // heights of the two panels of a card

const clock = s => s === null || s === undefined ? null : s < 100 ? `${Math.round(s)} s`
  : s < 6000 ? `${Math.round(s / 60)} min` : `${Math.floor(s / 3600)} h ${Math.round(s % 3600 / 60)} min`

// A path through points [x, y]; a missing value breaks it.
const track = (points, toX, toY) => {
  let pen = 'M'
  return points.map(([x, y]) => {
    if (y === null || y === undefined) { pen = 'M'; return '' }
    const part = `${pen}${toX(x).toFixed(1)},${toY(y).toFixed(1)}`
    pen = 'L'
    return part
  }).join('')
}

// A running mean over the nearest points, for curves that are long enough to be noisy.
function smooth(points) {
  const reach = Math.max(2, Math.round(points.length / 40))
  return points.map(([x], i) => {
    const near = points.slice(Math.max(0, i - reach), i + reach + 1)
    return [x, near.reduce((sum, p) => sum + p[1], 0) / near.length]
  })
}

const rateText = v => v < 0.001 ? (+v.toPrecision(3)).toExponential() : String(+v.toPrecision(3))

// Where the axis of a stage ends: at its last step; while it trains, at a half, quarter, ... of its steps that it has not reached yet.
function axisEnd(stage, step) {
  if (stage.state !== 'now') return Math.max(1, stage.step || stage.total)
  let end = Math.max(1, stage.total)
  while (end / 2 > Math.max(step || 0, 15)) end /= 2
  return end
}

// From a range of values to heights, padded; with two or three ticks.
function heights(values, top, bottom) {
  let low = Math.min(...values), high = Math.max(...values)
  if (!(high > low)) { low -= Math.abs(low || 1) * 0.1; high += Math.abs(high || 1) * 0.1 }
  const pad = 0.07 * (high - low)
  low -= pad; high += pad
  return { toY: v => bottom - (v - low) / (high - low) * (bottom - top), ticks: niceTicks(low, high, false, 3) }
}

function render({ model, el }) {
  const curves = new Map() // stage number -> { loss, scores }
  for (const c of model.get('curves') || []) curves.set(c.stage, { loss: c.loss, scores: c.scores })
  const page = () => Boolean((model.get('shown') || {}).page)
  const root = rootElement(el, 'lp-live', 'Training')
  const bar = htmlElement(root, 'div', 'lp-bar')
  const status = htmlElement(bar, 'span', 'lp-live-status')
  status.setAttribute('role', 'status')
  const send = (type, more = {}) => () => model.send({ type, ...more })

  // Buttons.
  const hands = htmlElement(bar, 'span', 'lp-live-hands')
  const pause = textButton(hands, 'Pause', () => model.send({ type: model.get('shown').status === 'paused' ? 'resume' : 'pause' }), { className: 'lp-live-pause' })
  const stop = textButton(hands, 'Stop', send('stop'), { title: 'Stop at the next step; the checkpoint is kept', className: 'lp-live-stop' })
  const end = textButton(hands, 'End stage', send('end'), { title: 'End this stage at the next step, score it, go on with the next', className: 'lp-live-end' })
  const go = textButton(hands, 'Go on', send('go'), { title: 'Go on from the checkpoint', className: 'lp-live-go' })
  const rates = htmlElement(bar, 'span', 'lp-live-rates')
  const label = htmlElement(rates, 'label', '', 'learning rate ')
  const field = htmlElement(label, 'input')
  field.type = 'text'
  field.inputMode = 'decimal'
  const half = textButton(rates, '÷ 2', send('scale', { times: 0.5 }), { title: 'Half the learning rate from the next step on' })
  const twice = textButton(rates, '× 2', send('scale', { times: 2 }), { title: 'Twice the learning rate from the next step on' })
  half.setAttribute('aria-label', 'half the learning rate')
  twice.setAttribute('aria-label', 'twice the learning rate')
  const setRate = () => model.send({ type: 'rate', value: field.value })
  field.onchange = setRate
  onKeys(field, { Enter: setRate, Escape: () => field.blur() })
  const planned = htmlElement(rates, 'small')
  helpButton(bar, root, [
    ['Pause', 'wait before the next step; Resume goes on'],
    ['Stop', 'stop at the next step and keep the checkpoint; the same plan goes on from there'],
    ['End stage', 'end this stage at the next step: it is scored, and its best weights so far go on'],
    ['learning rate', 'another rate from the next step on, until the stage ends, at most 100 times the planned one or a hundredth of it; a schedule goes on in proportion'],
    ['changed by hand', 'a stage that was ended early or had its rate changed is kept under an address of its own, and its plan says what was done'],
    ['← → on a curve', 'read its values step by step'],
  ])
  const said = htmlElement(root, 'p', 'lp-live-said')
  said.setAttribute('role', 'status')
  const failure = htmlElement(root, 'p', 'lp-live-said lp-live-failure')
  failure.setAttribute('role', 'alert')
  const facts = htmlElement(root, 'div', 'lp-live-facts')
  const progress = htmlElement(root, 'div', 'lp-live-progress')
  progress.setAttribute('role', 'progressbar')
  progress.setAttribute('aria-label', 'steps of this stage')
  const done = htmlElement(progress, 'div')
  const cards = htmlElement(root, 'ol', 'lp-live-cards')
  const keys = htmlElement(root, 'div', 'lp-live-keys')
  for (const [kind, text] of [['loss', 'training loss'], ['val', 'validation loss'], ['score', 'validation score'], ['mark', 'changed by hand']])
    htmlElement(keys, 'span', `lp-live-key lp-live-key-${kind}`, text)

  function drawFacts(s) {
    const more = s.at_most ? 'at most ' : ''
    const left = clock(s.left), whole = clock(s.plan_left)
    const stages = model.get('stages')
    const rows = s.step === undefined ? [] : [
      ['stage', `${stages[s.now].name}, ${s.now + 1} of ${stages.length}`], ['step', `${s.step} of ${s.total}`],
      ['epoch', `${Math.min(s.epoch + 1, s.epochs)} of ${s.epochs}`], ['speed', s.speed ? `${number(s.speed)} examples/s` : '–'],
      ['left of the stage', left ? more + left : '–'],
      ['left of the plan', s.now === stages.length - 1 ? (left ? more + left : '–') : whole ? `at most ${whole}`
        : (s.unmeasured || []).length ? `${s.unmeasured.join(', ')}: not measured yet` : '–'],
    ]
    facts.hidden = !rows.length
    progress.hidden = !rows.length
    while (facts.children.length > rows.length) facts.lastChild.remove()
    rows.forEach(([name, value], i) => {
      if (!facts.children[i]) { const div = htmlElement(facts, 'div'); htmlElement(div, 'small'); htmlElement(div, 'span') }
      facts.children[i].children[0].textContent = name
      facts.children[i].children[1].textContent = value
    })
    done.style.width = `${100 * (s.step || 0) / (s.total || 1)}%`
    progress.setAttribute('aria-valuemax', s.total || 0)
    progress.setAttribute('aria-valuenow', s.step || 0)
  }

  function drawTop() {
    const s = model.get('shown') || {}
    const on = s.step !== undefined && ['training', 'paused', 'ending', 'stopping'].includes(s.status)
    status.textContent = WORDS[s.status] || s.status
    root.dataset.status = s.status
    hands.hidden = rates.hidden = page()
    if (page()) bar.querySelector('.lp-ask').hidden = true
    pause.textContent = s.status === 'paused' ? 'Resume' : 'Pause'
    pause.disabled = !on || s.status === 'stopping'
    stop.disabled = !(on || s.status === 'loading') || s.status === 'stopping'
    end.disabled = !on || s.status === 'stopping' || s.status === 'ending'
    for (const control of [field, half, twice]) control.disabled = !on || s.status === 'stopping' || s.planned === null // no rate where weights are known at once
    go.hidden = s.status !== 'stopped'
    pause.hidden = stop.hidden = end.hidden = s.status === 'stopped'
    if (root.getRootNode().activeElement !== field) field.value = s.rate ? rateText(s.rate) : ''
    planned.textContent = s.rate && s.planned && Math.abs(s.rate / s.planned - 1) > 1e-4 ? `plan: ${rateText(s.planned)}` : ''
    said.textContent = s.said || ''
    said.hidden = !s.said
    if (failure.textContent !== (s.failure || '')) failure.textContent = s.failure || ''
    failure.hidden = !s.failure
    drawFacts(s)
  }

  function makeCard() {
    const card = htmlElement(cards, 'li', 'lp-live-card')
    const head = htmlElement(card, 'div', 'lp-live-head')
    for (const name of ['icon', 'name', 'best']) htmlElement(head, 'span', `lp-live-${name}`)
    htmlElement(card, 'div', 'lp-live-settings')
    const svg = svgElement(card, 'svg', { tabindex: 0, role: 'img' })
    const read = htmlElement(card, 'div', 'lp-live-read')
    read.setAttribute('aria-live', 'polite')
    card.at = -1
    const n = [...cards.children].indexOf(card)
    const move = to => {
      const points = curves.get(n)?.loss || []
      card.at = Math.max(0, Math.min(points.length - 1, to))
      drawCurves(n)
    }
    const last = () => (curves.get(n)?.loss || []).length - 1
    onKeys(svg, { ArrowLeft: () => move((card.at < 0 ? last() + 1 : card.at) - 1), ArrowRight: () => move(card.at + 1), Home: () => move(0), End: () => move(last()),
      Escape: () => { card.at = -1; drawCurves(n) } })
    svg.addEventListener('pointermove', event => {
      const points = curves.get(n)?.loss || []
      if (!points.length || !card.toX) return
      const box = svg.getBoundingClientRect()
      let best = 0
      points.forEach(([x], i) => { if (Math.abs(card.toX(x) - event.clientX + box.left) < Math.abs(card.toX(points[best][0]) - event.clientX + box.left)) best = i })
      move(best)
    })
    svg.addEventListener('pointerleave', () => { card.at = -1; drawCurves(n) })
    return card
  }

  function drawCards() {
    const stages = model.get('stages')
    while (cards.children.length > stages.length) { curves.delete(cards.children.length - 1); cards.lastChild.remove() }
    stages.forEach((stage, n) => {
      const card = cards.children[n] || makeCard()
      const [icon, words] = STATES[stage.state]
      card.dataset.state = stage.state
      const [iconAt, name, best] = card.firstChild.children
      iconAt.textContent = icon
      iconAt.setAttribute('aria-hidden', 'true')
      name.textContent = stage.name
      best.textContent = stage.best
      best.title = 'best on the validation split'
      card.children[1].replaceChildren()
      htmlElement(card.children[1], 'span', '', words)
      if (stage.settings) htmlElement(card.children[1], 'code', '', stage.settings)
    })
    const fits = Math.max(1, Math.floor(((root.clientWidth || 760) + 12) / 222)), rows = Math.ceil(stages.length / fits)
    cards.style.gridTemplateColumns = `repeat(${Math.ceil(stages.length / rows) || 1}, minmax(0, 1fr))`
    stages.forEach((_, n) => drawCurves(n)) // when all cards are in their places
    const all = [...curves.values()]
    keys.querySelector('.lp-live-key-score').hidden = !all.some(c => c.scores.some(s => s[2] !== null))
    keys.querySelector('.lp-live-key-mark').hidden = !stages.some(s => s.touched.length)
    keys.hidden = !all.length
  }

  function drawPanel(svg, card, lines, top, bottom) {
    const values = lines.flatMap(l => l.points.map(p => p[1])).filter(v => v !== null && v !== undefined)
    const right = card.wide - PAD.right
    svgElement(svg, 'line', { class: 'axis', x1: PAD.left, x2: right, y1: bottom, y2: bottom })
    if (!values.length) return null
    const { toY, ticks } = heights(values, top, bottom)
    for (const v of ticks) {
      svgElement(svg, 'line', { class: 'grid', x1: PAD.left, x2: right, y1: toY(v), y2: toY(v) })
      svgElement(svg, 'text', { class: 'height', x: PAD.left - 6, y: toY(v) + 4 }, number(v))
    }
    for (const { kind, points } of lines) {
      const noisy = kind === 'loss' && points.length >= 40
      svgElement(svg, 'path', { class: noisy ? 'loss raw' : kind, d: track(points, card.toX, toY) })
      if (noisy) svgElement(svg, 'path', { class: 'loss', d: track(smooth(points), card.toX, toY) })
      if (points.length < 30) for (const [x, y] of points) if (y !== null) svgElement(svg, 'circle', { class: kind, cx: card.toX(x), cy: toY(y), r: kind === 'loss' ? 1.6 : 2.6 })
    }
    return toY
  }

  function drawCurves(n) {
    const card = cards.children[n], stage = model.get('stages')[n]
    if (!card || !stage) return
    const svg = card.querySelector('svg'), read = card.lastChild
    const { loss, scores } = curves.get(n) || { loss: [], scores: [] }
    const s = model.get('shown') || {}
    const total = axisEnd(stage, s.now === n ? s.step : stage.step)
    const scored = scores.some(p => p[2] !== null)
    const some = model.get('stages').some((_, k) => (curves.get(k)?.scores || []).some(p => p[2] !== null))
    card.wide = Math.max(180, card.clientWidth - 20)
    card.toX = x => PAD.left + x / total * (card.wide - PAD.left - PAD.right)
    const bottom = PAD.top + LOSS + (some ? 14 + SCORE : 0), middle = scored ? PAD.top + LOSS : bottom
    svg.replaceChildren()
    svg.setAttribute('viewBox', `0 0 ${card.wide} ${bottom + PAD.bottom}`)
    svg.style.height = `${bottom + PAD.bottom}px`
    svg.setAttribute('aria-label', `losses of ${stage.name}`)
    if (!loss.length && !scores.some(p => p[1] !== null || p[2] !== null)) {
      svgElement(svg, 'text', { class: 'empty', x: card.wide / 2, y: (PAD.top + bottom) / 2 }, stage.state === 'now' ? 'waiting for the first step' : '')
      read.textContent = ''
      return
    }
    for (const x of niceTicks(0, total, false, Math.max(2, card.wide / 60))) if (Number.isInteger(x)) svgElement(svg, 'text', { class: 'tick', x: card.toX(x), y: bottom + 15 }, String(x))
    drawPanel(svg, card, [{ kind: 'loss', points: loss }, { kind: 'val', points: scores.map(p => [p[0], p[1]]) }], PAD.top, middle)
    if (scored) drawPanel(svg, card, [{ kind: 'score', points: scores.map(p => [p[0], p[2]]) }], middle + 14, bottom)
    stage.touched.forEach(([step, what], i) => {
      svgElement(svg, 'line', { class: 'mark', x1: card.toX(step), x2: card.toX(step), y1: PAD.top, y2: bottom })
      const late = card.toX(step) > card.wide / 2
      svgElement(svg, 'text', { class: `mark ${late ? 'late' : ''}`, x: card.toX(step) + (late ? -4 : 4), y: PAD.top + 9 + 12 * (i % 3) }, what)
    })
    const at = loss[card.at]
    if (at) svgElement(svg, 'line', { class: 'cursor', x1: card.toX(at[0]), x2: card.toX(at[0]), y1: PAD.top, y2: bottom })
    const before = at && scores.filter(p => p[0] <= at[0]).at(-1)
    read.textContent = at ? `step ${at[0]}: loss ${number(at[1])}${before ? `, validation ${number(before[1])}` : ''}${before && before[2] !== null ? `, score ${number(before[2])}` : ''}` : ''
  }

  const heard = message => {
    if (message.type !== 'whole' && message.type !== 'news') return
    if (message.type === 'whole') { curves.clear(); clearInterval(greeting) }
    for (const { stage, keep, loss, scores } of message.curves)
      curves.set(stage, { loss: [...(curves.get(stage)?.loss || []).slice(0, keep), ...loss], scores })
    if (message.type === 'whole') drawCards()
    else for (const { stage } of message.curves) drawCurves(stage)
  }
  model.on('msg:custom', heard)
  model.on('change:shown', drawTop)
  const clean = redrawOn(model, root, ['stages'], () => { drawTop(); drawCards() })
  let greetings = 0
  const hello = () => { model.send({ type: 'hello' }); if (++greetings > 20) clearInterval(greeting) }
  const greeting = setInterval(hello, 1500) // until it is answered
  hello()
  return () => { clean(); clearInterval(greeting); model.off('msg:custom', heard); model.off('change:shown', drawTop) }
}

export default { render }
