// Records: scrolls through any number of them, a window at a time; keys move, open and go back.

const TALLEST = 1.2e7 // browsers draw nothing below 17 to 33 million pixels
const find = (what) => document.querySelector(what)
const on = (place, name, does) => place.addEventListener(name, does)
const bare = (e) => !(e.ctrlKey || e.metaKey || e.altKey)
const view = find('#view')
const form = find('form[data-auto]')

if (form) {
	on(form, 'change', (e) => e.target.matches('select, [type=number]') && form.requestSubmit())
	on(form, 'formdata', ({ formData }) => {
		for (const [name, value] of [...formData]) if (!value) formData.delete(name)
	})
}

on(document, 'keydown', (e) => {
	const typing = e.target.closest('input, select, textarea, audio')
	const up = find('a[rel=up]')
	if (e.key === '/' && form?.elements.q && !typing && bare(e)) {
		e.preventDefault()
		form.elements.q.focus()
	} else if (e.key === 'Escape') {
		if (typing) view?.focus()
		else if (up) history.length > 1 ? history.back() : up.click()
	}
})

if (view) {
	const { total, from, window: source, here } = view.dataset
	const space = view.firstElementChild
	const given = [...space.firstElementChild.children] // what came with the page
	const blocks = new Map()
	let across, rows, tall, high, top, shift, last, timer, at = +from

	// of more rows than a page can be tall only a part has places: `shift` lies above it
	const room = () => view.clientHeight
	const most = () => Math.max(0, high - room())
	const factor = () => (Math.min(high, TALLEST) - room()) / (most() || 1)
	const first = () => Math.floor(top / tall) * across
	const within = (y, end) => Math.max(0, Math.min(y, end))
	const put = (y) => {
		top = within(y, most())
		view.scrollTop = high > TALLEST ? top * factor() : top
		last = view.scrollTop
		shift = top - last
		draw()
	}

	const begin = () => {
		const n = tall ? first() : at
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
		put(Math.floor(n / across) * tall)
	}

	const draw = () => {
		const size = rows * tall, per = rows * across
		const low = Math.max(0, Math.floor(top / size) - 1), up = Math.floor((top + room()) / size) + 1
		for (const [k, block] of blocks) if (k < low || k > up) blocks.delete(k), block.remove()
		for (let k = low; k <= up && k * per < total; k++) {
			if (!blocks.has(k)) fill(k, per)
			blocks.get(k).style.transform = `translateY(${k * size - shift}px)`
		}
		const end = Math.min(total, first() + Math.ceil(room() / tall) * across)
		find('#where').textContent = [first() + 1, ' to ', end, ' of ', +total].map((n) => n.toLocaleString('en')).join('')
	}

	const fill = async (k, per) => {
		const block = document.createElement('div')
		block.className = 'block'
		blocks.set(k, block)
		space.append(block)
		const start = k * per, own = given.slice(start - from, start + per - from)
		if (start >= from && own.length === Math.min(per, total - start)) return block.append(...own)
		await new Promise((go) => setTimeout(go, 40)) // what is only flown over is not asked for
		if (blocks.get(k) !== block) return
		try {
			const got = await fetch(`${source}&from=${start}&n=${per}`)
			if (!got.ok) throw Error(got.statusText)
			const text = await got.text() // escaped by the server
			block.replaceChildren(document.createRange().createContextualFragment(text))
			if (block.dataset.want) focus(block.dataset.want)
		} catch (why) {
			block.textContent = `Not loaded (${why.message}): reload the page.`
		}
	}

	const focus = (n) => {
		const link = find(`[data-at="${n}"]`), block = blocks.get(Math.floor(n / (rows * across)))
		if (link) link.focus({ preventScroll: true })
		else if (block) block.dataset.want = n
	}

	const settle = () => {
		clearTimeout(timer)
		timer = setTimeout(() => {
			put(top)
			const url = new URL(here, location)
			if (first()) url.searchParams.set('from', first())
			history.replaceState(null, '', url)
		}, 150)
	}

	on(view, 'scroll', () => {
		const now = view.scrollTop, step = now - last
		if (!step) return
		last = now
		// a dragged thumb jumps in proportion
		top = within(Math.abs(step) > 3 * room() ? now / (factor() || 1) : top + step, most())
		shift = top - now
		draw()
		settle()
	})
	on(view, 'focusin', (e) => (at = +(e.target.dataset.at ?? at)))
	on(view, 'keydown', (e) => {
		const page = Math.max(1, Math.floor(room() / tall)) * across
		const far = { Right: 1, Left: -1, Down: across, Up: -across, PageDown: page, PageUp: -page, Home: -total, End: +total }
		const by = far[e.key.replace('Arrow', '')]
		if (!by || !bare(e) || e.target.closest('audio')) return
		e.preventDefault()
		const enters = e.target === view && by > 0 && by < page
		at = enters ? Math.ceil(top / tall) * across : within(at + by, total - 1)
		const y = Math.floor(at / across) * tall
		if (y < top) put(y)
		else if (y + tall > top + room()) put(y + tall - room())
		focus(at)
		settle()
	})

	view.classList.add('live')
	begin()
	let width = view.clientWidth
	new ResizeObserver(() => width !== view.clientWidth && ((width = view.clientWidth), begin())).observe(view)
}
