// Dead letters, and the life of one event.
const LETTERS = [
  ['Event', ({event, id}) => [plain(event), small(el('span', {class: 'id'}, plain(id)))]],
  ['Endpoint', ({endpoint}) => [plain(endpoint)]],
  ['Died', ({died_at, accepted_at}) => [moment(died_at), small('accepted ', moment(accepted_at))]],
  ['Why', ({reason, attempts, response_status}) => [
    words(reason),
    small(count(attempts, 'attempt') + (response_status ? ', the last answered ' + response_status : '')),
  ]],
  ['Bytes', ({bytes}) => [plain(bytes)]],
  ['', ({delivery}) => [button('Redeliver', delivery), button('Discard', delivery, {'data-discard': ''})]],
];

const showLetters = async () => {
  const of = $('of').value;
  const path = 'dead-letters' + (of ? '?endpoint=' + encodeURIComponent(of) : '');
  const {dead_letters = [], total = 0} = await call('GET', path);
  table($('letters'), `${dead_letters.length} of ${count(total, 'dead letter')}`,
    LETTERS, dead_letters, letter => letter.delivery);
  $('redeliver').hidden = !total;
  session.letters = total;
};

const letterPressed = event => {
  if (event.target.tagName !== 'BUTTON') return;
  const {delivery, event: type, endpoint} = itemOf(event);
  const title = `${type} for ${endpoint}`;
  const path = encodeURIComponent(delivery);
  ask(title, ['discard' in event.target.dataset ? {
    verb: 'Discard', danger: true, method: 'DELETE', path: 'dead-letters/' + path, done: title + ': discarded.',
    effect: `The dead letter ${delivery} is gone for good, with its body.`,
  } : redeliver('The dead letter ' + delivery, path + '/redeliver')]);
};

const ATTEMPTS = [
  ['Endpoint', ({endpoint}) => [plain(endpoint)]],
  ['Status', ({status, reason}) => [state(status), ...reason ? [small(words(reason))] : []]],
  ['Attempts', ({attempts}) => Array.isArray(attempts) ? attempts.map(({at, response_status, outcome, ms}, number) =>
    el('div', {}, `${number + 1}. `, moment(at), ` ${words(response_status ?? outcome)}, ${millis(ms)}`)) : [plain(attempts)]],
];

const find = async event => {
  event.preventDefault();
  const id = $('id').value.trim();
  const out = $('event');
  try {
    const found = await call('GET', 'events/' + encodeURIComponent(id));
    const {event, route, accepted_at, deliveries = []} = found;
    const list = el('dl');
    const node = el('table', {role: 'table'}, el('caption'));
    facts(list, [['Event', plain(event)], ['Route', plain(route)], ['Accepted', moment(accepted_at)]]);
    table(node, count(deliveries.length, 'delivery', 'deliveries'), ATTEMPTS, deliveries, delivery => deliveries.indexOf(delivery));
    show(out, list, node);
  } catch (error) {
    show(out, error.message?.endsWith('(404)') ? 'It is not known (any more).' : error.message);
  }
};
