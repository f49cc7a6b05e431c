// Records: scrolls through any number of them, a window at a time; keys move, open and go back.

const TALLEST = 1.2e7 // browsers draw nothing below 17 to 33 million pixels
const view = document.getElementById('view')
const form = document.querySelector('form[data-auto]')

if (form) {
  form.addEventListener('change', (e) => e.target.matches('select, [type=number]') && form.requestSubmit())
  form.addEventListener('formdata', (e) => {
    for (const [name, value] of [...e.formData]) if (!value) e.formData.delete(name)
  })
}

document.addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey) return
  const typing = e.target.closest('input, select, textarea, audio')
  if (e.key === '/' && form && !typing) {
    e.preventDefault()
    form.elements.q.focus()
  }
  if (e.key !== 'Escape' || e.defaultPrevented) return
  const up = document.querySelector('a[rel=up]')
  if (typing && view) view.focus()
  else if (up && !typing) history.length > 1 ? history.back() : up.click()
})

if (view) {
  const total = +view.dataset.total
  const space = view.firstElementChild
  const where = document.getElementById('where')
  const blocks = new Map() // number of a block -> its element
  const begun = +view.dataset.from
  const given = [...space.querySelectorAll(':scope > .block > *')] // what came with the page
  let across, rows, tall, high, top, shift, last, timer, at = begun

  // Of more rows than a page can be tall, only a part has places; `shift` is what lies above that part.
  const room = () => view.clientHeight
  const most = () => Math.max(0, high - room())
  const scrolls = () => Math.max(0, Math.min(high, TALLEST) - room())
  const put = (y) => {
    top = Math.max(0, Math.min(y, most()))
    view.scrollTop = high > TALLEST && most() ? (top / most()) * scrolls() : top
    last = view.scrollTop
    shift = top - last
    draw()
  }

  const begin = () => {
    const first = top === undefined ? begun : Math.floor(top / tall) * across
    const sample = document.createElement('div')
    sample.className = 'block'
    sample.append(given[0])
    space.replaceChildren(sample)
    blocks.clear()
    const style = getComputedStyle(sample)
    tall = given[0].offsetHeight + (parseFloat(style.rowGap) || 0)
    across = style.gridTemplateColumns.split(' ').length
    rows = Math.max(3, Math.ceil(room() / tall))
    high = Math.ceil(total / across) * tall
    space.style.height = Math.min(high, TALLEST) + 'px'
    sample.remove()
    put(Math.floor(first / across) * tall)
  }

  const draw = () => {
    const per = rows * across
    const from = Math.floor(top / (rows * tall))
    const to = Math.min(Math.floor((top + room()) / (rows * tall)), Math.ceil(total / per) - 1)
    for (const [k, block] of blocks) {
      if (k < from - 1 || k > to + 1) {
        block.remove()
        blocks.delete(k)
      }
    }
    for (let k = Math.max(0, from - 1); k <= to + 1 && k * per < total; k++) {
      if (!blocks.has(k)) fetched(k, per)
      blocks.get(k).style.transform = `translateY(${k * rows * tall - shift}px)`
    }
    const one = Math.floor(top / tall) * across
    where.textContent = `${(one + 1).toLocaleString('en')} to ${Math.min(total, one + Math.ceil(room() / tall) * across).toLocaleString('en')} of ${total.toLocaleString('en')}`
  }

  const fetched = async (k, per) => {
    const block = document.createElement('div')
    block.className = 'block'
    blocks.set(k, block)
    space.append(block)
    const own = given.slice(k * per - begun, (k + 1) * per - begun)
    if (k * per >= begun && own.length === Math.min(per, total - k * per)) return block.append(...own)
    block.classList.add('coming')
    await new Promise((go) => setTimeout(go, 40)) // what is only flown over is not asked for
    if (blocks.get(k) !== block) return
    try {
      const said = await fetch(`${view.dataset.window}&from=${k * per}&n=${per}`, { headers: { accept: 'text/html' } })
      if (!said.ok) throw new Error(said.statusText)
      const text = await said.text() // escaped by the server; a policy keeps scripts from running in any case
      if (blocks.get(k) !== block) return
      block.replaceChildren(document.createRange().createContextualFragment(text))
      block.classList.remove('coming')
      if (block.dataset.want) focus(+block.dataset.want)
    } catch (why) {
      block.textContent = `These records did not come (${why.message}). Load the page again.`
    }
  }

  const focus = (n) => {
    const link = space.querySelector(`[data-at="${n}"]`)
    if (link) return link.focus({ preventScroll: true })
    const block = blocks.get(Math.floor(n / (rows * across)))
    if (block) block.dataset.want = n
  }

  const settle = () => {
    put(top)
    const one = Math.floor(top / tall) * across
    const here = new URL(view.dataset.here, location)
    if (one) here.searchParams.set('from', one)
    history.replaceState(null, '', here)
  }

  view.addEventListener('scroll', () => {
    const now = view.scrollTop
    if (now === last) return
    const step = now - last
    last = now
    // a thumb that is dragged jumps in proportion; a wheel, finger or key moves by what it moves
    top = Math.abs(step) > 3 * room() && most() ? (now / (scrolls() || 1)) * most() : top + step
    top = Math.max(0, Math.min(top, most()))
    shift = top - now
    draw()
    clearTimeout(timer)
    timer = setTimeout(settle, 150)
  })

  view.addEventListener('focusin', (e) => {
    if (e.target.dataset.at) at = +e.target.dataset.at
  })

  view.addEventListener('keydown', (e) => {
    if (e.target.closest('audio') || e.ctrlKey || e.metaKey || e.altKey) return
    const screen = Math.max(1, Math.floor(room() / tall)) * across
    const far = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, PageDown: screen, PageUp: -screen, Home: -total, End: total }[e.key]
    if (!far) return
    e.preventDefault()
    const fresh = e.target === view && far > 0 && far < screen
    at = fresh ? Math.ceil(top / tall) * across : Math.max(0, Math.min(total - 1, at + far))
    const y = Math.floor(at / across) * tall
    if (y < top) put(y)
    else if (y + tall > top + room()) put(y + tall - room())
    focus(at)
    clearTimeout(timer)
    timer = setTimeout(settle, 150)
  })

  view.classList.add('live')
  begin()
  let width = view.clientWidth
  new ResizeObserver(() => {
    if (view.clientWidth === width) return
    width = view.clientWidth
    begin()
  }).observe(view)
}
