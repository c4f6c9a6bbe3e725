// fetch for pages whose data stands behind sms_otp: where a request needs a code, a dialog
// asks for it, and the request is repeated. How to use it: fetch.md.

// The field, the buttons, and what is said where no answer comes. The rest is the server's to say.
const english = ['Code from your text message', 'Continue', 'Send again', 'Cancel', 'No answer.'];

// Open dialogs, by the request that they confirm. Requests that confirm nothing share one,
// since one verification opens the way for all of them.
const asking = {};

// withCode returns a function like the given fetch.
export const withCode = (fetch = self.fetch, words = english) => async (input, init) => {
  const request = new Request(input, init);
  const answer = await fetch(request.clone());
  // "basic" is an answer of this very origin: another site that could open the dialog could
  // have visitors' codes typed into it.
  const problem = !answer.ok && answer.type == 'basic' && await answer.clone().json().catch(() => {});
  if (problem?.type != 'urn:sms-otp:step-up-required') return answer;

  const call = async (action, code) => (await fetch(answer.url.replace(/\?|$/, `?sms_otp=${action}&`), {
    method: 'POST',
    // The first factor may be a header of the request, such as Authorization.
    headers: { ...Object.fromEntries(request.headers), 'content-type': 'application/json' },
    body: JSON.stringify({ code, request: problem.request }),
  })).json();

  const passed = await (asking[problem.request] ??= ask(problem, call, words));
  delete asking[problem.request];
  if (!passed) throw AbortSignal.abort().reason;
  if (problem.request) request.headers.set('sms-otp-confirm', passed);
  return fetch(request);
};

const make = (name, properties, ...inside) => {
  const element = document.createElement(name);
  element.append(...inside);
  return Object.assign(element, properties);
};

// ask resolves when the dialog is closed: with what confirms the request, with "true" where
// a verification is all that was asked for, or with '' where the visitor has given up.
const ask = async (problem, call, [label, verify, send, cancel, failed]) => {
  const news = make('p', { role: 'status' });
  const error = make('p', { role: 'alert' });
  // Nothing can be typed before it is known that there is a code to type.
  const code = make('input', { autocomplete: 'one-time-code', disabled: true });
  const again = make('button', { name: 'send' }, send);
  const dialog = make('dialog', { ariaLabel: problem.title }, make('h2', {}, problem.title), news, error,
    make('form', {}, make('label', {}, label, ' ', code), ' ',
      make('button', { name: 'verify' }, verify), ' ', again, ' ', make('button', {}, cancel)));

  let pressed = problem.challenge?.state == 'pending' ? 'status' : 'send';
  dialog.onsubmit = (event) => {
    event.preventDefault();
    error.textContent = '';
    pressed = event.submitter.name;
    if (!pressed) dialog.close();
    dialog.onclose?.(); // ends the wait below
  };
  document.documentElement.append(dialog); // a request may be made before there is a body
  dialog.showModal();

  // One call at a time: no answer is out of date when it is shown, and what is pressed while
  // the status is on its way comes next.
  while (dialog.open) {
    const action = pressed;
    pressed = '';
    const body = await call(action || 'status', action && code.value).catch(() => ({ detail: failed }));
    const challenge = body.challenge ?? body;
    // What another dialog has confirmed is its own; a verification is everybody's.
    if (body.confirm || body.verified && !problem.request) dialog.close(body.confirm || true);
    if (challenge.state) {
      // Written only when it differs: each writing is read out.
      if (news.textContent != challenge.text) news.textContent = challenge.text;
      code.inputMode = challenge.input_mode;
      code.disabled = challenge.state != 'pending';
      if (code.disabled) again.focus();
    }
    if (action) {
      code.ariaDescription = error.textContent = body.detail;
      code.ariaInvalid = !!body.detail;
      code.focus();
      code.select();
      pressed = ''; // a double click must not cost a second attempt
    }
    if (dialog.open && !pressed) await new Promise((resolve) => {
      dialog.onclose = resolve;
      if (!code.disabled) setTimeout(resolve, 2000);
    });
  }
  dialog.remove();
  return dialog.returnValue;
};
