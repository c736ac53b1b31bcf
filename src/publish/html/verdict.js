/* The verdict and all that it rests on. */

function showVerdict() {
  const [kind] = verdicts[data.verdict];
  const lasted = data.hasStarted ? span(data.series.end) : null;
  const head = element(
    'section',
    { id: 'verdict', class: `verdict ${kind}`, 'aria-labelledby': 'title', tabindex: '-1' },
    element(
      'p',
      { class: 'eyebrow' },
      'dagstorm report',
      data.lastRun ? [' · ', element('a', { href: '../../index.html' }, 'all reports of this data folder')] : null,
    ),
    element('h1', { id: 'title' }, data.scenario),
    badge(data.verdict),
    element('p', { class: 'summary' }, sentence(data.summary)),
    figures(data.figures),
    element('p', { class: 'beside' }, lastRun()),
    facts(
      [
        ['Generation', data.generation],
        [data.hasStarted ? 'Started' : 'Accepted', date(0)],
        ['Lasted', lasted],
        ['Audited', date(data.censusAt)],
        ['Dagster', data.dagsterVersion],
        ['Target', data.environment[0][1]],
      ],
      { class: 'facts inline' },
    ),
  );
  document.getElementById('main').append(head);
  document.getElementById('contents').append(element('li', {}, element('a', { href: '#verdict' }, 'Verdict')));
  head.append(counts());
}

/** Which run the four numbers are compared with. */
function lastRun() {
  const last = data.lastRun;
  if (!last) return 'There is no report of an earlier run of this scenario beside this one.';
  return [
    'The last run: ',
    verdictMark(last.verdict),
    ' ',
    element('a', { href: `../${last.generation}/report.html` }, last.generation),
    last.started === null ? ', which never started' : `, started ${date(last.started)}`,
    last.editedSince ? '. The scenario was edited since: that may be why numbers differ.' : '. The scenario was the same.',
  ];
}

/** The counts of the three levels: what is wrong when above zero stands out, what is zero steps back. */
function counts() {
  const of = data.counts;
  const level = (title, rows, note) =>
    element(
      'div',
      { class: 'level' },
      element('h2', {}, title),
      note === null ? null : element('p', { class: 'quiet' }, note),
      element(
        'dl',
        {},
        rows
          .filter(([, value, kind]) => value > 0 || (value === 0 && kind !== 'rare'))
          .map(([term, value, kind]) =>
            element(
              'div',
              { class: value === 0 ? 'zero' : kind === 'bad' ? 'bad' : kind === 'doubt' ? 'doubt' : '' },
              element('dt', {}, term),
              element(
                'dd',
                {},
                number(value),
                value > 0 && kind === 'bad' ? element('span', { class: 'sign' }, ' ✕') : null,
              ),
            ),
          ),
      ),
    );
  const runs = level(
    'Runs',
    [
      ['planned', of.planned],
      ['attempted', of.attempted],
      ['acknowledged', of.acknowledged],
      ['completed', of.completed],
      ['failed by their own code', of.failed, 'bad'],
      ['of those, while a fault was in place', of.failedUnderFaults, 'rare'],
      ['lost', of.lost, 'bad'],
      ...(of.neverStarted > 0 ? [['never started', of.neverStarted, 'bad']] : []),
      ...(of.otherWriters > 0 ? [['launched by another dagstorm', of.otherWriters, 'bad']] : []),
      ['duplicated', of.duplicated, 'bad'],
      ['unexpected', of.unexpected, 'bad'],
      ['falsely failed', of.falselyFailed, 'bad'],
      ['in doubt for a while', of.indeterminate, 'rare'],
      ['recovered', of.recovered, 'rare'],
      ['run again by Dagster', of.retried, 'rare'],
      ['copies of their tags', of.copied, 'rare'],
      ['adopted', of.adopted, 'rare'],
      ['unfinished', of.unfinished, 'rare'],
      ['rejected', of.rejected, 'rare'],
      ['resolved absent', of.resolvedAbsent, 'rare'],
      ['dropped', of.dropped, 'rare'],
    ],
    null,
  );
  const steps = level(
    'Steps, by Dagster’s events',
    [
      ['completed', of.stepsCompleted],
      ['completed more than once', of.stepsDuplicated, 'bad'],
      ['re-executed (recovery)', of.stepsReexecuted],
    ],
    null,
  );
  const effects = data.effectsRead
    ? level(
        'Effects, by the workers’ own records',
        [
          ['completed', of.effectsCompleted],
          ['completed more than once', of.effectsDuplicated, 'bad'],
          ['lost', of.effectsLost, 'bad'],
          ['unexpected', of.effectsUnexpected, 'bad'],
        ],
        null,
      )
    : level(
        'Effects, by the workers’ own records',
        [],
        'Not checked: the target does not say where the workers write down what they did.',
      );
  return element('div', { class: 'levels' }, runs, steps, effects);
}

function showFindings() {
  const all = [
    ['finding', data.findings],
    ['open', data.unfinished],
    ['permitted', data.tolerated],
    ['recovery', data.recoveries],
    ['copy', data.copies],
  ].flatMap(([sort, list]) => list.shown.map((finding) => ({ sort, ...finding })));
  const parts = [];
  if (data.findings.total === 0) parts.push(element('p', {}, mark('good', 'Nothing broke the contract.')));
  if (all.length > 0) parts.push(findings(all));
  for (const [name, list] of [
    ['findings', data.findings],
    ['open runs and steps', data.unfinished],
    ['permitted by the contract', data.tolerated],
    ['recoveries', data.recoveries],
    ['copies', data.copies],
  ]) {
    if (list.total > list.shown.length)
      parts.push(
        element(
          'p',
          { class: 'quiet' },
          `${number(list.total - list.shown.length)} more ${name} stand in report.json.`,
        ),
      );
  }
  section(
    'findings',
    'Findings',
    `Findings (${number(data.findings.total)})`,
    all.length > data.findings.shown.length
      ? element(
          'p',
          { class: 'quiet' },
          'A recovery is a failed run that Dagster ran again, or a step that was started again after an attempt that never completed: no violation. What the contract permits is none either. What had not ended proves nothing: it is hung, or was looked at too early. A copy is a run that carries the tags of a launch and is none: it is not judged.',
        )
      : null,
    ...parts,
  );
}

const sorts = { finding: 'bad', open: 'doubt', permitted: 'off', recovery: 'note', copy: 'off' };

function findings(all) {
  const where = (finding) => (finding.key ? Number(finding.key.slice(finding.key.lastIndexOf('/') + 1)) : null);
  const kinds = [...new Set(all.map((finding) => words(finding.kind)))];
  const text = all.map((one) =>
    [
      one.key,
      one.kind,
      words(one.kind),
      one.level,
      one.step,
      one.message,
      ...one.runs,
      ...(one.overlappingFaults ?? []),
    ]
      .join(' ')
      .toLowerCase(),
  );
  return new Table({
    caption: 'Findings',
    noun: ['entry', 'entries'],
    count: all.length,
    size: 20,
    style: 'cards',
    search: (row) => text[row],
    search_label: 'Search findings',
    filters: [
      {
        label: 'Sort',
        options: Object.keys(sorts),
        accepts: (row, option) => all[row].sort === Object.keys(sorts)[option - 1],
      },
      { label: 'Kind', options: kinds, accepts: (row, option) => words(all[row].kind) === kinds[option - 1] },
    ],
    columns: [
      {
        label: 'What',
        of: (row) => all[row].kind,
        cell: (row) =>
          mark(
            sorts[all[row].sort],
            `${words(all[row].kind)}${['finding', 'open', 'copy'].includes(all[row].sort) ? '' : `, ${all[row].sort}`}`,
          ),
      },
      { label: 'Level', of: (row) => all[row].level },
      { label: 'Key', kind: 'number', of: (row) => where(all[row]), cell: (row) => laneLink(all[row]) },
      { label: 'In words', kind: 'prose', of: (row) => all[row].message, cell: (row) => sentence(all[row].message) },
      {
        label: 'Meanwhile',
        of: (row) => (all[row].overlappingFaults ?? []).join(' '),
        cell: (row) => meanwhile(all[row]),
      },
    ],
  }).root;
}

/** The faults that were in place, and the tasks that ended. */
function meanwhile(finding) {
  const faults = finding.overlappingFaults ?? [];
  const deaths = (finding.taskDeaths ?? []).map((death) => `task ${short(death.task).slice(0, 8)}… ended`);
  const all = [...faults, ...deaths];
  return all.length === 0
    ? null
    : all.length > 4
      ? `${all.slice(0, 4).join(', ')} and ${all.length - 4} more`
      : all.join(', ');
}

function laneLink(finding) {
  const place = data.lanes.shown.findIndex((lane) =>
    finding.key ? lane.key === finding.key : lane.key === null && lane.runs[0]?.id === finding.runs[0],
  );
  const text = finding.key
    ? `#${finding.key.slice(finding.key.lastIndexOf('/') + 1)}`
    : finding.runs.length > 0
      ? 'a run without one'
      : null;
  if (place < 0 || text === null) return text;
  return element('a', { href: `#lane-${place}`, onclick: () => revealLane(place) }, text);
}

/** The number in a measured value: of a length of time its seconds. */
function measured(result) {
  if (result.value === undefined || result.value === null) return null;
  return result.valueSeconds ?? Number.parseFloat(result.value) * (result.value.endsWith('/min') ? 1 / 60 : 1);
}

/** What was put together in one sentence, each by itself. */
function each(messages) {
  if (messages.length === 0) return null;
  const list = element('ul', { class: 'each' });
  const details = element('details', {}, element('summary', {}, `All ${number(messages.length)}`), list);
  details.addEventListener('toggle', () => {
    if (list.childElementCount === 0) list.append(...messages.map((text) => element('li', {}, sentence(text))));
  });
  return details;
}

function showRest() {
  if (data.thresholds.length > 0) {
    const of = (row) => data.thresholds[row];
    const holds = (one) =>
      one.holds === true
        ? mark('good', 'holds')
        : one.holds === false
          ? mark('bad', 'does not hold')
          : mark('doubt', 'not known');
    section(
      'thresholds',
      'Thresholds',
      null,
      new Table({
        caption: 'Thresholds',
        noun: ['threshold', 'thresholds'],
        style: 'cards',
        count: data.thresholds.length,
        search: (row) => of(row).threshold.toLowerCase(),
        columns: [
          { label: 'Threshold', of: (row) => of(row).threshold, cell: (row) => element('code', {}, of(row).threshold) },
          {
            label: 'Measured',
            kind: 'number',
            of: (row) => measured(of(row)),
            cell: (row) => of(row).value ?? null,
          },
          { label: 'Samples', kind: 'number', of: (row) => of(row).samples, cell: (row) => number(of(row).samples) },
          { label: 'Holds', of: (row) => String(of(row).holds), cell: (row) => holds(of(row)) },
        ],
      }).root,
    );
  }
  const unchecked = data.assumptions.filter((text) => text.startsWith('Not checked:'));
  for (const [gauge, name] of [
    [data.series.queueDepth, 'queue depth'],
    [data.series.workers, 'number of workers'],
  ]) {
    if (gauge === null) unchecked.push(`Not sampled: the ${name}.`);
  }
  const open = data.gaps.map((gap) =>
    element('li', {}, element('strong', {}, gap.reason), `: ${sentence(gap.message)}`, each(gap.each)),
  );
  section(
    'proof',
    'What this rests on',
    'Proof',
    element('h3', {}, 'Not proved'),
    open.length === 0
      ? element('p', {}, mark('good', 'Everything that a pass needs is proved; there are no gaps.'))
      : element('ul', { class: 'gaps' }, open),
    element('h3', {}, 'Not checked'),
    unchecked.length === 0
      ? element('p', {}, 'Nothing was left out.')
      : element(
          'ul',
          {},
          unchecked.map((text) =>
            element(
              'li',
              {},
              text.replace(/^Not checked: (.)/, (_, first) => first.toUpperCase()),
            ),
          ),
        ),
    element('h3', {}, 'Assumed'),
    element(
      'ul',
      {},
      data.assumptions.filter((text) => !text.startsWith('Not checked:')).map((text) => element('li', {}, text)),
    ),
  );
}
