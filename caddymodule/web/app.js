// Everything here only adds to a page that works without it.
'use strict';
(() => {
const byId = (id) => document.getElementById(id);
const form = byId('verify');
if (!form) return;
const page = form.dataset;
const line = byId('line'), again = byId('again'), wait = byId('wait'), valid = byId('valid'), over = byId('over');
const skew = Date.now() / 1000 - page.now;
const abort = new AbortController();
let expires = +page.expires, resend = +page.resend, ended = false, sent = false, timer;
const left = (at) => Math.ceil(at + skew - Date.now() / 1000);

// An answer to a POST would be asked for again, with a warning, by Reload and
// Back. The protected page itself shows the same challenge.
if (!('stay' in page)) history.replaceState(null, '', page.next);

const end = (state) => {
ended = true;
form.hidden = byId('delivery').hidden = valid.hidden = true;
over.textContent = over.dataset[state];
};

const tick = () => {
if (left(expires) <= 0 && !ended) end('expired');
const seconds = left(resend);
if (again) {
again.disabled = seconds > 0;
byId('count').textContent = seconds > 0 ? ' ' + (seconds / 60 | 0) + ':' + ('0' + seconds % 60).slice(-2) : '';
}
if (wait) wait.hidden = true;
};

const show = (c) => {
if (c.state == 'verified') {
ended = true;
if (!('stay' in page)) location.replace(page.next);
} else if (c.state != 'pending') {
end(c.state);
} else {
expires = c.expires_at;
resend = c.resend_at;
const text = (c.device > 1 ? line.dataset.moved + ' ' : '') + (line.dataset[c.delivery] || '');
if (line.textContent != text) line.textContent = text;
byId('delivery').dataset.delivery = c.delivery;
}
};

const poll = async () => {
clearTimeout(timer);
if (ended || sent || document.hidden) return;
try {
const r = await fetch(page.status, { method: page.method || 'GET', headers: { Accept: 'application/json' } });
const c = await r.json();
if (r.ok) show(c);
else if (/no-challenge$/.test(c.type)) end('expired');
} catch {
// The next round tries again.
}
clearTimeout(timer);
timer = setTimeout(poll, 2000);
};

addEventListener('submit', (e) => {
if (sent) e.preventDefault();
sent = true;
abort.abort();
});
addEventListener('pageshow', (e) => {
sent = false;
if (e.persisted) poll();
});
document.addEventListener('visibilitychange', poll);

valid.textContent = valid.dataset.text.replace('{time}', new Date((expires + skew) * 1000).toLocaleTimeString(document.documentElement.lang, { hour: 'numeric', minute: '2-digit' }));
tick();
setInterval(tick, 1000);
timer = setTimeout(poll, 2000);

if ('OTPCredential' in window) {
navigator.credentials.get({ otp: { transport: ['sms'] }, signal: abort.signal }).then((c) => {
byId('code').value = c.code;
if (!('ask' in page)) form.requestSubmit();
}).catch(() => {});
}
})();
