// The journal and the gateways that share it: shown only where there is one.
const FLEET = (self, now) => [
  ['Gateway', ({instance}) => [el('span', {class: 'id'}, plain(instance)), ...instance === self ? [small('this one')] : []]],
  ['Version', ({version, config}) => [plain(version), small('config ', el('span', {class: 'id'}, plain(config)))]],
  ['Up', ({started_at}) => [span((new Date(now) - new Date(started_at)) / 1000)]],
  ['Lease', ({lease_age_seconds, workers}) => ['for ' + span(lease_age_seconds), small(count(workers, 'worker'))]],
  ['Pending', ({pending}) => [plain(pending)]],
  ['Takeovers', ({takeovers}) => [plain(takeovers)]],
];

const showFleet = async ({journal}) => {
  $('shared').hidden = !journal;
  if (!journal) return;
  const {gateways = [], now, instance, seen_seconds: seen, dead_workers: dead} = await call('GET', 'fleet');
  const {state: how, segments, bytes, limit, oldest, last_error: error, last_error_at: at} = journal;
  facts($('journal'), [
    ['Journal', state(how)],
    ['Segments', plain(segments)],
    ['Size', `${size(bytes)} of ${size(limit)}`],
    ['Oldest event', oldest ? moment(oldest) : '–'],
    ['Dead workers', dead ? mark('warn', dead) : '0'],
    ['Last error', ...error ? [words(error), ', ', moment(at)] : ['–']],
  ]);
  table($('fleet'), seen == null ? 'Not asked yet who is alive.' : `Who was alive ${span(seen)} ago.`,
    FLEET(instance, now), gateways, gateway => gateway.instance);
};

// What is wrong with the journal, as with endpoints.
const journalTroubles = journal => [
  journal?.state === 'unavailable' && ['bad', 'the journal is unavailable: ' + words(journal.last_error ?? 'no lease')],
  journal?.state === 'full' && ['bad', 'the journal is full'],
].filter(Boolean);
