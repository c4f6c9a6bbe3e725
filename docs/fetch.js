// fetch for pages whose data stands behind sms_otp. Where a request needs a code, a
// dialog asks for it, and the request is repeated. How to use it: fetch.md.

const english = {
  title: 'Confirm it is you',
  label: 'Code from your text message',
  to: 'The code goes to {phone}.',
  sending: 'It is on its way.',
  delivered: 'It has reached your phone.',
  failed: 'It could not be sent.',
  unknown: '',
  go: 'Continue',
  again: 'Send a code again',
  cancel: 'Cancel',
  left: 'Attempts left: {n}.',
  wait: 'Try again in {n} s.',
  fault: 'That did not work.',
};

const urn = 'urn:sms-otp:';
const read = (answer) => answer.json().catch(() => ({}));

let dialogs = 0;
let shared; // the dialog that all requests wait for which one verification opens

// withCode returns a function like the given fetch. Words replace the English texts
// above, and by its name (code-wrong, locked, …) what the server says of a problem.
export const withCode = (fetch = globalThis.fetch.bind(globalThis), words) => async (input, init) => {
  const request = new Request(input, init);
  const answer = await fetch(request.clone());
  // Another site that could open this dialog could have visitors' codes typed into it.
  if (answer.ok || !answer.url.startsWith(location.origin + '/')) return answer;
  const problem = await read(answer.clone());
  if (problem.type != urn + 'step-up-required') return answer;

  const asked = () => ask(fetch, request, answer.url, problem, { ...english, ...words });
  if (!problem.request) {
    await (shared ??= asked().finally(() => shared = null));
    return fetch(request);
  }
  const { confirm } = await asked();
  const again = new Request(request);
  again.headers.set('Sms-Otp-Confirm', confirm);
  return fetch(again);
};

const make = (name, properties, ...inside) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...inside);
  return element;
};

// ask resolves with what verify answered, and rejects when the visitor closes the dialog.
const ask = (fetch, request, url, problem, say) => new Promise((resolve, reject) => {
  // The first factor may be a header of the request, such as Authorization.
  const headers = new Headers(request.headers);
  headers.set('Accept', 'application/json');
  headers.set('Content-Type', 'application/json');
  const call = (action, init) => fetch(url + (url.includes('?') ? '&' : '?') + 'sms_otp=' + action,
    { ...init, headers, credentials: request.credentials });

  const id = 'sms-otp-' + ++dialogs;
  const news = make('p', { role: 'status' });
  const error = make('p', { role: 'alert', id: id + '-error' });
  const code = make('input', { inputMode: 'numeric', autocomplete: 'one-time-code', required: true });
  const go = make('button', {}, say.go);
  const again = make('button', { type: 'button', onclick: () => act('send') }, say.again);
  const cancel = make('button', { type: 'button', onclick: () => dialog.close() }, say.cancel);
  const submit = (event) => {
    event.preventDefault();
    act('verify', code.value);
  };
  const dialog = make('dialog', { className: 'sms-otp', autofocus: true }, make('h2', { id }, say.title), news, error,
    make('form', { onsubmit: submit }, make('label', {}, say.label, ' ', code), ' ', go, ' ', again, ' ', cancel));
  dialog.setAttribute('aria-labelledby', id);
  code.setAttribute('aria-describedby', error.id);

  let busy, live = false;
  const show = (challenge) => {
    live = challenge.state == 'pending';
    if (challenge.code_alphabet != 'digits') code.inputMode = 'text';
    const text = live ? say.to.replace('{phone}', challenge.phone_hint) + ' ' + (say[challenge.delivery] ?? say.sending) : '';
    // Written only when it differs: each writing is read out.
    if (news.textContent != text) news.textContent = text;
  };
  const ready = () => {
    code.disabled = go.disabled = !live;
    code.ariaInvalid = live && !!error.textContent;
    (live ? code : again).focus();
    code.select();
  };
  const end = (verified) => {
    resolve(verified);
    dialog.close();
  };
  const refuse = (body, wait) => {
    const name = body.type?.slice(urn.length);
    if (name == 'no-challenge') live = false;
    error.textContent = [
      say[name] ?? body.detail ?? say.fault,
      body.attempts_left > 0 ? say.left.replace('{n}', body.attempts_left) : '',
      wait > 0 ? say.wait.replace('{n}', wait) : '',
    ].join(' ').trim();
  };
  const act = async (action, typed) => {
    if (busy) return;
    busy = true;
    error.textContent = '';
    try {
      const answer = await call(action, { method: 'POST', body: JSON.stringify({ code: typed, request: problem.request }) });
      const body = await read(answer);
      if (body.verified) return end(body);
      if (body.challenge) show(body.challenge);
      if (!answer.ok) refuse(body, answer.headers.get('Retry-After'));
    } catch {
      refuse({});
    }
    busy = false;
    ready();
  };

  // How far a confirmation's message has got is told once, by send.
  const timer = problem.request ? 0 : setInterval(async () => {
    if (!live || busy || document.hidden) return;
    const challenge = await call('status').then(read).catch(() => ({}));
    if (busy || !challenge.state) return;
    if (challenge.state == 'verified') return end(); // in another tab
    show(challenge);
    if (!live) ready();
  }, 2000);

  dialog.onclose = () => {
    clearInterval(timer);
    dialog.remove();
    reject(new DOMException('no code was given', 'AbortError'));
  };
  // Nothing can be typed before it is known that there is a code to type.
  code.disabled = go.disabled = true;
  document.body.append(dialog);
  dialog.showModal();
  if (problem.challenge) show(problem.challenge);
  if (live) ready();
  else act('send');
});
