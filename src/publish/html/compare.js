/* Two runs side by side. */

document.querySelector('noscript').remove();
document.getElementById('theme').addEventListener('click', nextTheme);
setTheme('system');

const outcomes = {
  nothingWorse: ['good', '✓', 'Nothing is worse'],
  worse: ['bad', '✕', 'Worse'],
  unknown: ['doubt', '?', 'Not known'],
};
const judgements = { slower: 'bad', faster: 'good', withinNoise: 'off', withinTolerance: 'off', tooFewSamples: 'doubt', oneSided: 'doubt' };

function capital(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? '' : '.'}`;
}

function showHead() {
  const [kind, sign, word] = outcomes[data.outcome];
  const { before, after } = data;
  const title = before.scenario === after.scenario ? after.scenario : `${before.scenario} and ${after.scenario}`;
  document.getElementById('main').append(
    element(
      'section',
      { id: 'outcome', class: `verdict ${kind}`, 'aria-labelledby': 'title', tabindex: '-1' },
      element('p', { class: 'eyebrow' }, 'dagstorm, two runs side by side'),
      element('h1', { id: 'title' }, title),
      element('p', { class: 'badge' }, element('span', { 'aria-hidden': 'true' }, sign), ` ${word}`),
      element('p', { class: 'summary' }, capital(data.summary)),
      element('div', { class: 'levels' }, side('Before', before), side('After', after)),
    ),
  );
  document.getElementById('contents').append(element('li', {}, element('a', { href: '#outcome' }, 'Outcome')));
}

function side(title, head) {
  const kinds = { Passed: 'good', Failed: 'bad', Unknown: 'doubt', Stopped: 'doubt' };
  return element(
    'div',
    { class: 'level' },
    element('h2', {}, title),
    facts([
      ['Run', `${head.scenario}/${head.generation}`],
      ['Verdict', mark(kinds[head.verdict], head.verdict)],
      ['In words', capital(head.summary)],
      ['Started', head.startedAt === null ? 'never' : date(Date.parse(head.startedAt))],
      ['Dagster', head.dagsterVersion],
      ['Samples from', head.samplesFrom],
    ]),
  );
}

function showSetup() {
  const none = '(not there)';
  section(
    'setup',
    'What differs in the set-up',
    'Set-up',
    element(
      'p',
      { class: 'quiet' },
      data.setup.length === 0
        ? 'Nothing that is known: the scenario, the target and Dagster are the same.'
        : 'What differs here may be why the rest differs.',
    ),
    data.setup.length === 0
      ? null
      : new Table({
          caption: 'Differences of the set-up',
          noun: ['difference', 'differences'],
          count: data.setup.length,
          size: 20,
          style: 'cards',
          search: (row) => Object.values(data.setup[row]).join(' ').toLowerCase(),
          columns: [
            { label: 'Field', of: (row) => data.setup[row].field, cell: (row) => element('code', {}, data.setup[row].field) },
            { label: 'Before', kind: 'targets', of: (row) => data.setup[row].before ?? none },
            { label: 'After', kind: 'targets', of: (row) => data.setup[row].after ?? none },
          ],
        }).root,
  );
}

function showBroken() {
  const list = (messages, kind, none) =>
    messages.length === 0
      ? element('p', {}, none)
      : element('ul', { class: 'plain' }, messages.map((text) => element('li', {}, mark(kind, kind === 'bad' ? 'broke' : 'mended'), ` ${text}`)));
  section('broke', 'What broke', null, list(data.broken, 'bad', 'Nothing that held before.'));
  if (data.better.length > 0) section('mended', 'What is mended', null, list(data.better, 'good', ''));
}

function measures(part) {
  const of = (row) => part.rows[row];
  const text = (label, field) => ({ label, kind: 'number', of: (row) => of(row)[field] });
  return new Table({
    caption: part.title,
    noun: ['measure', 'measures'],
    count: part.rows.length,
    size: 40,
    style: 'cards',
    search: (row) => of(row).name.toLowerCase(),
    columns: [
      { label: 'Measure', of: (row) => of(row).name },
      text('Before', 'before'),
      text('After', 'after'),
      text('Change', 'change'),
      text('As a share', 'relative'),
      { label: 'Change lies between', of: (row) => of(row).interval },
      { label: 'Samples', kind: 'number', of: (row) => of(row).samples },
    ],
  }).root;
}

function showMeasures() {
  for (const part of data.sections) {
    const said = element('p', {}, mark(judgements[part.judgement], plural(part.rows.length, 'measure')));
    section(`measures-${part.judgement}`, part.title, part.title.split(/,| yet/)[0], said, measures(part));
  }
}

showHead();
showSetup();
showBroken();
showMeasures();
document.getElementById('foot').textContent =
  `Compared by dagstorm with a tolerance of ${data.tolerance}; intervals are of 99 %. docs/audit.md says what counts as slower.`;
document.documentElement.dataset.ready = 'yes';
