// The same points after every stage on one map, on a canvas: a page of it needs no kernel.
// Traits in: n, nodes ([{name, stage, step, parent, said, moved}]), routes ([[plan, numbers]]), xy (base64 of uint16 pairs, one per node, within the window),
// far (for each node [[number, x, y]]: points outside the window, in its sides), columns ([{name, codes (base64 of uint8), legend ([[text, colour, count]])}]), note. Both ways: node, stage, color, arrows, whole.

const numbersOf = (text, kind) => {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0))
  return new kind(bytes.buffer)
}

function render({ model, el }) {
  const root = rootElement(el, 'lp-map', 'Map of stays after every stage')
  const bar = htmlElement(root, 'div', 'lp-bar')
  const play = textButton(bar, '▶ play', () => playing ? stop() : start(), { title: 'Go through the stages' })
  const steps = htmlElement(bar, 'div', 'lp-map-steps')
  const pick = htmlElement(bar, 'select')
  pick.setAttribute('aria-label', 'Colour by')
  pick.title = 'Colour by'
  model.get('columns').forEach((column, i) => { htmlElement(pick, 'option', '', column.name).value = i })
  pick.onchange = () => { model.set('color', +pick.value); model.save_changes() }
  const arrows = textButton(bar, 'arrows', () => { model.set('arrows', !model.get('arrows')); model.save_changes() }, { title: 'The way of those that changed company most' })
  const all = textButton(bar, 'all points', () => { model.set('whole', !model.get('whole')); model.save_changes() }, { title: 'A window that holds those far from all others' })
  helpButton(bar, root, [
    ['click a stage, ← →', 'move every stay to its place after that stage'],
    ['play', 'go through the stages'],
    ['arrows', 'the way of the stays that lost most neighbours, from faint to dark; nothing below the noise of the map'],
    ['all points', 'widen the window until it holds the stays far from all others; there only where it leaves some out'],
    ['click a colour', 'fade all others'],
  ])
  const canvas = htmlElement(root, 'canvas', 'lp-map-canvas')
  canvas.tabIndex = 0
  canvas.setAttribute('role', 'img')
  const legend = htmlElement(root, 'div', 'lp-map-legend')
  if (model.get('note')) htmlElement(root, 'div', 'lp-soft', model.get('note'))
  const said = htmlElement(root, 'div', 'lp-soft')
  said.setAttribute('aria-live', 'polite')

  // in sides of the window, x and y of each point in turn
  const n = model.get('n'), far = model.get('far'), places = model.get('xy').map(text => Float32Array.from(numbersOf(text, Uint16Array), v => v / 65535))
  far.forEach((points, node) => points.forEach(([i, x, y]) => { places[node][2 * i] = x; places[node][2 * i + 1] = y }))
  const [low, high] = [Math.min, Math.max].map((end, one) => [1, 2].map(k => end(one, ...far.flat().map(point => point[k]))))
  const wide = 1.08 * Math.max(high[0] - low[0], high[1] - low[1]), middle = [0, 1].map(k => (low[k] + high[k]) / 2)
  const onCanvas = (p, i, side) => [p[2 * i], p[2 * i + 1]].map((v, k) => {
    const at = model.get('whole') ? 0.5 + (v - middle[k]) / wide : v
    return side * (k ? 1 - at : at)
  })
  const codes = model.get('columns').map(column => numbersOf(column.codes, Uint8Array))
  let now = Float32Array.from(places[model.get('node')]), playing = 0, moving = 0, only = null

  function paint() {
    const size = Math.min(root.clientWidth || 640, Math.max(420, 0.72 * window.innerHeight), 860), scale = window.devicePixelRatio || 1
    if (canvas.width !== Math.round(size * scale)) { canvas.width = canvas.height = Math.round(size * scale); canvas.style.width = canvas.style.height = `${size}px` }
    const context = canvas.getContext('2d'), side = canvas.width, dot = Math.max(1.4, Math.min(6, 150 / Math.sqrt(n))) * scale
    context.clearRect(0, 0, side, side)
    const column = model.get('color'), keys = model.get('columns')[column]?.legend || [['stay', '#0072B2', n]]
    const under = keys.map((_, code) => code).sort((a, b) => (keys[b][0] === 'missing') - (keys[a][0] === 'missing')) // what is missing lies under the others
    under.forEach(code => {
      context.fillStyle = resolved(root, keys[code][1])
      context.globalAlpha = only !== null && only !== code ? 0.08 : 0.8
      for (let i = 0; i < n; i++) {
        if (codes[column] && codes[column][i] !== code) continue
        const [x, y] = onCanvas(now, i, side)
        if (n > 8000) context.fillRect(x - dot / 2, y - dot / 2, dot, dot) // many points: squares are drawn much faster
        else { context.beginPath(); context.arc(x, y, 0.6 * dot, 0, 7); context.fill() }
      }
    })
    context.globalAlpha = 1
    if (model.get('arrows') && !moving) drawArrows(context, side, scale)
  }

  function drawArrows(context, side, scale) {
    const { parent, moved } = model.get('nodes')[model.get('node')]
    if (parent < 0) return
    const ink = getComputedStyle(root).color
    context.lineWidth = 0.8 * scale
    for (const i of moved) {
      const a = onCanvas(places[parent], i, side), b = onCanvas(now, i, side), turn = Math.atan2(b[1] - a[1], b[0] - a[0])
      const head = Math.min(6 * scale, 0.4 * Math.hypot(b[0] - a[0], b[1] - a[1])), fade = context.createLinearGradient(...a, ...b)
      fade.addColorStop(0, 'transparent'); fade.addColorStop(1, ink)
      context.strokeStyle = fade
      context.beginPath(); context.moveTo(...a); context.lineTo(...b); context.stroke()
      context.strokeStyle = ink
      context.beginPath()
      for (const [k, bend] of [2.76, 0, -2.76].entries()) context[k ? 'lineTo' : 'moveTo'](b[0] + (bend && head * Math.cos(turn + bend)), b[1] + (bend && head * Math.sin(turn + bend)))
      context.stroke()
    }
  }

  function move() {
    const from = now, to = places[model.get('node')], began = performance.now()
    const length = matchMedia('(prefers-reduced-motion: reduce)').matches ? 1 : 900
    cancelAnimationFrame(moving)
    const frame = () => {
      const t = Math.min(1, (performance.now() - began) / length), ease = t * t * (3 - 2 * t)
      now = from.map((v, i) => v + ease * (to[i] - v))
      moving = t < 1 ? requestAnimationFrame(frame) : 0
      paint()
    }
    moving = requestAnimationFrame(frame)
  }

  const routes = () => model.get('routes')
  const route = () => routes().find(([, numbers]) => numbers.includes(model.get('node')))?.[1] || []
  const go = node => {
    model.set('node', node)
    model.set('stage', model.get('nodes')[node].stage)
    model.save_changes()
  }
  const along = by => { const r = route(), at = r.indexOf(model.get('node')) + by; if (r[at] !== undefined) go(r[at]) }
  function followStage() {
    const stage = model.get('stage'), nodes = model.get('nodes')
    if (stage === null || nodes[model.get('node')].stage === stage) return
    const there = route().filter(k => nodes[k].stage === stage)
    if (there.length) go(there.at(-1))
  }

  function start() {
    play.textContent = '❚❚ pause'
    const r = route()
    if (model.get('node') === r.at(-1)) go(r[0])
    playing = setInterval(() => model.get('node') === route().at(-1) ? stop() : along(1), 1700)
  }
  function stop() { clearInterval(playing); playing = 0; play.textContent = '▶ play' }

  function drawBar() {
    steps.replaceChildren()
    const nodes = model.get('nodes')
    for (const [plan, numbers] of routes()) {
      const row = htmlElement(steps, 'div', 'lp-map-route')
      if (routes().length > 1) htmlElement(row, 'span', 'lp-soft', plan)
      for (const k of numbers) {
        const text = nodes[k].step ? `${nodes[k].name} ${nodes[k].step}` : nodes[k].name
        textButton(row, text, () => go(k), { pressed: k === model.get('node') })
      }
    }
    arrows.setAttribute('aria-pressed', String(model.get('arrows')))
    all.setAttribute('aria-pressed', String(model.get('whole')))
    all.hidden = !far.flat().length
    pick.value = model.get('color')
    pick.hidden = model.get('columns').length < 2
    const node = nodes[model.get('node')]
    said.textContent = node.said
    canvas.setAttribute('aria-label', `Map after ${node.name}. ${node.said}`)
    legend.replaceChildren()
    const keys = model.get('columns')[model.get('color')]?.legend || []
    keys.forEach(([text, color, count], code) => {
      const button = textButton(legend, `${text} (${count})`, () => { only = only === code ? null : code; drawBar(); paint() },
        { pressed: only === code, className: 'lp-map-key' })
      button.style.setProperty('--key', resolved(root, color))
    })
  }

  onKeys(canvas, { ArrowRight: () => along(1), ArrowLeft: () => along(-1), Home: () => go(route()[0]), End: () => go(route().at(-1)) })
  model.on('change:node', () => { drawBar(); move() })
  model.on('change:stage', followStage)
  model.on('change:color', () => { only = null; drawBar(); paint() })
  model.on('change:whole', () => { drawBar(); paint() })
  model.on('change:arrows', () => { drawBar(); paint() })
  drawBar()
  const clean = redrawOn(model, root, [], paint)
  return () => { clean(); stop(); cancelAnimationFrame(moving) }
}

export default { render }
