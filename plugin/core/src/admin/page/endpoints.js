// The endpoints: how each one stands, and what needs somebody's attention.
const TONES = {
  paused: 'warn', disabled: 'bad', draining: 'warn',
  half_open: 'warn', open: 'bad',
  none: 'off', held: 'warn', waiting: 'warn', overridden: 'warn', scheduled: 'off', rolled_back: 'bad',
  failed: 'bad', expired: 'bad', pending: 'off',
  unavailable: 'bad', full: 'bad',
};
const state = (label, more = '') => mark(TONES[label] ?? 'ok', words(label) + more);

// Bars, oldest first. A layer is the class of its bars and, for each, from where to where it goes, of 1.
const chart = (label, ...layers) => el('svg', {viewBox: '0 0 150 30', role: 'img'},
  el('title', {}, label),
  el('path', {d: 'M0 29.5h150'}),
  ...layers.map(([name, bars]) => el('path', {
    class: 'bars ' + name,
    d: bars.map(([from, to], at) =>
      to > from ? `M${at * 5 + 2} ${29 - from * 28}V${29 - Math.max(to, from + .07) * 28}` : '').join(''),
  })));

const successCell = ({window = {}, series = []}) => {
  const {delivered = 0, failed = 0} = window;
  const most = Math.max(1, ...series.map(cell => cell.delivered + cell.failed));
  const troubled = series.filter(cell => cell.failed).length;
  return [
    ...window.success_percent == null ? ['no traffic']
      : [window.success_percent + ' %', small(`${failed} of ${delivered + failed} failed`)],
    chart(`${delivered} delivered and ${failed} failed; failures in ${troubled} of ${series.length} steps of time`,
      ['ok', series.map(cell => [0, cell.delivered / most])],
      ['bad', series.map(cell => [cell.delivered / most, (cell.delivered + cell.failed) / most])]),
  ];
};

const latencyCell = ({window = {}, series = []}) => {
  const most = Math.max(1, ...series.map(cell => cell.p95_ms ?? 0));
  return [
    millis(window.p95_ms),
    ...window.p50_ms == null ? [] : [small('p50 ' + millis(window.p50_ms))],
    chart(`p95 ${millis(window.p95_ms)}, at most ${millis(most)} in one of ${series.length} steps of time`,
      ['', series.map(cell => [0, (cell.p95_ms ?? 0) / most])]),
  ];
};

const rolloutCell = now => ({rollout = {}}) => {
  const {percent, state: stage, phase, phases, phase_until, breached, reason, detail, since} = rollout;
  const left = (new Date(phase_until) - new Date(now)) / 1000;
  return [
    el('b', {}, plain(percent) + ' % '),
    state(stage, reason ? ': ' + words(reason) : ''),
    ...phases ? [small(`phase ${phase} of ${phases}`, ...left > 0 && !reason
      ? [' until ', moment(phase_until), `, ${span(left)} left`] : [])] : [],
    ...breached ? [small(mark('warn', words(breached) + ' is breached'))] : [],
    ...detail ? [small(detail, ', ', moment(since))] : [],
  ];
};

const BY = {operator: 'an operator', config: 'the config', gone: 'itself: it answered 410'};
const by = whom => BY[whom] ?? words(whom);

const COLUMNS = now => [
  ['Endpoint', ({name, disabled, disabled_by}) =>
    [name, ...disabled ? [small(mark('bad', 'disabled by ' + by(disabled_by)))] : []]],
  ['Rollout', rolloutCell(now)],
  ['Breaker', ({breaker = {}, breaker_opens_24h}) => [
    state(breaker.state),
    ...breaker.seconds_left == null ? [] : [small(span(breaker.seconds_left) + ' left')],
    ...breaker_opens_24h ? [small(`opened ${breaker_opens_24h} × in 24 h`)] : [],
  ]],
  ['Success', successCell],
  ['Latency, p95', latencyCell],
  ['Pending', ({pending, last_attempt_at: last}) =>
    [plain(pending), ...last ? [small('last ', moment(last))] : []]],
  ['Dead letters', ({dead_letters}) => [dead_letters ? mark('warn', dead_letters) : '0']],
  ['', ({name}) => [button('Change…', name)]],
];

// What is wrong, as [tone, words], the worst first; the words stay the same as long as the trouble does.
const troubles = endpoints => endpoints.flatMap((
  {name, disabled, disabled_by, breaker, rollout, window, dead_letters}) => [
  rollout?.state === 'rolled_back' && ['bad', `${name} is rolled back: ${words(rollout.reason)}`],
  breaker?.state === 'open' && ['bad', `${name}: the breaker is open`],
  breaker?.state === 'half_open' && ['warn', `${name}: the breaker is half open, a probe decides`],
  disabled && ['bad', `${name} is disabled by ${by(disabled_by)}`],
  rollout?.breached && ['warn', `${name} is not promoted: ${words(rollout.breached)} is breached`],
  rollout?.state === 'waiting' && ['warn', `${name} waits for somebody to promote it`],
  window?.unauthorized && ['warn', `${name} answers 401 or 403: it rejects our signatures or headers`],
  dead_letters && ['warn', `${name} has dead letters`],
].filter(Boolean)).sort();
