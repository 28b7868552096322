// What a study shows, behind tabs: forest, differences, label curves, calibration, subgroups.
// Traits in: forest, differences, labels, calibration, subgroups, tabs, tasks, notes. Both ways: tab, task, reference, looked.

const KIND_COLORS = { arm: '#0072B2', baseline: '#D55E00', oracle: '#009E73' }
const KIND_NAMES = { arm: 'arms', baseline: 'baselines', oracle: 'upper bound', published: 'published' }
const SAID_COLORS = { better: '#009E73', worse: '#D55E00', equivalent: '#0072B2' }
const SAID_SIGNS = { better: '▲', worse: '▼', equivalent: '=', 'no claim': '○' }
const LINE_COLORS = ['#0072B2', '#D55E00', '#009E73', '#CC79A7', '#56B4E9', '#E69F00']
const ROW = 28 // pixels: height of a row
const LATE = 'What was asked for afterwards was not declared before the results were seen: it can suggest a question, not settle it.'
const BARE = 'Hollow marks without an interval are differences of two values. These pairs were not compared, so nothing may be claimed from them.'
const NO_INTERVAL = 'no interval: the table has none'
const NO_DIFFERENCE = 'no interval: these pairs were not compared'
const BOTH = 'Solid: as trained. Dashed: every logit divided by one temperature for each label, chosen on validation stays.'
const ONE = 'The curve as trained. The curve after one temperature needs the predictions on validation stays: give the board the study.'
const DIAGONAL = `On the diagonal, of those with a predicted risk of 0.2, one in five has the outcome.
  Bins with fewer than ten events or non-events are not drawn.`
const SMALL = 'levels with fewer than ten stays, patients, events or non-events are put together; counts under ten are hidden'
const there = v => v !== null && v !== undefined && Number.isFinite(v)

// A scale over the finite values, a little wider than they are.
function widthScale(values, width, pad = 8) {
  const seen = values.filter(there)
  let low = Math.min(...seen), high = Math.max(...seen)
  if (!seen.length) { low = 0; high = 1 }
  if (!(high > low)) { low -= 0.05; high += 0.05 }
  const margin = 0.04 * (high - low)
  low -= margin; high += margin
  const at = v => pad + ((v - low) / (high - low)) * (width - 2 * pad)
  const ticks = niceTicks(low, high, false, Math.max(3, Math.round(width / 48))).map(v => Math.abs(v) < 1e-9 ? 0 : v)
  return { at, ticks, low, high }
}

// A mark of a kind: circle, square, diamond, or hollow.
function mark(svg, x, y, shape, color, size = 4.5) {
  const paint = { fill: shape === 'hollow' ? 'var(--lp-paper)' : color, stroke: color, 'stroke-width': 1.6 }
  if (shape === 'square') return svgElement(svg, 'rect', { x: x - size, y: y - size, width: 2 * size, height: 2 * size, ...paint })
  const s = size * 1.3
  const points = { diamond: [[0, -s], [s, 0], [0, s], [-s, 0]], up: [[0, -s], [s, size], [-s, size]], down: [[0, s], [s, -size], [-s, -size]] }[shape]
  if (points) return svgElement(svg, 'polygon', { points: points.map(([a, b]) => `${x + a},${y + b}`).join(' '), ...paint })
  return svgElement(svg, 'circle', { cx: x, cy: y, r: size, ...paint })
}
const KIND_SHAPES = { arm: 'circle', baseline: 'square', oracle: 'diamond' }
const SAID_SHAPES = { better: 'up', worse: 'down', equivalent: 'square' }

const lineAt = (svg, x, className, height = ROW) => svgElement(svg, 'line', { class: className, x1: x, x2: x, y1: 0, y2: height })
const bar = (svg, scale, row, y, color, width) => there(row.low) && there(row.high)
  && svgElement(svg, 'line', { x1: scale.at(row.low), x2: scale.at(row.high), y1: y, y2: y, stroke: color, 'stroke-width': width })

// A line through points.
const stroke = (svg, points, color, width, dash = '') => svgElement(svg, 'path', {
  d: points.map(([x, y], i) => `${i ? 'L' : 'M'}${x},${y}`).join(''), fill: 'none', stroke: color, 'stroke-width': width, 'stroke-dasharray': dash })

// A chart that can have the focus.
const chart = (parent, width, height, label) => svgElement(parent, 'svg',
  { class: 'chart', width, height, tabindex: 0, role: 'img', 'aria-label': label })

function plotCell(row, width, scale) {
  const svg = svgElement(htmlElement(row, 'td', 'plot'), 'svg', { width, height: ROW, 'aria-hidden': 'true' })
  for (const tick of scale.ticks) lineAt(svg, scale.at(tick), 'grid')
  return svg
}

// The row of an axis at the foot of a plot column.
function axisCell(row, width, scale) {
  const svg = svgElement(htmlElement(row, 'td', 'plot'), 'svg', { width, height: 22, 'aria-hidden': 'true' })
  for (const tick of scale.ticks) svgElement(svg, 'text', { class: 'tick', x: scale.at(tick), y: 15 }, String(tick).replace('-', '−'))
}

function render({ model, el }) {
  const root = rootElement(el, 'lp-board', 'Results board')
  const head = htmlElement(root, 'div', 'lp-bar')
  const tabs = htmlElement(head, 'div', 'lp-board-tabs')
  tabs.setAttribute('role', 'tablist')
  const tasks = htmlElement(head, 'div', 'lp-board-tasks')
  tasks.setAttribute('role', 'group')
  tasks.setAttribute('aria-label', 'Task')
  helpButton(head, root, [
    ['← → on the tabs', 'go from tab to tab'],
    ['click an arm', 'differences are taken from it; click it again for the declared comparisons'],
    ['click a heading', 'sort the forest by that metric; again: the other way, then as it was'],
    ['Tab, ↑ ↓', 'walk through the rows; the line at the foot reads them'],
    ['click a comparison', 'keep its sentence in the line at the foot'],
    ['thick line', '95 % over patients; thin: over seeds; grey beneath: as published'],
  ])
  const panel = htmlElement(root, 'div', 'lp-board-panel')
  panel.setAttribute('role', 'tabpanel')
  panel.id = `lp-board-${Math.random().toString(36).slice(2)}`
  const said = htmlElement(root, 'div', 'lp-board-said')
  said.setAttribute('aria-live', 'polite')
  const local = { sort: null, falling: true, metrics: null, metric: null, group: null, hidden: new Set(), chosen: null, pinned: null }
  const set = (name, value) => { model.set(name, value); model.save_changes() }
  const say = text => { said.textContent = text }
  const here = name => model.get(name).filter(part => part.task === model.get('task'))
  const width = () => Math.max(340, root.clientWidth || 900)

  // Rows that speak when the pointer or the focus is on them.
  function speaking(row, text) {
    row.onmouseenter = () => { say(text); row.classList.add('near') }
    row.onmouseleave = () => { row.classList.remove('near'); if (local.pinned) say(local.pinned) }
    row.addEventListener('focusin', () => say(text))
  }
  const walk = (table, selector) => onKeys(table, Object.fromEntries([['ArrowDown', 1], ['ArrowUp', -1]].map(([key, by]) => [key, () => {
    const all = [...table.querySelectorAll(selector)], at = all.indexOf(document.activeElement)
    all[Math.max(0, Math.min(all.length - 1, at + by))]?.focus()
  }])))

  function choices(parent, label, options, current, act) {
    const field = htmlElement(parent, 'label', 'lp-board-choice')
    htmlElement(field, 'span', 'lp-soft', label)
    const select = htmlElement(field, 'select')
    for (const [value, text] of options) {
      const option = htmlElement(select, 'option', '', text)
      option.value = value
    }
    select.value = current
    select.onchange = () => act(select.value)
    return field
  }

  function pickReference(arm) { set('reference', model.get('reference') === arm ? '' : arm) }

  // Forest

  function ordered(panels) {
    const rows = panels[0].rows.map(row => row.arm)
    const kind = Object.fromEntries(panels.flatMap(p => p.rows.map(row => [row.arm, row.kind])))
    const sorted = panels.find(p => p.metric === local.sort)
    if (!sorted) {
      const rank = Object.keys(KIND_NAMES)
      return { kind, arms: [...rows].sort((a, b) => rank.indexOf(kind[a]) - rank.indexOf(kind[b])), headed: true }
    }
    const value = Object.fromEntries(sorted.rows.map(row => [row.arm, there(row.value) ? row.value : -Infinity]))
    return { kind, arms: [...rows].sort((a, b) => (local.falling ? 1 : -1) * (value[b] - value[a])), headed: false }
  }

  function sortBy(metric) {
    if (local.sort !== metric) { local.sort = metric; local.falling = true } else if (local.falling) local.falling = false
    else local.sort = null
    draw()
    panel.querySelector(`[data-sort="${metric}"]`)?.focus()
  }

  function metricToggles(bar, panels) {
    const names = panels.map(p => p.metric), most = width() > 1000 ? 3 : width() > 620 ? 2 : 1
    if (!local.metrics || !local.metrics.some(m => names.includes(m))) local.metrics = names.slice(0, 2)
    const seen = local.metrics.filter(m => names.includes(m)).slice(-most)
    if (names.length > 1) for (const name of names)
      textButton(bar, name, () => {
        local.metrics = seen.includes(name) ? seen.length > 1 ? seen.filter(m => m !== name) : seen : [...seen, name].slice(-most)
        draw()
        panel.querySelector(`[data-metric="${name}"]`)?.focus()
      }, { pressed: seen.includes(name) }).dataset.metric = name
    return panels.filter(p => seen.includes(p.metric))
  }

  function forestCell(row, part, plot, scale, best, under) {
    const svg = plotCell(row, plot, scale), y = ROW / 2 - (under ? 4 : 0)
    if (there(best)) lineAt(svg, scale.at(best), 'best')
    if (!part) { htmlElement(row, 'td', 'value'); return }
    const color = themed(KIND_COLORS[part.kind] || 'var(--lp-soft)')
    if (there(part.seed_low)) bar(svg, scale, { low: part.seed_low, high: part.seed_high }, y, color, 1)
    bar(svg, scale, part, y, color, 3)
    if (there(part.value)) mark(svg, scale.at(part.value), y, KIND_SHAPES[part.kind] || 'hollow', color)
    if (part.old) {
      bar(svg, scale, part.old, y + 10, 'var(--lp-soft)', 1.3)
      mark(svg, scale.at(part.old.value), y + 10, 'circle', 'var(--lp-soft)', 2)
    }
    htmlElement(row, 'td', there(part.value) ? 'value' : 'value lp-soft', part.text)
  }

  function drawForest() {
    const bar = htmlElement(panel, 'div', 'lp-bar'), all = here('forest')
    const panels = metricToggles(bar, all), { arms, kind, headed } = ordered(panels)
    const plot = Math.max(90, Math.floor((width() - Math.min(200, width() * 0.28)) / panels.length) - 168)
    const scales = panels.map(p => widthScale(p.rows.flatMap(r => [r.value, r.low, r.high, r.seed_low, r.seed_high, r.old?.low, r.old?.high]), plot))
    const best = panels.map(p => Math.max(...p.rows.filter(r => r.kind === 'baseline' && there(r.value)).map(r => r.value)))
    const table = htmlElement(htmlElement(panel, 'div', 'lp-board-scroll'), 'table', 'rows'), top = htmlElement(htmlElement(table, 'thead'), 'tr')
    htmlElement(top, 'th', '', 'arm')
    for (const { metric } of panels) {
      const cell = htmlElement(top, 'th'), sorted = local.sort === metric
      cell.colSpan = 2
      cell.setAttribute('aria-sort', sorted ? (local.falling ? 'descending' : 'ascending') : 'none')
      textButton(cell, metric + (sorted ? (local.falling ? ' ↓' : ' ↑') : ''), () => sortBy(metric), { className: 'plain' }).dataset.sort = metric
    }
    const body = htmlElement(table, 'tbody')
    arms.forEach((arm, i) => {
      if (headed && new Set(Object.values(kind)).size > 1 && (!i || kind[arms[i - 1]] !== kind[arm])) {
        const cell = htmlElement(htmlElement(body, 'tr', 'kind'), 'th', '', KIND_NAMES[kind[arm]])
        cell.colSpan = 1 + 2 * panels.length
      }
      const parts = panels.map(p => p.rows.find(r => r.arm === arm)), row = htmlElement(body, 'tr', model.get('reference') === arm ? 'chosen' : '')
      const name = textButton(htmlElement(row, 'th', 'name'), arm, () => pickReference(arm),
        { className: 'plain', pressed: model.get('reference') === arm })
      if (model.get('reference') === arm) htmlElement(name, 'span', 'lp-board-tag', 'reference')
      panels.forEach((p, k) => forestCell(row, parts[k], plot, scales[k], best[k], parts.some(part => part?.old)))
      speaking(row, parts.filter(Boolean).map(part => part.reads).join(' '))
    })
    const foot = htmlElement(body, 'tr', 'axis')
    htmlElement(foot, 'td')
    panels.forEach((p, k) => { axisCell(foot, plot, scales[k]); htmlElement(foot, 'td') })
    walk(table, 'tbody button')
    forestKey(panels)
  }

  function forestKey(panels) {
    const rows = panels.flatMap(p => p.rows), key = htmlElement(panel, 'p', 'lp-board-key lp-soft')
    const said = [rows.some(r => there(r.low)) ? 'thick: 95 % over patients' : NO_INTERVAL]
    if (rows.some(r => there(r.seed_low))) said.push('thin: 95 % over seeds')
    if (rows.some(r => r.old)) said.push('grey, beneath: as published')
    if (rows.some(r => r.kind === 'baseline')) said.push('dotted: the best baseline')
    key.textContent = said.join('  ·  ')
    if (!model.get('notes').length) return
    const more = htmlElement(panel, 'details', 'lp-board-notes')
    htmlElement(more, 'summary', '', 'What differs from the published table')
    for (const note of model.get('notes')) htmlElement(more, 'p', '', note)
  }

  // Differences

  function drawDifferences() {
    const all = here('differences'), metrics = [...new Set(all.map(d => d.metric))], bar = htmlElement(panel, 'div', 'lp-bar')
    if (!metrics.includes(local.metric)) local.metric = metrics[0]
    const of = all.filter(d => d.metric === local.metric), names = of.map(d => d.reference)
    const current = names.includes(model.get('reference')) ? model.get('reference') : names[0]
    const shown = of.find(d => d.reference === current)
    choices(bar, 'against', names.map(n => [n, n || 'the declared comparisons']), current, value => set('reference', value))
    if (metrics.length > 1) choices(bar, 'metric', metrics.map(m => [m, m]), local.metric, value => { local.metric = value; draw() })
    if (!shown) return
    const plot = Math.max(120, width() - Math.min(270, width() * 0.36) - 400)
    const both = v => there(v) ? [-v, v] : []
    const scale = widthScale([0, ...shown.rows.flatMap(r => [r.difference, r.low, r.high, ...both(r.margin), ...both(r.mdd)])], plot)
    const table = htmlElement(htmlElement(panel, 'div', 'lp-board-scroll'), 'table', 'rows'), top = htmlElement(htmlElement(table, 'thead'), 'tr')
    const known = shown.rows.some(r => there(r.low))
    for (const title of ['comparison', '', known ? 'difference (95 %)' : 'difference', 'Holm p', '']) htmlElement(top, 'th', title === 'Holm p' ? 'n' : '', title)
    const body = htmlElement(table, 'tbody'), several = new Set(shown.rows.map(r => r.sort)).size > 1
    shown.rows.forEach((row, i) => differenceRow(body, row, plot, scale, several && (!i || shown.rows[i - 1].sort !== row.sort)))
    const foot = htmlElement(body, 'tr', 'axis')
    htmlElement(foot, 'td'); axisCell(foot, plot, scale); htmlElement(foot, 'td').colSpan = 3
    walk(table, 'tbody button')
    differenceKey(shown)
  }

  function differenceRow(body, row, plot, scale, headed) {
    if (headed) htmlElement(htmlElement(body, 'tr', 'kind'), 'th', '', row.sort).colSpan = 5
    const line = htmlElement(body, 'tr', local.chosen === row.name ? 'chosen' : ''), name = htmlElement(line, 'th', 'name')
    textButton(name, row.name, () => { local.chosen = local.chosen === row.name ? null : row.name; draw(); focusNamed(row.name) },
      { className: 'plain', pressed: local.chosen === row.name }).dataset.name = row.name
    const svg = plotCell(line, plot, scale), y = ROW / 2, color = themed(SAID_COLORS[row.verdict] || 'var(--lp-soft)')
    const [left, right] = [-row.margin, row.margin].map(scale.at)
    if (there(row.margin)) svgElement(svg, 'rect', { class: 'margin', x: left, width: right - left, y: 0, height: ROW })
    lineAt(svg, scale.at(0), 'zero')
    if (there(row.mdd)) for (const side of [-1, 1]) {
      const x = scale.at(side * row.mdd)
      svgElement(svg, 'path', { class: 'found', d: `M${x - side * 3},${y - 6}H${x}V${y + 6}H${x - side * 3}` })
    }
    bar(svg, scale, row, y, color, 3)
    if (there(row.difference)) mark(svg, scale.at(row.difference), y, row.low === null ? 'hollow' : SAID_SHAPES[row.verdict] || 'hollow', color)
    htmlElement(line, 'td', there(row.difference) ? 'value' : 'value lp-soft', row.text)
    htmlElement(line, 'td', 'n lp-soft', row.p_text)
    const verdict = htmlElement(line, 'td', 'verdict')
    if (row.verdict) htmlElement(verdict, 'span', 'sign', SAID_SIGNS[row.verdict]).style.color = color
    htmlElement(verdict, 'span', row.verdict in SAID_COLORS ? 'firm' : 'lp-soft', row.verdict || row.sort)
    speaking(line, row.claim)
  }

  const focusNamed = name => [...panel.querySelectorAll('[data-name]')].find(b => b.dataset.name === name)?.focus()

  function differenceKey(shown) {
    const known = shown.rows.some(r => there(r.low)), said = [known ? '95 % over patients, and seeds where there are several' : NO_DIFFERENCE]
    if (shown.rows.some(r => there(r.margin))) said.push('shaded: too small to matter')
    if (shown.rows.some(r => there(r.mdd))) said.push('brackets: the smallest difference that would be found')
    htmlElement(panel, 'p', 'lp-board-key lp-soft', said.join('  ·  '))
    if (shown.rows.some(r => r.sort === 'asked for afterwards'))
      htmlElement(panel, 'p', 'lp-board-warn', LATE)
    if (shown.rows.some(r => r.sort === 'not compared'))
      htmlElement(panel, 'p', 'lp-board-warn', BARE)
    const row = shown.rows.find(r => r.name === local.chosen)
    local.pinned = row ? row.claim : null
    if (row) say(row.claim)
    if (shown.power) htmlElement(panel, 'p', 'lp-soft', shown.power[0].toUpperCase() + shown.power.slice(1))
  }

  // Label curves

  function lineLooks(lines) {
    let arms = 0
    const baselines = lines.filter(l => l.kind === 'baseline')
    const look = l => l.kind === 'arm' ? { color: themed(LINE_COLORS[arms++ % 6]), dash: '' }
      : l.kind === 'oracle' ? { color: themed('#009E73'), dash: '1 3' }
        : { color: 'var(--lp-soft)', dash: ['5 3', '2 3', '8 3 2 3'][baselines.indexOf(l) % 3] }
    return Object.fromEntries(lines.map(l => [l.arm, look(l)]))
  }

  function drawLabels() {
    const panels = here('labels'), looks = lineLooks(panels[0].lines), keys = htmlElement(panel, 'div', 'lp-bar')
    for (const { arm } of panels[0].lines) {
      const key = textButton(keys, arm, () => { local.hidden.has(arm) ? local.hidden.delete(arm) : local.hidden.add(arm); draw(); focusKey(arm) },
        { pressed: !local.hidden.has(arm), className: 'lp-board-line' })
      key.dataset.arm = arm
      key.style.setProperty('--key', looks[arm].color)
      key.classList.toggle('dashed', looks[arm].dash !== '')
    }
    const plots = htmlElement(panel, 'div', 'lp-board-plots')
    const cols = width() > 680 && panels.length > 1 ? 2 : 1
    plots.style.gridTemplateColumns = `repeat(${cols}, minmax(0, 1fr))`
    for (const part of panels) labelPlot(plots, part, looks, Math.floor((width() - 24 * (cols - 1)) / cols))
    htmlElement(panel, 'p', 'lp-board-key lp-soft', 'share of the labels (stays)  ·  whiskers: smallest and largest draw of that share')
  }
  const focusKey = arm => [...panel.querySelectorAll('[data-arm]')].find(b => b.dataset.arm === arm)?.focus()

  function labelPlot(parent, part, looks, w) {
    const lines = part.lines.filter(l => !local.hidden.has(l.arm)), h = 260, left = 44, right = 18, top = 26, bottom = 44
    const svg = chart(parent, w, h, `${part.metric} by share of the labels; arrow keys read it`)
    const shares = part.ticks.map(t => t[0]), [a, b] = [Math.log(shares[0]), Math.log(shares.at(-1))]
    const x = s => left + 14 + (b > a ? (Math.log(s) - a) / (b - a) : 0.5) * (w - left - right - 28)
    const seen = lines.flatMap(l => l.points.flatMap(p => p.slice(1))).filter(there)
    const low = Math.min(...seen), high = Math.max(...seen), pad = 0.06 * (high - low || 0.1)
    const y = v => h - bottom - ((v - low + pad) / (high - low + 2 * pad)) * (h - top - bottom)
    for (const tick of niceTicks(low - pad, high + pad)) {
      svgElement(svg, 'line', { class: 'grid', x1: left, x2: w - right, y1: y(tick), y2: y(tick) })
      svgElement(svg, 'text', { class: 'end', x: left - 6, y: y(tick) + 4 }, String(tick))
    }
    svgElement(svg, 'text', { class: 'ink title', x: left, y: 14 }, part.metric)
    for (const [share, text, stays] of part.ticks) {
      svgElement(svg, 'text', { class: 'tick', x: x(share), y: h - bottom + 17 }, text)
      if (stays) svgElement(svg, 'text', { class: 'tick', x: x(share), y: h - bottom + 32 }, stays.replace(' stays', ''))
    }
    const arms = lines.filter(l => l.kind === 'arm')
    const aside = line => line.kind === 'arm' ? 3 * (arms.indexOf(line) - (arms.length - 1) / 2) : 0 // arms stand side by side
    for (const line of lines) labelLine(svg, line, looks[line.arm], p => x(p[0]) + aside(line), y, [left, w - right])
    const cursor = svgElement(svg, 'line', { class: 'cursor', y1: top, y2: h - bottom, visibility: 'hidden' })
    let at = -1
    const stand = i => {
      at = Math.max(0, Math.min(shares.length - 1, i))
      for (const end of ['x1', 'x2']) cursor.setAttribute(end, x(shares[at]))
      cursor.setAttribute('visibility', 'visible')
      const values = lines.map(l => [l.arm, l.points.find(p => p[0] === shares[at])]).filter(([, p]) => p && there(p[1]))
      const [, share, stays] = part.ticks[at], falling = values.sort((p, q) => q[1][1] - p[1][1])
      const reads = falling.map(([arm, p]) => `${arm} ${p[1].toFixed(3)}`).join(', ')
      say(`${part.metric} with ${share} of the labels${stays && ` (${stays})`}: ${reads}.`)
    }
    svg.onmousemove = event => {
      const to = event.clientX - svg.getBoundingClientRect().left
      stand(shares.reduce((near, s, i) => Math.abs(x(s) - to) < Math.abs(x(shares[near]) - to) ? i : near, 0))
    }
    onKeys(svg, { ArrowRight: () => stand(at + 1), ArrowLeft: () => stand(at - 1), Home: () => stand(0), End: () => stand(shares.length - 1) })
    svg.addEventListener('focus', () => stand(at < 0 ? shares.length - 1 : at))
    svg.addEventListener('blur', () => cursor.setAttribute('visibility', 'hidden'))
  }

  function labelLine(svg, line, look, x, y, [from, to]) {
    const points = line.points.filter(p => there(p[1]))
    if (points.length === 1 && line.kind === 'oracle')
      return stroke(svg, [[from, y(points[0][1])], [to, y(points[0][1])]], look.color, 1.6, look.dash)
    stroke(svg, points.map(p => [x(p), y(p[1])]), look.color, line.kind === 'arm' ? 2 : 1.3, look.dash)
    for (const p of points) {
      if (line.kind === 'arm' && there(p[2])) stroke(svg, [[x(p), y(p[2])], [x(p), y(p[3])]], look.color, 1.2)
      mark(svg, x(p), y(p[1]), line.kind === 'arm' ? 'circle' : 'hollow', look.color, 3.2)
    }
  }

  // Calibration

  function armChoice(bar, parts) {
    const arms = [...new Set(parts.map(p => p.arm))]
    const current = arms.includes(model.get('looked')) ? model.get('looked') : arms[0]
    choices(bar, 'arm', arms.map(a => [a, a]), current, value => set('looked', value))
    return current
  }

  function drawCalibration() {
    const parts = here('calibration'), bar = htmlElement(panel, 'div', 'lp-bar'), arm = armChoice(bar, parts), part = parts.find(p => p.arm === arm)
    const side = htmlElement(panel, 'div', 'lp-board-side'), size = Math.min(420, width())
    side.style.gridTemplateColumns = width() > 760 ? `${size}px minmax(0, 1fr)` : 'minmax(0, 1fr)'
    reliabilityPlot(htmlElement(side, 'div'), part, size)
    const words = htmlElement(side, 'div')
    if (part.measures.length) {
      const table = htmlElement(words, 'table', 'measures'), top = htmlElement(table, 'tr')
      for (const title of ['mean over labels', 'as trained', 'one temperature']) htmlElement(top, 'th', '', title)
      for (const cells of part.measures) {
        const row = htmlElement(table, 'tr')
        cells.forEach((text, i) => htmlElement(row, i ? 'td' : 'th', '', text || '–'))
      }
    }
    htmlElement(words, 'p', 'lp-soft', part.curves.length > 1 ? BOTH : ONE)
    htmlElement(words, 'p', 'lp-soft', DIAGONAL)
  }

  function reliabilityPlot(parent, part, size) {
    const bins = part.curves.flatMap(c => c.bins.map(b => ({ ...b, when: c.when }))), left = 44, foot = 40, top = 8, inner = size - left - 8
    const most = !bins.length ? 1 : Math.min(1, 1.04 * Math.max(0.02, ...bins.flatMap(b => [b.risk, b.rate, b.high].filter(there))))
    const svg = chart(parent, size, inner + top + foot, 'Event rate by predicted risk; arrow keys read the bins')
    const x = v => left + v / most * inner, y = v => top + inner - v / most * inner
    for (const tick of niceTicks(0, most)) {
      svgElement(svg, 'line', { class: 'grid', x1: left, x2: left + inner, y1: y(tick), y2: y(tick) })
      svgElement(svg, 'line', { class: 'grid', x1: x(tick), x2: x(tick), y1: top, y2: top + inner })
      svgElement(svg, 'text', { class: 'end', x: left - 6, y: y(tick) + 4 }, String(tick))
      if (tick) svgElement(svg, 'text', { class: 'tick', x: x(tick), y: top + inner + 16 }, String(tick))
    }
    svgElement(svg, 'line', { class: 'diagonal', x1: x(0), y1: y(0), x2: x(most), y2: y(most) })
    svgElement(svg, 'text', { class: 'tick', x: left + inner / 2, y: top + inner + 34 }, 'predicted risk')
    svgElement(svg, 'text', { class: 'tick', transform: `translate(11 ${top + inner / 2}) rotate(-90)` }, 'event rate')
    part.curves.forEach((curve, k) => {
      const color = themed(['#0072B2', '#D55E00'][k]), dash = k ? '6 3' : ''
      stroke(svg, curve.bins.map(b => [x(b.risk), y(b.rate)]), color, 1.8, dash)
      for (const b of curve.bins) {
        stroke(svg, [[x(b.risk), y(b.low)], [x(b.risk), y(b.high)]], color, 1.2)
        mark(svg, x(b.risk), y(b.rate), k ? 'square' : 'circle', color, 3.8)
      }
    })
    if (!bins.length) svgElement(svg, 'text', { class: 'tick', x: left + inner / 3, y: top + inner / 4 }, 'too few events for a curve')
    const ring = svgElement(svg, 'circle', { class: 'ring', r: 8, visibility: 'hidden' })
    let at = -1
    const stand = i => {
      if (!bins.length) return
      at = Math.max(0, Math.min(bins.length - 1, i))
      const b = bins[at]
      ring.setAttribute('cx', x(b.risk)); ring.setAttribute('cy', y(b.rate)); ring.setAttribute('visibility', 'visible')
      const [risk, rate, low, high] = [b.risk, b.rate, b.low, b.high].map(v => v.toFixed(3))
      const when = b.when === 'temperature' ? 'after one temperature' : b.when
      say(`${part.arm}, ${when}: predicted ${risk}, observed ${rate} (${low}, ${high}), ${b.n} predictions, ${b.events} events.`)
    }
    svg.onmousemove = event => {
      const box = svg.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top
      const far = bins.map(b => Math.hypot(x(b.risk) - px, y(b.rate) - py))
      stand(far.indexOf(Math.min(...far)))
    }
    onKeys(svg, { ArrowRight: () => stand(at + 1), ArrowLeft: () => stand(at - 1), Home: () => stand(0), End: () => stand(bins.length - 1) })
    svg.addEventListener('focus', () => stand(at < 0 ? 0 : at))
  }

  // Subgroups

  function drawSubgroups() {
    const parts = here('subgroups'), bar = htmlElement(panel, 'div', 'lp-bar'), arm = armChoice(bar, parts), of = parts.filter(p => p.arm === arm)
    const metrics = of.map(p => p.metric)
    if (!metrics.includes(local.group)) local.group = metrics[0]
    if (metrics.length > 1) choices(bar, 'metric', metrics.map(m => [m, m]), local.group, value => { local.group = value; draw() })
    const { rows, metric } = of.find(p => p.metric === local.group), plot = Math.max(120, width() - Math.min(220, width() * 0.3) - 430)
    const scale = widthScale(rows.flatMap(r => [r.value, r.low, r.high]), plot), whole = rows.find(r => r.characteristic === 'all')
    const table = htmlElement(htmlElement(panel, 'div', 'lp-board-scroll'), 'table', 'rows'), top = htmlElement(htmlElement(table, 'thead'), 'tr')
    for (const title of ['group', 'stays', 'events', '', `${metric} (95 %)`])
      htmlElement(top, 'th', ['stays', 'events'].includes(title) ? 'n' : '', title)
    const body = htmlElement(table, 'tbody')
    rows.forEach((r, i) => {
      if (r.characteristic !== 'all' && rows[i - 1]?.characteristic !== r.characteristic)
        htmlElement(htmlElement(body, 'tr', 'kind'), 'th', '', r.characteristic).colSpan = 5
      const row = htmlElement(body, 'tr'), name = htmlElement(row, 'th', r.characteristic === 'all' ? 'name whole' : 'name group', r.short)
      if (r.short !== r.level) name.title = r.level
      row.tabIndex = i ? -1 : 0
      name.scope = 'row'
      for (const count of [r.n, r.events]) htmlElement(row, 'td', /^\d/.test(count) ? 'n' : 'n lp-soft', count)
      const svg = plotCell(row, plot, scale), color = themed('#0072B2')
      if (there(whole?.value)) lineAt(svg, scale.at(whole.value), 'best')
      barAndMark(svg, scale, r, color)
      const value = htmlElement(row, 'td', r.text ? 'value' : 'value lp-soft', r.text || r.reason)
      if (r.text && r.reason) htmlElement(value, 'span', 'lp-soft lp-board-part', r.reason)
      const named = r.characteristic === 'all' ? r.level : `${r.characteristic}: ${r.level}`
      speaking(row, `${named}, ${r.n} stays, ${r.events} events: ${metric} ${r.text || `not scored, ${r.reason}`}.`)
    })
    const foot = htmlElement(body, 'tr', 'axis')
    htmlElement(foot, 'td').colSpan = 3; axisCell(foot, plot, scale); htmlElement(foot, 'td')
    walk(table, 'tbody tr[tabindex]')
    htmlElement(panel, 'p', 'lp-board-key lp-soft', ['95 % over patients', 'dotted: all test stays', SMALL].join('  ·  '))
  }

  function barAndMark(svg, scale, row, color) {
    bar(svg, scale, row, ROW / 2, color, 2.6)
    if (there(row.value)) mark(svg, scale.at(row.value), ROW / 2, row.characteristic === 'all' ? 'diamond' : 'circle', color)
  }

  // The frame

  function drawTabs() {
    const focused = tabs.contains(document.activeElement), all = model.get('tabs').map(t => t[0])
    tabs.replaceChildren()
    const go = by => { set('tab', all[(all.indexOf(current()) + by + all.length) % all.length]) }
    for (const [name, title] of model.get('tabs')) {
      const tab = textButton(tabs, title, () => set('tab', name), { className: 'lp-board-tab' })
      tab.setAttribute('role', 'tab')
      tab.setAttribute('aria-selected', String(name === current()))
      tab.setAttribute('aria-controls', panel.id)
      tab.tabIndex = name === current() ? 0 : -1
      onKeys(tab, { ArrowRight: () => go(1), ArrowLeft: () => go(-1), Home: () => set('tab', all[0]), End: () => set('tab', all.at(-1)) })
    }
    if (focused) tabs.querySelector('[aria-selected="true"]').focus()
    tasks.replaceChildren()
    if (model.get('tasks').length > 1) for (const task of model.get('tasks'))
      textButton(tasks, task, () => set('task', task), { pressed: task === model.get('task') })
  }
  const current = () => model.get('tabs').some(t => t[0] === model.get('tab')) ? model.get('tab') : model.get('tabs')[0][0]
  const DRAW = { forest: drawForest, differences: drawDifferences, labels: drawLabels, calibration: drawCalibration, subgroups: drawSubgroups }

  function draw() {
    const focus = document.activeElement, again = panel.contains(focus) ? focus.textContent : null
    local.pinned = null
    drawTabs()
    panel.replaceChildren()
    panel.setAttribute('aria-label', model.get('tabs').find(t => t[0] === current())[1])
    say('')
    if (here(current()).length) DRAW[current()]()
    else htmlElement(panel, 'p', 'lp-soft', 'Nothing was kept of this for this task.')
    if (again) [...panel.querySelectorAll('tbody button')].find(b => b.textContent.startsWith(again.replace('reference', '')))?.focus()
  }

  return redrawOn(model, root, [...Object.keys(DRAW), 'tabs', 'tab', 'task', 'reference', 'looked', 'notes'], draw)
}

export default { render }
