// Every change there is, in the words of its dialog.
const set = (state, verb, danger, effect) => ({
  verb, danger, effect, reason: true, method: 'PUT', path: 'state', done: `The gateway is ${state}.`,
  body: () => ({state, reason: $('reason').value}),
});

const gatewayActions = ({state, draining, pending}) => [
  (state !== 'enabled' || draining) && set('enabled', 'Enable', false,
    `New events are accepted and delivered, and what is pending goes on: ${pending}.`),
  state !== 'paused' && set('paused', 'Pause', false,
    `New events are accepted and held. No attempt starts until it is enabled again. Pending now: ${pending}.`),
  state !== 'disabled' && set('disabled', 'Disable', true,
    `New events are answered 202 and discarded: nobody ever gets them. What is pending is held: ${pending}.`),
  !draining && {
    verb: 'Drain', danger: true, method: 'POST', path: 'drain', seconds: 90, done: 'Drained: nothing is pending.',
    effect: `For a shutdown: new events are refused with 503, what is pending is delivered: ${pending}. Enable ends it.`,
  },
  {
    verb: 'Delete overrides', method: 'DELETE', path: 'overrides', done: 'The config decides again.',
    effect: 'The config decides again: state, drain, disabled endpoints, percentages. What is rolled back stays so.',
  },
].filter(Boolean);

// `some` says whether a test holds for the rollout, or for any of them.
const rolloutActions = (who, query, some) => {
  const step = (word, verb, effect, danger) => ({
    verb, danger, effect: `${who}: ${effect}`, method: 'POST', path: 'rollout/' + word + query,
    done: `${who}: ${word}, done.`,
  });
  return [
    some(({state}) => /rolled_back|held/.test(state))
      && step('resume', 'Resume the rollout', 'its phase begins again. Events that were held are delivered.'),
    some(({phase, phases, state}) => phase < phases && state !== 'rolled_back')
      && step('promote', 'Promote to the next phase', 'the next phase begins now.'),
    some(({phases, state}) => phases && /running|waiting|scheduled/.test(state))
      && step('hold', 'Hold the phase', 'the phase does not end until someone resumes or promotes.'),
    {
      verb: 'Set the percentage', percent: true, method: 'PUT', path: 'rollout' + query,
      done: `${who}: percentage set.`,
      effect: `${who}: this share of the events, by hash, whatever the config says, until overrides are deleted.`,
      body: () => ({percent: +$('percent').value}),
    },
    some(({state}) => state !== 'rolled_back')
      && step('rollback', 'Roll back', 'nothing is sent any more until someone resumes the rollout.', true),
  ].filter(Boolean);
};

const redeliver = (what, path) => ({
  verb: 'Redeliver', method: 'POST', path: 'dead-letters/' + path,
  effect: what + ': sent again, with the first id and a fresh signature. The retries begin anew.',
  done: ({redelivered, skipped}) => count(redelivered, 'dead letter') + ' on the way again'
    + (skipped ? `, ${skipped} skipped: the config has no such endpoint.` : '.'),
});

const endpointActions = ({name, disabled, breaker, rollout, dead_letters}) => {
  const path = 'endpoints/' + encodeURIComponent(name);
  const query = '?endpoint=' + encodeURIComponent(name);
  const flip = (verb, disabled, effect) => ({
    verb, danger: disabled, effect: `${name}: ${effect}`, method: 'PATCH', path, body: () => ({disabled}),
    done: `${name}: ${verb}, done.`,
  });
  const force = (verb, state, effect) => ({
    verb, danger: state === 'open', effect: `${name}: ${effect}`, method: 'POST', path: path + '/breaker',
    body: () => ({state}), done: `${name}: ${verb}, done.`,
  });
  return [
    disabled ? flip('Enable', false, 'its deliveries go on.')
      : flip('Disable', true, 'nothing is sent. Its deliveries wait, up to max_age, then become dead letters.'),
    !['closed', 'none'].includes(breaker?.state) && force('Close the breaker', 'closed', 'attempts leave again, at once.'),
    !['open', 'none'].includes(breaker?.state) && force('Open the breaker', 'open',
      'no attempt leaves until its time is over. Then a probe decides.'),
    dead_letters && redeliver(`All dead letters of ${name}, now ${dead_letters}`, 'redeliver' + query),
    ...rolloutActions(name, query, test => test(rollout ?? {})),
  ].filter(Boolean);
};
