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

	// of more rows than a page can be tall only a part has places: `shift` lies above it
	const room = () => view.clientHeight
	const said = (n) => n.toLocaleString('en')
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
		const first = tall ? Math.floor(top / tall) * across : begun
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
		for (const [k, block] of blocks) if (k < from - 1 || k > to + 1) blocks.delete(k), block.remove()
		for (let k = Math.max(0, from - 1); k <= to + 1 && k * per < total; k++) {
			if (!blocks.has(k)) fetched(k, per)
			blocks.get(k).style.transform = `translateY(${k * rows * tall - shift}px)`
		}
		const one = Math.floor(top / tall) * across
		const end = Math.min(total, one + Math.ceil(room() / tall) * across)
		where.textContent = `${said(one + 1)} to ${said(end)} of ${said(total)}`
	}

	const fetched = async (k, per) => {
		const block = document.createElement('div')
		block.className = 'block'
		blocks.set(k, block)
		space.append(block)
		const own = given.slice(k * per - begun, (k + 1) * per - begun)
		if (k * per >= begun && own.length === Math.min(per, total - k * per)) return block.append(...own)
		await new Promise((go) => setTimeout(go, 40)) // what is only flown over is not asked for
		if (blocks.get(k) !== block) return
		try {
			const got = await fetch(`${view.dataset.window}&from=${k * per}&n=${per}`)
			if (!got.ok) throw new Error(got.statusText)
			const text = await got.text() // escaped by the server
			if (blocks.get(k) !== block) return
			block.replaceChildren(document.createRange().createContextualFragment(text))
			if (block.dataset.want) focus(+block.dataset.want)
		} catch (why) {
			block.textContent = `These did not come (${why.message}): load the page again.`
		}
	}

	const focus = (n) => {
		const link = space.querySelector(`[data-at="${n}"]`)
		if (link) return link.focus({ preventScroll: true })
		const block = blocks.get(Math.floor(n / (rows * across)))
		if (block) block.dataset.want = n
	}

	const settleSoon = () => {
		clearTimeout(timer)
		timer = setTimeout(() => {
			put(top)
			const one = Math.floor(top / tall) * across
			const here = new URL(view.dataset.here, location)
			if (one) here.searchParams.set('from', one)
			history.replaceState(null, '', here)
		}, 150)
	}

	view.addEventListener('scroll', () => {
		const now = view.scrollTop
		if (now === last) return
		const step = now - last
		last = now
		// a dragged thumb jumps in proportion, a wheel or finger moves by what it moves
		top = Math.abs(step) > 3 * room() && most() ? (now / (scrolls() || 1)) * most() : top + step
		top = Math.max(0, Math.min(top, most()))
		shift = top - now
		draw()
		settleSoon()
	})

	view.addEventListener('focusin', (e) => (at = +(e.target.dataset.at ?? at)))

	view.addEventListener('keydown', (e) => {
		if (e.target.closest('audio') || e.ctrlKey || e.metaKey || e.altKey) return
		const page = Math.max(1, Math.floor(room() / tall)) * across
		const far = { Right: 1, Left: -1, Down: across, Up: -across, PageDown: page, PageUp: -page, Home: -total, End: total }
		const by = far[e.key.replace('Arrow', '')]
		if (!by) return
		e.preventDefault()
		// the first key goes to the first record in sight
		const fresh = e.target === view && by > 0 && by < page
		at = fresh ? Math.ceil(top / tall) * across : Math.max(0, Math.min(total - 1, at + by))
		const y = Math.floor(at / across) * tall
		if (y < top) put(y)
		else if (y + tall > top + room()) put(y + tall - room())
		focus(at)
		settleSoon()
	})

	view.classList.add('live')
	begin()
	let width = view.clientWidth
	new ResizeObserver(() => width !== view.clientWidth && ((width = view.clientWidth), begin())).observe(view)
}
