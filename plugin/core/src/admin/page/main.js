// Asks how the gateway stands, again and again, and shows it.
const EVERY = 2000;
let timer = 0;

const poll = async () => {
  clearTimeout(timer);
  if (!session || document.hidden) return;
  const turn = ++session.turn;
  const asked = session;
  try {
    const status = await call('GET', 'status');
    // A later poll, after a change, has overtaken this one.
    if (turn !== asked.turn) return;
    render(status);
    await showFleet(status);
    if (turn !== asked.turn) return;
    if (status.dead_letters !== session.letters || turn % 5 === 0) await showLetters();
    session.failures = 0;
    show($('link'), mark('ok', 'live'), ' ', moment(session.seen = new Date().toISOString()));
  } catch (error) {
    if (!session || turn !== session.turn) return;
    session.failures++;
    const why = error instanceof Refused ? error.message : 'the gateway does not answer';
    const since = session.seen ? ['stale since ', moment(session.seen), ': '] : [];
    show($('link'), mark('bad', ...since, why));
    document.body.classList.remove('out');
  }
  if (turn === session?.turn) timer = setTimeout(poll, Math.min(30000, EVERY * 2 ** Math.min(session.failures, 4)));
};

const render = status => {
  const {now, draining, reason, since, configured, endpoints = []} = status;
  const word = draining ? 'draining' : status.state;
  const isFirst = document.body.classList.contains('out');
  document.body.classList.remove('out');
  if (status.role === 'read') mayLook();
  show($('state'), state(word));
  show($('why'), ...configured ? [
    reason ? `“${reason}”, ` : '', 'by an operator, ', moment(since), `; the config says ${configured}`,
  ] : []);
  const actions = gatewayActions(status);
  const buttons = actions.map(({verb}) => el('button', {'data-verb': verb}, verb + '…'));
  show($('switches'), ...buttons);
  $('switches').onclick = event => {
    const action = actions.find(({verb}) => verb === event.target.dataset.verb);
    if (action) ask(action.verb + ' the gateway', [action]);
  };
  facts($('facts'), [
    ['Pending', plain(status.pending)],
    ['Oldest pending', status.pending ? span(status.oldest_pending_seconds) : '–'],
    ['Dead letters', plain(status.dead_letters)],
    ['Workers', plain(status.workers)],
    ['Started', moment(status.started_at)],
    ['Version', plain(status.version)],
    ['Instance', el('span', {class: 'id'}, plain(status.instance))],
  ]);
  table($('endpoints'), `Counted over the last ${span(endpoints[0]?.window?.seconds)}; charts from old to new.`,
    COLUMNS(now), endpoints, endpoint => endpoint.name);
  $('all').onclick = () => ask('The rollout of all endpoints', rolloutActions('All endpoints', '',
    test => endpoints.some(({rollout}) => test(rollout ?? {}))));
  const of = $('of');
  const before = of.value;
  show(of, ...['', ...endpoints.map(({name}) => name)].map(name => el('option', {value: name}, name || 'all')));
  of.value = before;
  tell(status, word, [...journalTroubles(status.journal), ...troubles(endpoints)]);
  if (isFirst) $('state').focus();
};

// Shows what needs attention, and says what has changed since the last time.
const tell = (status, word, now) => {
  show($('attention'), ...now.length ? now.map(([tone, words]) => el('li', {}, mark(tone, words)))
    : [el('li', {}, mark('ok', 'nothing'))]);
  document.title = (now.length ? `(${now.length}) ` : '') + `${word} – Gatepost`;
  const lines = now.map(([, words]) => words);
  const {told} = session;
  session.told = {lines, word, instance: status.instance};
  if (!told) return;
  const changes = [
    told.instance !== status.instance && 'Another process answers now: the gateway was restarted.',
    told.word !== word && `The gateway is ${word}.`,
    ...lines.filter(line => !told.lines.includes(line)).map(line => line + '.'),
    ...told.lines.filter(line => !lines.includes(line)).map(line => `Over: ${line}.`),
  ].filter(Boolean);
  if (changes.length) news(changes.join(' '));
};

$('login').onsubmit = signIn;
$('forget').onclick = () => signOut('');
$('answer').onsubmit = confirm;
$('cancel').onclick = () => $('dialog').close();
$('dialog').onclose = closed;
$('endpoints').onclick = event => {
  if (event.target.tagName !== 'BUTTON') return;
  const endpoint = itemOf(event);
  ask('Change ' + endpoint.name, endpointActions(endpoint));
};
$('letters').onclick = letterPressed;
$('of').onchange = () => showLetters().catch(poll);
$('redeliver').onclick = () => {
  const of = $('of').value;
  ask('Redeliver', [redeliver(`All dead letters of ${of || 'all endpoints'}, now ${session.letters}`,
    'redeliver' + (of && '?endpoint=' + encodeURIComponent(of)))]);
};
$('find').onsubmit = find;
document.onvisibilitychange = poll;
$('token').focus();
