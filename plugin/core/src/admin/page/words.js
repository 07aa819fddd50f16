// Numbers, times and names in words.
const count = (number, one, many = one + 's') => (number ?? 0).toLocaleString('en') + ' ' + (number === 1 ? one : many);

// In the largest unit of which there are two.
const span = (seconds = 0) => {
  const units = [[86400, ' d'], [3600, ' h'], [60, ' min'], [1, ' s']];
  const [size, unit] = units.find(([size]) => seconds >= 2 * size) ?? units[3];
  return Math.floor(seconds / size) + unit;
};

const moment = iso => {
  const date = new Date(iso ?? NaN);
  if (isNaN(date)) return iso ?? '–';
  const isToday = date.toDateString() === new Date().toDateString();
  const day = isToday ? '' : date.toLocaleDateString('en-GB', {day: 'numeric', month: 'short'}) + ' ';
  return el('time', {datetime: iso, title: iso}, day + date.toLocaleTimeString('en-GB'));
};

const size = bytes => {
  const [unit, name] = [[2 ** 30, ' GiB'], [2 ** 20, ' MiB'], [2 ** 10, ' KiB']].find(([unit]) => bytes >= unit) ?? [1, ' B'];
  return (bytes / unit).toFixed(unit > 1 ? 1 : 0) + name;
};

const plain = value => String(value ?? '–');
const words = label => plain(label).replaceAll('_', ' ');
const millis = value => value == null ? '–' : value < 10000 ? value + ' ms' : span(value / 1000);
