// Everything here adds to a page that is complete without it.
'use strict';
(() => {
  const byId = (id) => document.getElementById(id);
  const form = byId('verify');
  if (!form) return;
  const page = form.dataset, stay = 'stay' in page;
  const delivery = byId('delivery'), line = byId('line'), valid = byId('valid'), over = byId('over');
  const resend = byId('resend'), again = byId('again'), heading = document.querySelector('h1');
  const abort = new AbortController();
  // The visitor's clock may be wrong; only its difference to the server's counts.
  const skew = Date.now() / 1000 - page.now;
  const left = (at) => Math.ceil(at - Date.now() / 1000 + skew);
  let expiresAt = +page.expires, resendAt = +page.resend, ended = false, sent = false, timer;

  // Reload and Back would ask whether to post this form once more. The
  // protected page shows the same challenge, unless it is this page that
  // carries what was submitted.
  if (!stay) history.replaceState(null, '', page.next);

  // What the server would show now: what no longer holds gives way to another heading and one thing to do.
  const end = (state) => {
    const [title, text] = over.dataset[state].split('|');
    ended = true;
    for (const e of [byId('problem'), byId('intro')?.firstElementChild, form, delivery, valid.parentNode]) if (e) e.hidden = true;
    document.title = document.title.replace(heading.textContent, title);
    heading.textContent = title;
    over.textContent = text;
    if (resend) {
      resend.hidden = false;
      again.className = 'primary';
      byId('label').textContent = again.dataset.new;
    }
  };

  const tick = () => {
    if (!ended && left(expiresAt) <= 0) end('expired');
    if (!resend) return;
    const wait = left(resendAt);
    again.disabled = wait > 0;
    byId('count').textContent = wait > 0 ? (wait / 60 | 0) + ':' + ('0' + wait % 60).slice(-2) : '';
  };

  const show = (challenge) => {
    if (challenge.state == 'verified') {
      ended = true;
      if (!stay) location.replace(page.next);
      // What was submitted goes on; only a transaction wants the code on its own page.
      else if (!page.method) form.requestSubmit();
    } else if (challenge.state != 'pending') {
      end(challenge.state);
    } else {
      expiresAt = challenge.expires_at;
      resendAt = challenge.resend_at;
      delivery.dataset.delivery = challenge.delivery;
      const text = document.querySelector('[data-of=' + challenge.delivery + ']').textContent;
      byId('moved').hidden = challenge.device < 2 || challenge.delivery == 'failed';
      // Written only when it differs: each writing is read out.
      if (line.textContent != text) line.textContent = text;
    }
  };

  const poll = async () => {
    clearTimeout(timer);
    if (ended || sent || document.hidden) return;
    try {
      // With the origin in front: the page's own address may hold a password, and none is fetched from such.
      const answer = await fetch(location.origin + page.status, { method: page.method || 'GET', headers: { Accept: 'application/json' } });
      const body = await answer.json();
      if (answer.ok) show(body);
      else if (body.type == 'urn:sms-otp:no-challenge') end('expired');
    } catch {
      // Offline for a moment: the next round asks again.
    }
    clearTimeout(timer);
    timer = setTimeout(poll, 2000);
  };

  addEventListener('submit', (event) => {
    if (sent) event.preventDefault();
    sent = true;
    abort.abort();
  });
  addEventListener('pageshow', (event) => {
    sent = false;
    if (event.persisted) poll();
  });
  document.addEventListener('visibilitychange', poll);

  valid.textContent = valid.dataset.text.replace('{time}', new Date((expiresAt + skew) * 1000)
    .toLocaleTimeString(document.documentElement.lang, { hour: 'numeric', minute: '2-digit' }));
  heading.ariaLive = 'polite';
  const wait = byId('wait');
  if (wait) wait.hidden = true;
  // Without the cookie the right code would be refused, and the next poll would call this one expired.
  if (!navigator.cookieEnabled) end('cookies');
  tick();
  setInterval(tick, 1000);
  timer = setTimeout(poll, 2000);

  if ('OTPCredential' in window) {
    navigator.credentials.get({ otp: { transport: ['sms'] }, signal: abort.signal }).then((otp) => {
      byId('code').value = otp.code;
      // Not where there is something to read or to choose first.
      if (!('ask' in page)) form.requestSubmit();
    }).catch(() => {});
  }
})();
