'use strict';
// Only what changed is replaced, so that nothing flickers, scrolls or loses its focus.
const show = (old, now) => {
  if (old.isEqualNode(now)) return;
  if (old.tagName === 'OL') {
    const known = new Map([...old.children].map(li => [li.id, li]));
    [...now.children].forEach((li, i) => {
      let mine = known.get(li.id);
      known.delete(li.id);
      if (!mine) { mine = li.cloneNode(true); mine.className = 'new'; }
      else if (mine.dataset.state !== li.dataset.state) { const next = li.cloneNode(true); mine.replaceWith(next); mine = next; }
      if (old.children[i] !== mine) old.insertBefore(mine, old.children[i] || null);
    });
    known.forEach(li => li.remove());
    return;
  }
  if (old.children.length !== now.children.length || !now.children.length) { old.replaceWith(now.cloneNode(true)); return; }
  for (const a of now.attributes) old.setAttribute(a.name, a.value);
  [...old.children].forEach((child, i) => show(child, now.children[i]));
};
const copyable = () => {
  if (navigator.clipboard) document.querySelectorAll('[data-copy][hidden]').forEach(b => { b.hidden = false; });
};
const refresh = async () => {
  try {
    const answer = await fetch('/?part', { cache: 'no-store' });
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    page.querySelectorAll('[data-copy]').forEach(b => { b.hidden = !navigator.clipboard; });
    for (const id of ['phones', 'faults']) {
      const now = page.getElementById(id), old = document.getElementById(id);
      if (id === 'faults') { if (old.innerHTML !== now.innerHTML && !old.contains(document.activeElement)) old.innerHTML = now.innerHTML; continue; }
      [...old.children].forEach((phone, i) => now.children[i] && show(phone, now.children[i]));
    }
  } catch { /* the next one may get through */ }
  setTimeout(refresh, document.hidden ? 5000 : 1000);
};
document.addEventListener('click', async e => {
  const code = e.target.dataset && e.target.dataset.copy;
  if (!code) return;
  try { await navigator.clipboard.writeText(code); } catch { return; }
  const label = e.target.textContent;
  e.target.textContent = 'Copied';
  setTimeout(() => { e.target.textContent = label; }, 1200);
});
copyable();
setTimeout(refresh, 1000);
