// What can be measured of how a page looks and of who can use it. Each function gives faults, as sentences.
({
  access() {
    const faults = [];
    const shown = (e) => e.checkVisibility({visibilityProperty: true});
    const say = (e, what) => faults.push(`${what}: ${e.outerHTML.slice(0, 120)}`);
    const ids = new Map();
    for (const e of document.querySelectorAll('[id]')) {
      if (ids.has(e.id)) say(e, 'two elements have this id');
      ids.set(e.id, e);
    }
    const named = (e) => (e.getAttribute('aria-label') || e.innerText.trim() || e.title
      || (e.labels && [...e.labels].map((l) => l.textContent).join('').trim())
      || (e.getAttribute('aria-labelledby') || '').split(' ').map((i) => ids.get(i)?.textContent || '').join('').trim());
    const worthAName = 'button, a[href], input, textarea, section, [role=treeitem], [role=tab], [role=tabpanel]';
    for (const e of document.querySelectorAll(worthAName)) {
      if (shown(e) && !named(e)) say(e, 'has no name');
    }
    for (const e of document.querySelectorAll('img')) if (!e.hasAttribute('alt')) say(e, 'has no alternative text');
    for (const e of document.querySelectorAll('[aria-controls], [aria-labelledby], [aria-describedby]')) {
      for (const a of ['aria-controls', 'aria-labelledby', 'aria-describedby']) {
        const names = (e.getAttribute(a) || '').split(' ').filter(Boolean);
        if (!names.every((i) => ids.has(i))) say(e, `${a} names nothing`);
      }
    }
    for (const e of document.querySelectorAll('[tabindex]')) if (e.tabIndex > 0) say(e, 'changes the order of keys');
    const nested = 'button button, a button, button a, label button';
    for (const e of document.querySelectorAll(nested)) say(e, 'a control in a control');
    const hit = 'button, a[href], input:not([type=checkbox], [type=radio]), textarea';
    for (const e of document.querySelectorAll(hit)) {
      const box = e.getBoundingClientRect();
      if (!shown(e) || e.closest('.unseen, .skip')) continue;
      if (box.width && Math.min(box.width, box.height) < 20) say(e, 'is too small to hit');
    }
    if (!document.documentElement.lang) faults.push('the page has no language');
    if (!document.title) faults.push('the page has no title');
    if (document.querySelectorAll('main').length !== 1) faults.push('not one main part');
    if ([...document.querySelectorAll('h1')].filter(shown).length > 1) faults.push('more than one first heading');
    for (const tree of document.querySelectorAll('[role=tree]')) {
      const stops = tree.querySelectorAll('[tabindex="0"]').length;
      if (shown(tree) && tree.children.length && stops !== 1) say(tree, 'not one stop of the keyboard');
    }
    return faults;
  },

  overflow() {
    const wide = document.documentElement.clientWidth;
    const faults = [];
    const page = document.documentElement.scrollWidth;
    if (page > wide) faults.push(`the page is ${page} wide`);
    for (const e of document.querySelectorAll('main *, header *, #banner *')) {
      if (!e.checkVisibility() || e.closest('.unseen, .table, pre, .marks')) continue;
      const box = e.getBoundingClientRect();
      if (box.width > 1 && box.right > wide + 1) faults.push(`${Math.round(box.right)}: ${e.outerHTML.slice(0, 100)}`);
    }
    return faults;
  },

  contrast() {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const rgba = (color) => {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => (v * a + under[i] * (255 - a)) / 255);
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
    const ground = (e) => {
      const layers = [];
      for (let at = e; at; at = at.parentElement) layers.unshift(rgba(getComputedStyle(at).backgroundColor));
      return layers.reduce((under, layer) => over(layer, under), [255, 255, 255]);
    };
    const faults = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const e = walker.currentNode.parentElement;
      const text = walker.currentNode.data.trim().slice(0, 40);
      if (!text || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
      if (e.closest('.unseen, .skip, .marks, noscript, :disabled, [aria-hidden=true], .toasts')) continue;
      const style = getComputedStyle(e);
      const under = ground(e);
      const pair = [light(over(rgba(style.color), under)), light(under)].sort((a, b) => b - a);
      const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
      const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
      if (ratio < (large ? 3 : 4.5)) faults.push(`${ratio.toFixed(2)}: ${e.className} “${text}”`);
    }
    return faults;
  },
})
