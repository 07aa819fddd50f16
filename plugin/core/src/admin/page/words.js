// Numbers, times and names in words.
const count = (number, one, many = one + 's') => (number ?? 0).toLocaleString('en') + ' ' + (number === 1 ? one : many);

const span = seconds => {
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const at = Math.max(0, units.findIndex(([size]) => seconds >= size));
  const [size, unit] = seconds < 1 ? units[3] : units[at];
  const rest = units[at + 1] && seconds >= 1 ? Math.floor(seconds % size / units[at + 1][0]) : 0;
  return Math.floor(seconds / size) + ' ' + unit + (rest ? ' ' + rest + ' ' + units[at + 1][1] : '');
};

const moment = iso => {
  const date = new Date(iso);
  if (!iso || isNaN(date)) return iso ?? '–';
  const isToday = date.toDateString() === new Date().toDateString();
  const day = isToday ? '' : date.toLocaleDateString('en-GB', {day: 'numeric', month: 'short'}) + ' ';
  return el('time', {datetime: iso, title: iso}, day + date.toLocaleTimeString('en-GB'));
};

const millis = value => value == null ? '–' : value < 10000 ? value + ' ms' : span(value / 1000);
const bytes = value => value == null ? '–' : value < 1024 ? value + ' B' : Math.round(value / 1024) + ' KiB';
const words = label => String(label ?? '–').replaceAll('_', ' ');
