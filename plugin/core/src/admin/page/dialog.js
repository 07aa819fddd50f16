// A change is asked for here, said in full, and confirmed.
//
// An action: {verb, effect, danger?, reason?, percent?, method, path, body?, done, seconds?}.
let chosen = null;

const choose = action => {
  chosen = action;
  show($('effect'), action?.effect ?? 'Choose what to do.');
  $('because').hidden = !action?.reason;
  $('share').hidden = !action?.percent;
  $('percent').disabled = !action?.percent;
  $('confirm').textContent = action?.verb ?? 'Confirm';
  $('confirm').disabled = !action;
  $('confirm').classList.toggle('bad', !!action?.danger);
};

const ask = (title, actions) => {
  show($('asked'), title);
  show($('problem'));
  $('answer').reset();
  const choices = actions.map(action => {
    const radio = el('input', {type: 'radio', name: 'choice'});
    radio.onchange = () => choose(action);
    return el('label', {}, radio, action.verb);
  });
  $('choices').replaceChildren($('choices').firstElementChild, ...choices);
  $('choices').hidden = actions.length === 1;
  choose(actions.length === 1 ? actions[0] : null);
  $('dialog').showModal();
};

const confirm = async event => {
  event.preventDefault();
  const {method, path, body, done, seconds} = chosen;
  $('confirm').disabled = true;
  show($('problem'));
  try {
    const asked = call(method, path, body?.(), seconds);
    // What takes long is answered below, not waited for here.
    if (seconds) $('dialog').close();
    const answer = await asked;
    news(typeof done === 'string' ? done : done(answer));
    $('dialog').close();
  } catch (error) {
    const why = error instanceof Refused ? error.message : 'No answer. It may have been done all the same.';
    show($('problem'), why);
    if (seconds) news(why);
  }
  if (chosen) $('confirm').disabled = false;
  if (session) poll();
};

// The browser gives the focus back to what opened the dialog, unless that is gone.
const closed = () => {
  if (document.activeElement === document.body && session) $('of-letters').focus();
};

const news = text => show($('news'), new Date().toLocaleTimeString('en-GB') + ' ' + text);
