/* All reports of a data folder: a section a scenario, its trend over generations, and a line a run. */

document.querySelector('noscript').remove();
document.getElementById('theme').addEventListener('click', nextTheme);
setTheme('system');

const names = ['Run latency, p95', 'Throughput', 'Success rate', 'Longest recovery'];
const shows = [
  span,
  (rate) => (rate < 1 ? `${number(rate * 60)}/min` : `${number(rate)}/s`),
  (share) => `${Math.floor(share * 10000 + 1e-6) / 100}%`,
  span,
];
/* So many of the newest runs a trend has. */
const most_points = 60;

function svg(name, attributes, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.flat());
  return made;
}

function showIndex() {
  const total = data.scenarios.reduce((count, scenario) => count + scenario.runs.length, 0);
  const newest = data.scenarios.map((scenario) => scenario.runs[0]);
  const count = (verdict) => newest.filter((run) => run.verdict === verdict).length;
  const told = ['Passed', 'Failed', 'Unknown', 'Stopped']
    .filter((verdict) => count(verdict) > 0)
    .map((verdict) => [verdictMark(verdict), ` ${number(count(verdict))} `]);
  document.getElementById('main').append(
    element(
      'section',
      { id: 'all', class: 'verdict', 'aria-labelledby': 'title', tabindex: '-1' },
      element('p', { class: 'eyebrow' }, 'dagstorm'),
      element('h1', { id: 'title' }, 'All reports'),
      element(
        'p',
        { class: 'summary' },
        `${plural(total, 'report')} of ${plural(data.scenarios.length, 'scenario')}. `,
        total > 0 ? ['The newest of each: ', told] : null,
      ),
      newest.length > 0 ? overview() : element('p', {}, 'There is no report yet: one is written at the end of each run.'),
    ),
  );
  data.scenarios.forEach(showScenario);
  if (data.unreadable.length > 0) {
    section(
      'unreadable',
      'Reports that cannot be read',
      'Unreadable',
      element(
        'ul',
        {},
        data.unreadable.map((one) => element('li', {}, element('code', {}, one.name), `: ${one.reason}`)),
      ),
    );
  }
}

/** A line a scenario: how its newest run went. */
function overview() {
  const of = (row) => data.scenarios[row].runs[0];
  return new Table({
    caption: 'Scenarios',
    noun: ['scenario', 'scenarios'],
    count: data.scenarios.length,
    style: 'cards',
    search: (row) => `${data.scenarios[row].name} ${of(row).verdict}`.toLowerCase(),
    columns: [
      {
        label: 'Scenario',
        of: (row) => data.scenarios[row].name,
        cell: (row) => element('a', { href: `#scenario-${row}` }, data.scenarios[row].name),
      },
      ...columnsOfRun(of, (row) => data.scenarios[row].name, false),
      { label: 'Runs', kind: 'number', of: (row) => data.scenarios[row].runs.length },
    ],
  }).root;
}

function href(scenario, run) {
  return `${encodeURIComponent(scenario)}/${encodeURIComponent(run.generation)}/report.html`;
}

function columnsOfRun(of, scenario, withChange) {
  return [
    {
      label: 'Started',
      of: (row) => of(row).started ?? of(row).audited,
      cell: (row) =>
        element('a', { href: href(scenario(row), of(row)) }, of(row).started === null ? 'never started' : date(of(row).started)),
    },
    { label: 'Verdict', of: (row) => of(row).verdict, cell: (row) => verdictMark(of(row).verdict) },
    ...names.map((name, place) => ({
      label: name,
      kind: 'number',
      of: (row) => of(row).numbers[place],
      cell: (row) => figureCell(of(row).figures[place], withChange),
    })),
  ];
}

/** A number, and below it how it differs from the run before where that matters. */
function figureCell(figure, withChange) {
  const { change } = figure;
  if (!withChange || !change || !['better', 'worse'].includes(change.sort)) return figure.value;
  return [figure.value, element('div', { class: 'small' }, changeOf({ ...change, words: change.words.split(' than ')[0] }))];
}

function showScenario(scenario, place) {
  const { runs } = scenario;
  section(
    `scenario-${place}`,
    scenario.name,
    null,
    element('div', { class: 'trends' }, names.map((name, which) => trend(scenario, name, which))),
    new Table({
      caption: `Runs of ${scenario.name}`,
      noun: ['run', 'runs'],
      count: runs.length,
      size: 20,
      style: 'cards',
      search: (row) => `${runs[row].generation} ${runs[row].verdict} ${runs[row].summary}`.toLowerCase(),
      columns: [
        ...columnsOfRun((row) => runs[row], () => scenario.name, true),
        { label: 'Generation', of: (row) => runs[row].generation, cell: (row) => generation(runs[row]) },
        { label: 'In words', kind: 'prose', of: (row) => runs[row].summary, cell: (row) => said(runs[row]) },
      ],
    }).root,
  );
}

function generation(run) {
  return [element('code', {}, run.generation), run.edited ? element('div', { class: 'small quiet' }, 'edited since the run before') : null].filter(
    (part) => part !== null,
  );
}

function said(run) {
  return /[.!?…]$/.test(run.summary) ? run.summary : `${run.summary}.`;
}

/** One number over the generations, the oldest first; a point is a run, its colour and form the verdict. */
function trend(scenario, name, which) {
  const runs = scenario.runs.slice(0, most_points).reverse();
  const known = runs.map((run, at) => ({ run, at, value: run.numbers[which] })).filter((one) => one.value !== null);
  const show = shows[which];
  const heading = element('h3', {}, name);
  if (known.length === 0) return element('div', { class: 'trend' }, heading, element('p', { class: 'quiet' }, 'Not measured.'));
  const values = known.map((one) => one.value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const last = known.at(-1);
  const text =
    known.length === 1
      ? `${show(last.value)} in one run`
      : low === high
        ? `${show(last.value)} in each of ${known.length} runs`
        : `${show(last.value)} in the last of ${known.length} runs; from ${show(low)} to ${show(high)}`;
  return element('div', { class: 'trend' }, heading, element('p', { class: 'quiet' }, text), drawTrend(known, runs.length, { name, text, show }));
}

function drawTrend(known, count, { name, text, show }) {
  const [width, height, room] = [240, 60, 8];
  const most = Math.max(...known.map((one) => one.value)) || 1;
  const x = (at) => (count === 1 ? width / 2 : room + (at * (width - 2 * room)) / (count - 1));
  const y = (value) => height - room - (value / most) * (height - 2 * room);
  const points = known.map((one) => `${x(one.at).toFixed(1)},${y(one.value).toFixed(1)}`);
  const marks = known.map((one) => {
    const [left, top] = [x(one.at), y(one.value)];
    const kind = verdicts[one.run.verdict][0];
    const hint = svg('title', {});
    hint.textContent = `${one.run.generation}: ${show(one.value)}, ${one.run.verdict}`;
    return kind === 'good'
      ? svg('circle', { cx: left, cy: top, r: 3, class: 'point-good' }, hint)
      : svg('rect', { x: left - 3.5, y: top - 3.5, width: 7, height: 7, class: `point-${kind}` }, hint);
  });
  return svg(
    'svg',
    { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': `${name}: ${text}`, preserveAspectRatio: 'none' },
    svg('line', { x1: 0, x2: width, y1: height - room, y2: height - room, class: 'ground' }),
    svg('polyline', { points: points.join(' '), class: 'line' }),
    marks,
  );
}

showIndex();
document.getElementById('foot').textContent =
  'Written by dagstorm after each report. In a trend, a round point is a run that passed, a square one a run that did not. The line at the bottom is zero. Each run is compared with the one before it.';
if (location.hash !== '') document.getElementById(location.hash.slice(1))?.scrollIntoView();
document.documentElement.dataset.ready = 'yes';
