// Curves of measures across the stages of a plan: one panel per measure, one SVG, no library.
// Traits in: series, tracks, points, notes, height, xlabel. Both ways: at (number of the probe under the cursor), stage, step, log, bands, parts, shown.

const MARGIN = { left: 62, right: 16, top: 26, bottom: 36 }
const GAP = 18 // between panels
const ROW = 14 // of headings, and of the steps below, where plans differ in them

// From data to pixels; the range of heights is padded, and on a linear axis includes zero if that is near.
function heightScale(values, top, bottom, log) {
  let low = Math.min(...values), high = Math.max(...values)
  if (!(high > low)) { high = low + Math.abs(low || 1) * 0.5; low -= Math.abs(low || 1) * 0.5 }
  if (log) {
    const pad = Math.exp(0.06 * Math.log(high / low))
    low /= pad; high *= pad
    const scale = v => bottom - (Math.log(v / low) / Math.log(high / low)) * (bottom - top)
    return { scale, ticks: niceTicks(low, high, true) }
  }
  const pad = 0.06 * (high - low)
  low = low >= 0 && low < 0.5 * high ? 0 : low - pad
  high += pad
  return { scale: v => bottom - ((v - low) / (high - low)) * (bottom - top), ticks: niceTicks(low, high) }
}

// The values of the lines, and the ends of their bands as far as these do not dwarf the lines.
function withBands(lines, ends, log) {
  if (!lines.length) return lines
  const low = Math.min(...lines), high = Math.max(...lines), room = Math.max(high - low, Math.abs(high) * 0.2)
  const inside = v => log ? Math.max(low / 4, Math.min(high * 4, v)) : Math.max(low - room, Math.min(high + room, v))
  return [...lines, ...ends.map(inside)]
}

// A path through the finite points; a missing value breaks the line.
const path = (xs, ys) => {
  let drawing = false
  return xs.map((x, i) => {
    if (!Number.isFinite(ys[i])) { drawing = false; return '' }
    const command = `${drawing ? 'L' : 'M'}${x.toFixed(1)},${ys[i].toFixed(1)}`
    drawing = true
    return command
  }).join('')
}

// Tracks that say the same, as far as they go, together: [{ said, tracks }], in the order of the tracks.
function agreeing(tracks, of) {
  const rows = []
  const within = (few, many) => few.every(one => many.some(other => String(one) === String(other)))
  for (const track of tracks.toSorted((a, b) => of(b).length - of(a).length)) {
    const row = rows.find(row => within(of(track), row.said))
    row ? row.tracks.push(track) : rows.push({ said: of(track), tracks: [track] })
  }
  return rows
}

function render({ model, el }) {
  const hidden = new Set() // names of plans
  const root = rootElement(el, 'lp-curves', 'Deviation curves')
  const bar = htmlElement(root, 'div', 'lp-bar')
  const keys = htmlElement(bar, 'div', 'lp-curves-keys')
  const flip = trait => () => { model.set(trait, !model.get(trait)); model.save_changes() }
  const toggles = htmlElement(bar, 'div', 'lp-curves-toggles')
  const toggle = {
    parts: textButton(toggles, 'labels', flip('parts'), { title: 'A thin line for each label' }),
    bands: textButton(toggles, 'bands', flip('bands'), { title: 'How far the curve could lie elsewhere' }),
    log: textButton(toggles, 'log', flip('log'), { title: 'Logarithmic or linear heights' }),
  }
  helpButton(toggles, root, [
    ['click a panel', 'move the cursor to the nearest step; a linked explorer shows the map of that step'],
    ['← →, Home, End', 'move the cursor once the curves have the focus'],
    ['click a measure', 'show or hide its panel; at least one stays'],
    ['click a plan', 'show or hide its curves'],
    ['labels', 'a thin line for each label behind the mean'],
    ['bands', 'the lowest and the highest seed, or two standard errors under other patients'],
    ['rows of headings', 'plans whose stages differ: a dash has the colour of its plan'],
    ['dashed borders', 'one stage ends, the next begins; step 0 is what the stage before left'],
  ])
  const svg = svgElement(root, 'svg', { tabindex: 0, role: 'slider', 'aria-label': 'Step of the run' })
  const said = htmlElement(root, 'div', 'lp-curves-said')
  said.setAttribute('aria-live', 'polite')
  const notes = htmlElement(root, 'div', 'lp-curves-notes')
  let toX = v => v // data to pixels, set by draw
  let width = 760

  const setCursor = at => {
    const points = model.get('points')
    if (!points.length) return
    const to = Math.max(0, Math.min(points.length - 1, at))
    model.set('at', to)
    model.set('step', points[to].global_step)
    model.set('stage', points[to].number)
    model.save_changes()
  }

  // A stage set from outside: on its last probe, unless the cursor is in that stage already.
  function followStage() {
    const points = model.get('points'), stage = model.get('stage')
    if (stage === null || points[model.get('at')]?.number === stage) return
    const at = points.findLastIndex(p => p.number === stage && (p.step || !stage))
    if (at >= 0) setCursor(at)
  }

  const panelsOf = series => [...new Set(series.map(s => s.panel))]
  const namesOf = series => [...new Set(series.map(s => s.name))]

  function showPanel(panel) {
    const shown = model.get('shown'), all = panelsOf(model.get('series'))
    const next = shown.includes(panel) ? shown.filter(p => p !== panel) : all.filter(p => p === panel || shown.includes(p))
    if (next.length) { model.set('shown', next); model.save_changes() }
  }

  function key(name, on, color, act) {
    const button = textButton(keys, name, act, { pressed: on, className: `lp-curves-key${color ? ' colored' : ''}` })
    if (color) button.style.setProperty('--key', themed(color))
  }

  function drawKeys() {
    keys.replaceChildren()
    const series = model.get('series'), names = namesOf(series), alone = names.length === 1
    for (const panel of panelsOf(series)) {
      const color = alone ? series.find(s => s.panel === panel).color : null
      key(panel, model.get('shown').includes(panel), color, () => showPanel(panel))
    }
    if (!alone) {
      htmlElement(keys, 'span', 'lp-curves-break')
      for (const name of names) {
        const act = () => { hidden.has(name) ? hidden.delete(name) : hidden.add(name); draw() }
        key(name, !hidden.has(name), series.find(s => s.name === name).color, act)
      }
    }
    for (const [trait, button] of Object.entries(toggle)) button.setAttribute('aria-pressed', String(model.get(trait)))
    toggle.parts.hidden = !series.some(s => s.parts.length)
    toggle.bands.hidden = !series.some(s => s.low)
  }

  // The colours of the plans that a row of headings or steps belongs to, left of it; none where it belongs to all.
  function marks(row, rows, y) {
    if (rows.length > 1) row.tracks.forEach((track, k) => {
      const x = MARGIN.left - 6 - 11 * k
      svgElement(svg, 'line', { class: 'mark', x1: x - 8, x2: x, y1: y - 4, y2: y - 4, style: `stroke: ${themed(track.color)}` })
    })
  }

  function drawFrame(top, bottom, first, last, frame) {
    const { headings, steps } = frame
    const shared = headings[0].said.filter(span => headings.every(row => row.said.some(([start]) => start === span[0])))
    shared.forEach(([start], i) => {
      const end = shared[i + 1]?.[0] ?? frame.x1
      if (i % 2) svgElement(svg, 'rect', { class: 'shade', x: toX(start), y: top, width: toX(end) - toX(start), height: bottom - top })
    })
    headings.forEach((row, k) => {
      const y = frame.top - 9 - ROW * (headings.length - 1 - k)
      if (first) marks(row, headings, y)
      row.said.forEach(([start, end, name], i) => {
        const own = shared.some(span => span[0] === start) ? {} : { style: `stroke: ${themed(row.tracks[0].color)}` }
        if (i && (!k || own.style)) svgElement(svg, 'line', { class: 'border', x1: toX(start), x2: toX(start), y1: top, y2: bottom, ...own })
        if (first) svgElement(svg, 'text', { class: 'stage', x: (toX(start) + toX(end)) / 2, y }, name)
      })
    })
    steps.forEach((row, k) => {
      const ticks = row.said.length ? row.said : niceTicks(frame.x0, frame.x1).map(v => [v, String(v)])
      if (last) marks(row, steps, bottom + 15 + ROW * k)
      for (const [x, text] of ticks) {
        if (steps.length === 1) svgElement(svg, 'line', { class: 'grid', x1: toX(x), x2: toX(x), y1: top, y2: bottom })
        if (last) svgElement(svg, 'text', { class: 'tick', x: toX(x), y: bottom + 15 + ROW * k }, text)
      }
    })
    svgElement(svg, 'line', { class: 'axis', x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom })
  }

  function drawCurve(s, scale, keep, bottom) {
    const color = themed(s.color), xs = s.x.map(toX), y = vs => vs.map(v => keep(v) ? scale(v) : NaN)
    if (s.low && model.get('bands')) {
      const ends = s.low.map((v, i) => v !== null && keep(s.high[i]) ? i : -1).filter(i => i >= 0)
      const outline = [...ends.map(i => [xs[i], scale(s.high[i])]), ...ends.toReversed().map(i => [xs[i], keep(s.low[i]) ? scale(s.low[i]) : bottom])]
      if (ends.length) svgElement(svg, 'path', { class: 'band', d: `M${outline.map(p => p.map(v => v.toFixed(1))).join('L')}Z`, style: `fill: ${color}` })
    }
    for (const seed of s.seeds) svgElement(svg, 'path', { class: 'seed', d: path(xs, y(seed)), style: `stroke: ${color}` })
    if (model.get('parts'))
      for (const [name, values] of s.parts) {
        const line = svgElement(svg, 'path', { class: 'part', d: path(xs, y(values)), style: `stroke: ${color}` })
        svgElement(line, 'title', {}, name)
      }
    svgElement(svg, 'path', { class: 'line', d: path(xs, y(s.y)), style: `stroke: ${color}`, 'data-name': s.name })
    const there = s.y.map((v, i) => keep(v) ? i : -1).filter(i => i >= 0)
    for (const i of there) // a value whose neighbours are missing has no line
      if (!there.includes(i - 1) && !there.includes(i + 1)) svgElement(svg, 'circle', { class: 'dot', cx: xs[i], cy: scale(s.y[i]), r: 3.5, style: `fill: ${color}` })
    const point = model.get('points')[model.get('at')]
    const i = point ? s.x.findIndex(x => Math.abs(x - point.x) < 1e-9) : -1
    if (i >= 0 && keep(s.y[i])) svgElement(svg, 'circle', { class: 'dot', cx: xs[i], cy: scale(s.y[i]), r: 4.5, style: `fill: ${color}` })
  }

  function drawPanel(panel, series, top, bottom, first, last, frame) {
    const lines = series.flatMap(s => [...s.y, ...s.seeds.flat(), ...(model.get('parts') ? s.parts.flatMap(part => part[1]) : [])])
    const log = model.get('log') && lines.some(v => v > 0)
    const keep = v => v !== null && (!log || v > 0)
    const values = withBands(lines.filter(keep), model.get('bands') ? series.flatMap(s => [...(s.low || []), ...(s.high || [])]).filter(keep) : [], log)
    drawFrame(top, bottom, first, last, frame)
    svgElement(svg, 'text', { class: 'measure', x: -(top + bottom) / 2, y: 13, transform: 'rotate(-90)' }, panel)
    if (!values.length) {
      const middle = { x: (MARGIN.left + width - MARGIN.right) / 2, y: (top + bottom) / 2 }
      svgElement(svg, 'text', { class: 'tick', ...middle }, 'no estimate: the debiased value is not positive, more stays are needed')
      return
    }
    const { scale, ticks } = heightScale(values, top, bottom, log)
    for (const v of ticks) {
      svgElement(svg, 'line', { class: 'grid', x1: MARGIN.left, x2: width - MARGIN.right, y1: scale(v), y2: scale(v) })
      svgElement(svg, 'text', { class: 'height', x: MARGIN.left - 7, y: scale(v) + 4 }, number(v))
    }
    const inside = v => Math.max(top, Math.min(bottom, scale(v))) // a band that leaves the panel ends at its edge
    for (const s of series) drawCurve(s, inside, keep, bottom)
  }

  function describe(visible) {
    const point = model.get('points')[model.get('at')]
    if (!point) return 'Click a curve, or focus it and use the arrow keys, to move to a step.'
    const values = visible.map(s => {
      const { points } = model.get('tracks').find(track => track.name === s.name)
      const here = points.map((_, i) => i).filter(i => Math.abs(points[i].x - point.x) < 1e-9) // at a border there are two
      const same = here.find(i => points[i].stage === point.stage && points[i].step === point.step), i = same ?? here[0]
      const where = same === undefined && i !== undefined ? ` (${points[i].stage}, step ${points[i].step})` : ''
      return i === undefined || s.y[i] === null ? '' : `${s.label}${where} ${number(s.y[i])}`
    }).filter(Boolean)
    return `${point.stage}, step ${point.step} (global step ${point.global_step}): ${values.join(', ')}`
  }

  function draw() {
    drawKeys()
    svg.replaceChildren()
    const visible = model.get('series').filter(s => model.get('shown').includes(s.panel) && !hidden.has(s.name))
    const panels = panelsOf(visible), tracks = model.get('tracks').filter(track => !hidden.has(track.name) && track.spans.length)
    notes.replaceChildren(...model.get('notes').map(note => htmlElement(notes, 'div', '', note)))
    if (!tracks.length) return
    const headings = agreeing(tracks, track => track.spans), steps = agreeing(tracks, track => track.ticks)
    const ends = tracks.flatMap(track => track.spans.flatMap(([start, end]) => [start, end]))
    const [x0, x1] = [Math.min(...ends), Math.max(...ends)]
    const frame = { headings, steps, x0, x1, top: MARGIN.top + ROW * (headings.length - 1) }
    const below = MARGIN.bottom + ROW * (steps.length - 1)
    width = Math.max(360, root.clientWidth || 760)
    const inner = model.get('height')
    const total = frame.top + below + Math.max(panels.length, 1) * inner + Math.max(panels.length - 1, 0) * GAP
    svg.setAttribute('viewBox', `0 0 ${width} ${total}`)
    svg.style.height = `${total}px`
    toX = v => MARGIN.left + ((v - x0) / (x1 - x0 || 1)) * (width - MARGIN.left - MARGIN.right)
    panels.forEach((panel, i) => {
      const top = frame.top + i * (inner + GAP)
      drawPanel(panel, visible.filter(s => s.panel === panel), top, top + inner, i === 0, i === panels.length - 1, frame)
    })
    svgElement(svg, 'text', { class: 'tick', x: (MARGIN.left + width - MARGIN.right) / 2, y: total - 4 }, model.get('xlabel'))
    const point = model.get('points')[model.get('at')]
    if (point) svgElement(svg, 'line', { class: 'cursor', x1: toX(point.x), x2: toX(point.x), y1: frame.top, y2: total - below })
    said.textContent = describe(visible)
    svg.setAttribute('aria-valuemin', 0)
    svg.setAttribute('aria-valuemax', Math.max(model.get('points').length - 1, 0))
    svg.setAttribute('aria-valuenow', Math.max(model.get('at'), 0))
    svg.setAttribute('aria-valuetext', said.textContent)
  }

  svg.addEventListener('click', event => {
    const box = svg.getBoundingClientRect()
    const x = (event.clientX - box.left) * (width / box.width)
    let best = -1, gap = Infinity
    model.get('points').forEach((p, i) => {
      if (Math.abs(toX(p.x) - x) < gap) { gap = Math.abs(toX(p.x) - x); best = i }
    })
    setCursor(best)
  })
  onKeys(svg, {
    ArrowRight: () => setCursor(model.get('at') + 1), ArrowLeft: () => setCursor(model.get('at') - 1),
    Home: () => setCursor(0), End: () => setCursor(model.get('points').length - 1),
  })
  model.on('change:stage', followStage)
  const clean = redrawOn(model, root, ['series', 'tracks', 'notes', 'points', 'log', 'bands', 'parts', 'shown', 'at', 'height'], draw)
  return () => { clean(); model.off('change:stage', followStage) }
}

export default { render }
