// What is said to the gateway. The token is in this variable and nowhere else.
let session = null;

const base = location.pathname.replace(/\/$/, '');

class Refused extends Error {}

const call = async (method, path, command, seconds = 10) => {
  const asked = session;
  const response = await fetch(base + '/' + path, {
    method,
    headers: {authorization: 'Bearer ' + asked.token},
    body: command && JSON.stringify(command),
    cache: 'no-store',
    credentials: 'omit',
    signal: AbortSignal.timeout(seconds * 1000),
  });
  const answer = await response.json().catch(() => ({}));
  // Signed out meanwhile: nobody waits for this any more.
  if (asked !== session) return new Promise(() => {});
  if (response.ok) return answer;
  if (response.status === 401) signOut('The gateway knows no such token.');
  if (response.status === 403) mayLook();
  throw new Refused((answer.detail ?? answer.title ?? 'no reason given') + ' (' + response.status + ')');
};

const mayLook = () => {
  document.body.classList.add('looking');
  $('looks').hidden = false;
};

const signOut = why => {
  session = null;
  $('dialog').close();
  document.body.className = 'out';
  document.title = 'Gatepost';
  $('looks').hidden = true;
  $('shared').hidden = true;
  for (const id of ['facts', 'journal', 'attention', 'event', 'news', 'why', 'state', 'of', 'link']) $(id).replaceChildren();
  for (const id of ['fleet', 'endpoints', 'letters']) $(id).tBodies[0]?.remove();
  show($('refused'), why);
  $('token').focus();
};

const signIn = event => {
  event.preventDefault();
  const token = $('token').value.trim();
  $('token').value = '';
  if (!/^[!-~]+$/.test(token)) return signOut('A token has letters, digits and signs only.');
  session = {token, turn: 0, failures: 0};
  show($('refused'));
  poll();
};
