// Every change there is, in the words of its dialog.
const set = (state, verb, danger, effect) => ({
  verb, danger, effect, reason: true, method: 'PUT', path: 'state', done: 'The gateway is ' + state + '.',
  body: () => ({state, reason: $('reason').value}),
});

const gatewayActions = ({state, draining, pending}) => [
  (state !== 'enabled' || draining) && set('enabled', 'Enable', false,
    'New events are accepted and delivered, and what is pending goes on. Every worker does so within a second.'),
  state !== 'paused' && set('paused', 'Pause', false,
    'New events are accepted and held, and no attempt starts, until it is enabled again. Pending now: ' + pending + '.'),
  state !== 'disabled' && set('disabled', 'Disable', true,
    'New events are answered 202 and thrown away: nobody ever gets them. What is pending is held: ' + pending + '.'),
  !draining && {
    verb: 'Drain', danger: true, method: 'POST', path: 'drain', seconds: 90, done: 'Drained: nothing is pending.',
    effect: 'For a shutdown: new events are refused with 503, and what is pending is delivered: ' + pending
      + '. Enabling the gateway ends it.',
  },
  {
    verb: 'Delete overrides', method: 'DELETE', path: 'overrides', done: 'The config decides again.',
    effect: 'The config decides again: state, drain, disabled endpoints, percentages. What is rolled back stays so.',
  },
].filter(Boolean);

const rolloutActions = (who, query, some) => {
  const step = (word, verb, effect, danger) => ({
    verb, effect, danger, method: 'POST', path: 'rollout/' + word + query, done: who + ': ' + verb.toLowerCase() + ', done.',
  });
  return [
    some(rollout => /rolled_back|held/.test(rollout.state)) && step('resume', 'Resume the rollout',
      who + ': back in its phase, from the phase\'s beginning. Events that were held are delivered.'),
    some(rollout => rollout.phase < rollout.phases && rollout.state !== 'rolled_back') && step('promote',
      'Promote to the next phase', who + ': the next phase, with its larger share, begins now.'),
    some(rollout => rollout.phases && /running|waiting|scheduled/.test(rollout.state)) && step('hold',
      'Hold the phase', who + ': the phase does not end by itself, until someone resumes or promotes.'),
    {
      verb: 'Set the percentage', percent: true, method: 'PUT', path: 'rollout' + query, done: who + ': percentage set.',
      effect: who + ': this share of the events, chosen by hash, whatever the config says, until overrides are deleted.',
      body: () => ({percent: +$('percent').value}),
    },
    some(rollout => rollout.state !== 'rolled_back') && step('rollback', 'Roll back',
      who + ': no event is sent any more, until someone resumes the rollout.', true),
  ].filter(Boolean);
};

const redeliver = (title, path, much) => ({
  verb: 'Redeliver', method: 'POST', path: 'dead-letters/' + path,
  effect: title + ': sent again with the first id and a fresh signature, all retries begin anew. ' + much,
  done: answer => count(answer.redelivered, 'dead letter') + ' on the way again'
    + (answer.skipped ? ', ' + answer.skipped + ' skipped: the endpoint is gone from the config.' : '.'),
});

const endpointActions = ({name, disabled, breaker, rollout, dead_letters}) => {
  const path = 'endpoints/' + encodeURIComponent(name);
  const flip = (verb, disabled, effect) => ({
    verb, danger: disabled, effect, method: 'PATCH', path, body: () => ({disabled}), done: name + ': ' + verb.toLowerCase() + 'd.',
  });
  const force = (verb, state, effect) => ({
    verb, danger: state === 'open', effect, method: 'POST', path: path + '/breaker', body: () => ({state}),
    done: name + ': breaker ' + state + '.',
  });
  return [
    disabled ? flip('Enable', false, name + ': its deliveries go on.')
      : flip('Disable', true, name + ': nothing is sent. Its deliveries wait, up to max_age, then become dead letters.'),
    breaker?.state !== 'closed' && force('Close the breaker', 'closed', name + ': attempts leave again, at once.'),
    breaker?.state !== 'open' && force('Open the breaker', 'open',
      name + ': no attempt leaves for as long as the breaker opens by itself; then one probe decides.'),
    dead_letters && redeliver('All dead letters of ' + name, 'redeliver?endpoint=' + encodeURIComponent(name),
      'Now: ' + dead_letters + '.'),
    ...rolloutActions(name, '?endpoint=' + encodeURIComponent(name), test => test(rollout ?? {})),
  ].filter(Boolean);
};
