/* All keys, all faults, and where it took place. */

let key_table = null;

function showKeys() {
  const of = data.keys;
  const prefix = `${data.scenario}/${data.generation}/`.toLowerCase();
  const name = (column, row) => column.names[column.of[row]];
  const took = (row) =>
    of.due[row] === null || of.ended[row] === null ? null : Math.max(0, of.ended[row] - of.due[row]);
  const time = (label, column) => ({
    label,
    kind: 'number',
    of: (row) => column[row],
    cell: (row) => (column[row] === null ? null : clock(column[row], 2)),
  });
  const lower = (column) => column.names.map((text) => text.toLowerCase());
  const [jobs, outcomes, statuses, found] = [of.job, of.outcome, of.status, of.findings].map(lower);
  const is = (column) => (row, option) => column.of[row] === option - 1;
  const lanes = new Map(data.lanes.shown.map((lane, place) => [lane.index, place]));
  key_table = new Table({
    caption: 'Keys',
    noun: ['key', 'keys'],
    count: of.index.length,
    empty: 'Nothing was planned.',
    style: 'keys',
    search_label: 'Search keys by number, job, run or finding',
    search: (row) =>
      `#${of.index[row]} ${jobs[of.job.of[row]]} ${of.run[row]} ${outcomes[of.outcome.of[row]]} ${statuses[of.status.of[row]]} ${found[of.findings.of[row]]}`,
    clean: (wanted) => (wanted.startsWith(prefix) ? `#${wanted.slice(prefix.length)} ` : wanted),
    filters: [
      {
        label: 'Findings',
        options: ['with findings', 'without'],
        accepts: (row, option) => (name(of.findings, row) !== '') === (option === 1),
      },
      { label: 'Outcome', options: of.outcome.names.map(words), accepts: is(of.outcome) },
      { label: 'Status', options: of.status.names.map((text) => text || 'no run'), accepts: is(of.status) },
      { label: 'Job', options: of.job.names, accepts: is(of.job) },
    ],
    columns: [
      { label: 'Key', kind: 'number', of: (row) => of.index[row], cell: (row) => keyCell(of.index[row], lanes) },
      { label: 'Job', of: (row) => name(of.job, row), cell: (row) => jobCell(name(of.job, row)) },
      { label: 'Findings', of: (row) => name(of.findings, row), cell: (row) => foundCell(name(of.findings, row)) },
      { label: 'Outcome', of: (row) => words(name(of.outcome, row)) },
      { label: 'Status', of: (row) => name(of.status, row) },
      time('Due', of.due),
      time('Started', of.started),
      time('Ended', of.ended),
      { label: 'Latency', kind: 'number', of: took, cell: (row) => (took(row) === null ? null : span(took(row))) },
      { label: 'Attempts', kind: 'number', of: (row) => of.attempts[row] },
      { label: 'Steps started', kind: 'number', of: (row) => of.stepsStarted[row] },
      { label: 'completed', kind: 'number', of: (row) => of.stepsCompleted[row] },
      {
        label: 'Run',
        of: (row) => of.run[row],
        cell: (row) => (of.run[row] === '' ? null : of.run[row].split(' ').flatMap((id) => [runLink(id), ' '])),
      },
    ],
  });
  const left = of.total - of.index.length;
  section(
    'keys',
    'All keys',
    `Keys (${number(of.total)})`,
    element(
      'p',
      { class: 'quiet' },
      `A key is ${data.scenario}/${data.generation}/ and its number. Times count from the start.`,
      left > 0
        ? ` ${number(of.index.length)} are here: those of which there is something to say, then the first; ${number(left)} more stand in keys.csv.`
        : ' keys.csv beside this page has them, too.',
    ),
    key_table.root,
    jobTable(),
  );
}

function keyCell(index, lanes) {
  const place = lanes.get(index);
  return place === undefined
    ? `#${index}`
    : element('a', { href: `#lane-${place}`, onclick: () => revealLane(place) }, `#${index}`);
}

/** Names are broken only where they are longer than any column should be. */
function jobCell(name) {
  return element('span', { class: 'job' }, name);
}

function foundCell(text) {
  return text === ''
    ? null
    : mark(
        text.split(', ').every((word) => word.startsWith('reexecuted')) ? 'note' : 'bad',
        text.replace(/^\w+|, \w+/g, (word) => (word.startsWith(', ') ? `, ${words(word.slice(2))}` : words(word))),
      );
}

function jobTable() {
  const jobs = new Table({
    caption: 'Jobs',
    noun: ['job', 'jobs'],
    count: data.jobs.length,
    size: 20,
    search: (row) => data.jobs[row].job.toLowerCase(),
    columns: [
      { label: 'Job', of: (row) => data.jobs[row].job, cell: (row) => jobCell(data.jobs[row].job) },
      {
        label: 'Planned',
        kind: 'number',
        of: (row) => data.jobs[row].planned,
        cell: (row) => number(data.jobs[row].planned),
      },
      {
        label: 'Runs that succeeded',
        kind: 'number',
        of: (row) => data.jobs[row].succeeded,
        cell: (row) => number(data.jobs[row].succeeded),
      },
    ],
  });
  return element('div', {}, element('h3', {}, 'Jobs'), jobs.root);
}

function showFaults() {
  const of = data.faults;
  const at = (text) => (text ? Date.parse(text) - data.origin : null);
  const time = (label, field) => ({
    label,
    kind: 'number',
    of: (row) => at(of[row][field]),
    cell: (row) => (of[row][field] ? clock(at(of[row][field])) : null),
  });
  const targets = (row) => [
    ...(of[row].targets ?? []).map((task) => short(task.arn)),
    ...(of[row].objects ?? []).map((object) =>
      Object.entries(object)
        .map(([kind, id]) => `${words(kind)} ${id}`)
        .join(' '),
    ),
  ];
  const states = { Healed: 'good', Recovered: 'good', Skipped: 'doubt', Pending: 'doubt' };
  const parts =
    of.length === 0
      ? [element('p', {}, 'None was planned.')]
      : [
          new Table({
            caption: 'Faults',
            noun: ['fault', 'faults'],
            count: of.length,
            size: 20,
            style: 'cards',
            search: (row) =>
              [of[row].name, of[row].what, of[row].state, of[row].reason ?? '', ...targets(row)]
                .join(' ')
                .toLowerCase(),
            columns: [
              { label: 'Fault', of: (row) => of[row].name },
              { label: 'What', kind: 'prose', of: (row) => of[row].what, cell: (row) => faultCell(of[row]) },
              {
                label: 'State',
                of: (row) => of[row].state,
                cell: (row) => mark(states[of[row].state] ?? 'bad', words(of[row].state)),
              },
              time('Injected', 'intendedAt'),
              time('Seen', 'seenAt'),
              time('Way back', 'healBeganAt'),
              time('Healed', 'healedAt'),
              {
                label: 'Recovery',
                kind: 'number',
                of: (row) => of[row].recoveryTimeSeconds ?? null,
                cell: (row) => (of[row].recoveryTime ? span(of[row].recoveryTimeSeconds * 1000) : null),
              },
              {
                label: 'Targets',
                kind: 'targets',
                of: (row) => targets(row).join(' '),
                cell: (row) =>
                  targets(row).length === 0
                    ? null
                    : element(
                        'ul',
                        { class: 'plain' },
                        targets(row).map((text) => element('li', {}, element('code', {}, text))),
                      ),
              },
            ],
          }).root,
        ];
  if (data.effects.length > 0) {
    parts.push(
      element('h3', {}, 'What those that lasted did, by the steps that started'),
      element(
        'ul',
        {},
        data.effects.map((text) => element('li', {}, text)),
      ),
    );
  }
  section('faults', 'Faults', `Faults (${number(of.length)})`, ...parts);
}

function faultCell(fault) {
  const lines = [fault.what, ...(fault.changes ?? []), fault.reason ?? null].filter((text) => text !== null);
  return lines.map((text) => element('div', {}, text));
}

function showEnvironment() {
  section('environment', 'Where it ran', 'Environment', facts(data.environment));
  const text = element('pre', { tabindex: '0', role: 'region', 'aria-label': 'The scenario as YAML' }, data.manifest);
  section('manifest', 'The scenario as it was accepted', 'Scenario', text);
}
