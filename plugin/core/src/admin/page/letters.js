// Dead letters, and the life of one event.
const LETTERS = [
  ['Event', ({event, id}) => [event ?? '–', small(el('span', {class: 'id'}, id ?? ''))]],
  ['Endpoint', ({endpoint}) => [endpoint ?? '–']],
  ['Died', ({died_at, accepted_at}) => [moment(died_at), small('accepted ', moment(accepted_at))]],
  ['Why', ({reason, attempts, response_status}) => [
    words(reason),
    small(count(attempts, 'attempt') + (response_status ? ', the last answered ' + response_status : '')),
  ]],
  ['Size', letter => [bytes(letter.bytes)]],
  ['', ({delivery}) => [button('Redeliver', delivery), button('Discard', delivery, {'data-discard': ''})]],
];

const showLetters = async () => {
  const of = $('of').value;
  const path = 'dead-letters' + (of ? '?endpoint=' + encodeURIComponent(of) : '');
  const {dead_letters = [], total = 0} = await call('GET', path);
  const more = total > dead_letters.length ? `, the first ${dead_letters.length} shown` : '';
  table($('letters'), count(total, 'dead letter') + more, LETTERS, dead_letters, letter => letter.delivery);
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
    effect: `The dead letter ${delivery} is thrown away, with its body. Nobody can bring it back.`,
  } : redeliver('The dead letter ' + delivery, path + '/redeliver', '')]);
};

const ATTEMPTS = [
  ['Endpoint', ({endpoint}) => [endpoint ?? '–']],
  ['Status', ({status}) => [state(status)]],
  ['Attempts', ({attempts}) => Array.isArray(attempts) ? attempts.map(({at, status, outcome, ms}, number) =>
    el('div', {}, `${number + 1}. `, moment(at), ` ${words(status ?? outcome)}, ${millis(ms)}`)) : [String(attempts ?? '–')]],
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
    facts(list, [['Id', found.id ?? id], ['Event', event ?? '–'], ['Route', route ?? '–'], ['Accepted', moment(accepted_at)]]);
    table(node, count(deliveries.length, 'delivery', 'deliveries'), ATTEMPTS, deliveries, delivery => delivery.endpoint);
    show(out, list, node);
  } catch (error) {
    show(out, error.message?.endsWith('(404)') ? 'This event is not known (any more).' : error.message);
  }
};
