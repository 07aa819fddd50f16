// Elements. Whatever comes from the gateway becomes text, never markup.
const $ = id => document.getElementById(id);

const el = (tag, attributes, ...children) => {
  const isDrawing = /^(svg|path|title)$/.test(tag);
  const node = isDrawing ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const name in attributes) node.setAttribute(name, attributes[name]);
  node.append(...children);
  return node;
};

const small = (...children) => el('small', {}, ...children);
const mark = (tone, ...words) => el('span', {class: 'mark ' + tone}, ...words);

// Changes a node only where it shows something else now: what has the focus keeps it, and nothing is read out again.
const show = (node, ...children) => {
  const fresh = node.cloneNode();
  fresh.append(...children);
  if (!node.isEqualNode(fresh)) node.replaceChildren(...fresh.childNodes);
};

const facts = (list, pairs) =>
  show(list, ...pairs.map(([term, ...what]) => el('div', {}, el('dt', {}, term), el('dd', {}, ...what))));

// One row for each item, found again by its key. A column is its heading and what it shows of an item.
const table = (node, caption, columns, items, key) => {
  show(node.caption, caption);
  const head = columns.map(([heading]) => el('th', {scope: 'col', role: 'columnheader'}, heading));
  show(node.tHead ?? node.createTHead(), el('tr', {role: 'row'}, ...head));
  const body = node.tBodies[0] ?? node.createTBody();
  const before = new Map([...body.rows].map(row => [row.key, row]));
  items.forEach((item, at) => {
    const row = before.get(key(item)) ?? el('tr', {role: 'row'}, ...columns.map(([heading], at) =>
      el(at ? 'td' : 'th', at ? {role: 'cell', 'data-label': heading} : {role: 'rowheader', scope: 'row'}, el('div'))));
    before.delete(key(item));
    row.key = key(item);
    row.item = item;
    if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] ?? null);
    columns.forEach(([, cell], at) => show(row.cells[at].firstChild, ...cell(item)));
  });
  before.forEach(row => row.remove());
  node.tHead.hidden = !items.length;
};

// What a button in a table is about: the item of its row as it is now.
const itemOf = event => event.target.closest('tr').item;
const button = (label, about, attributes) =>
  el('button', {class: 'act', 'aria-label': label + ' ' + about, ...attributes}, label);
