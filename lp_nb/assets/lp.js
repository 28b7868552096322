// What the scripts of all widgets begin with: elements, numbers, ticks, buttons, keys and help. No library, nothing loaded.

const NS = 'http://www.w3.org/2000/svg'

const svgElement = (parent, tag, attributes = {}, text) => {
  const element = document.createElementNS(NS, tag)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  if (text !== undefined) element.textContent = text
  parent.append(element)
  return element
}

const htmlElement = (parent, tag, className = '', text) => {
  const element = document.createElement(tag)
  if (className) element.className = className
  if (text !== undefined) element.textContent = text
  parent.append(element)
  return element
}

// The root of a widget: carries the colours, and keeps its keys from JupyterLab's shortcuts.
const rootElement = (el, className, label) => {
  const root = htmlElement(el, 'div', `lp ${className}`)
  root.dataset.lmSuppressShortcuts = 'true'
  root.setAttribute('role', 'group')
  root.setAttribute('aria-label', label)
  return root
}

const number = v => v === null || v === undefined || Number.isNaN(v) ? 'none'
  : Math.abs(v) >= 10000 || (v && Math.abs(v) < 0.001) ? v.toExponential(1).replace('.0e', 'e').replace('e+', 'e').replaceAll('-', '−') : String(+v.toPrecision(3)).replace('-', '−')

// The colours of the palette that are too dim on dark paper, as the theme has them.
const THEMED = { '#0072B2': 'var(--lp-blue)', '#D55E00': 'var(--lp-orange)', '#009E73': 'var(--lp-green)' }
const themed = color => THEMED[color] || color
const parts = color => color.startsWith('#') ? [1, 3, 5].map(i => parseInt(color.slice(i, i + 2), 16)) : color.match(/\d+/g).map(Number)
const brightness = color => parts(color).reduce((sum, v, i) => sum + [0.3, 0.59, 0.11][i] * v, 0)

// A colour as it is painted on the paper of an element: on dark paper the darkest are mixed with white, in their order.
function resolved(element, color) {
  const style = getComputedStyle(element), light = brightness(color)
  if (color in THEMED) return style.getPropertyValue(THEMED[color].slice(4, -1)).trim() || color
  if (light > 110 || brightness(style.color) < 128) return color
  const share = (77 - 0.7 * light) / (255 - light)
  return `rgb(${parts(color).map(v => Math.round(v + (255 - v) * share)).join(', ')})`
}

// Ticks at 1, 2, 5 times powers of ten: evenly spaced, or for a logarithmic axis all that fall inside. At least three, closer together where the range is short.
function niceTicks(low, high, log = false, about = 4) {
  const ticks = []
  const decades = Math.log10(high / low), every = Math.max(1, Math.round(decades / (about + 1)))
  const mantissas = [[1], [1, 2, 5], [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8]]
  for (let k = decades > 2.2 ? 0 : decades > 0.7 ? 1 : 2; log && k < 3; k++) {
    ticks.length = 0
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++)
      for (const m of mantissas[k]) if (e % every === 0 && m * 10 ** e >= low && m * 10 ** e <= high) ticks.push(+(m * 10 ** e).toPrecision(10))
    if (ticks.length > 2) return ticks
  }
  const raw = (high - low) / about
  if (!(raw > 0)) return [low]
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = power * (raw / power > 5 ? 10 : raw / power > 2 ? 5 : raw / power > 1 ? 2 : 1)
  ticks.length = 0
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-6; v += step) ticks.push(Math.abs(v) < step * 1e-6 ? 0 : +v.toPrecision(10))
  return ticks.length < 3 && about < 16 ? niceTicks(low, high, false, about * 2) : ticks
}

// A button; with `pressed` it is a toggle and says so.
function textButton(parent, text, act, { pressed, title, className = '' } = {}) {
  const button = htmlElement(parent, 'button', `lp-button ${className}`, text)
  button.type = 'button'
  if (title) button.title = title
  if (pressed !== undefined) button.setAttribute('aria-pressed', String(pressed))
  button.onclick = act
  return button
}

// Keys of an element: { ArrowLeft: () => ..., ... }; what is handled goes no further.
function onKeys(element, moves) {
  element.addEventListener('keydown', event => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? undefined : moves[event.key]
    if (!act) return
    event.preventDefault()
    event.stopPropagation()
    act(event)
  })
}

// A `?` button that opens and closes lines of [what to press or click, what it does].
function helpButton(bar, root, lines) {
  const panel = document.createElement('div')
  panel.className = 'lp-help'
  panel.hidden = true
  for (const [what, does] of lines) {
    htmlElement(panel, 'b', '', what)
    htmlElement(panel, 'span', '', does)
  }
  const button = textButton(bar, '?', () => {
    panel.hidden = !panel.hidden
    button.setAttribute('aria-expanded', String(!panel.hidden))
  }, { title: 'Help', className: 'lp-ask' })
  button.setAttribute('aria-label', 'Help')
  button.setAttribute('aria-expanded', 'false')
  root.append(panel)
  return panel
}

// Call `draw` whenever one of the traits changes or the root gets another width; returns the clean-up.
function redrawOn(model, root, traits, draw) {
  for (const trait of traits) model.on(`change:${trait}`, draw)
  let width = root.clientWidth
  const watch = new ResizeObserver(() => {
    if (Math.abs(root.clientWidth - width) > 2) { width = root.clientWidth; draw() }
  })
  watch.observe(root)
  draw()
  return () => {
    watch.disconnect()
    for (const trait of traits) model.off(`change:${trait}`, draw)
  }
}
