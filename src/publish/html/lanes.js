/* What became of each key that something was found of: its runs, steps and records on an axis of its own. */

const lanes_a_page = 5;
const lane_marks = { finding: 'bad', unfinished: 'doubt', tolerated: 'off', recovery: 'note', copy: 'off' };
let lane_page = 0;

function showLanes() {
  const { total, shown } = data.lanes;
  if (total === 0) return;
  const list = element('div', { id: 'lane-list' });
  const button = (text, label, step) =>
    element('button', { type: 'button', 'aria-label': label, onclick: () => laneTo(lane_page + step) }, text);
  const nav = element(
    'nav',
    { class: 'pager', id: 'lane-pager', 'aria-label': 'Pages of keys with findings' },
    button('‹ Previous', 'Previous keys', -1),
    element('span', { class: 'place', id: 'lane-place', role: 'status' }),
    button('Next ›', 'Next keys', 1),
  );
  nav.hidden = shown.length <= lanes_a_page;
  const more = total - shown.length;
  section(
    'lanes',
    'Key by key, where something was found',
    'Key by key',
    element(
      'p',
      { class: 'quiet' },
      `${plural(total, 'key')} with findings, recoveries, copies or no end${more > 0 ? `; the first ${number(shown.length)} are drawn here, ${number(more)} more stand in the table of findings` : ''}. Times count from the start. Shaded: faults, from their injection to the proof that they are gone.`,
    ),
    list,
    nav,
  );
  laneTo(0);
}

function lanePages() {
  return Math.ceil(data.lanes.shown.length / lanes_a_page);
}

function laneTo(page) {
  lane_page = Math.min(Math.max(page, 0), lanePages() - 1);
  const from = lane_page * lanes_a_page;
  const shown = data.lanes.shown.slice(from, from + lanes_a_page);
  document.getElementById('lane-list').replaceChildren(...shown.map((lane, place) => drawLane(lane, from + place)));
  document.getElementById('lane-place').textContent =
    `${from + 1}–${from + shown.length} of ${data.lanes.shown.length}`;
  const [previous, next] = document.getElementById('lane-pager').querySelectorAll('button');
  previous.setAttribute('aria-disabled', String(lane_page === 0));
  next.setAttribute('aria-disabled', String(lane_page === lanePages() - 1));
}

/** Puts the page with this lane up; the link that was followed goes there. */
function revealLane(place) {
  laneTo(Math.floor(place / lanes_a_page));
  document.getElementById(`lane-${place}`).focus();
}

function drawLane(lane, place) {
  const title = lane.key === null ? `A run without a key` : `Key #${lane.index}`;
  const notes = lane.notes.map((note) =>
    element(
      'li',
      {},
      mark(
        lane_marks[note.sort],
        `${words(note.kind)} (${note.level})`,
      ),
      element('span', {}, ` ${sentence(note.message)}`),
    ),
  );
  const facts_of = [
    lane.job,
    lane.due === null ? 'no such arrival' : `due at ${clock(lane.due, 3)}`,
    lane.sent === null ? 'never sent' : `sent at ${clock(lane.sent, 3)}`,
  ];
  const heading = element(
    'h3',
    { id: `lane-${place}-title` },
    title,
    ' ',
    element('span', { class: 'quiet' }, facts_of.filter((text) => text !== null).join(' · ')),
  );
  return element(
    'article',
    { id: `lane-${place}`, class: 'lane', tabindex: '-1', 'aria-labelledby': `lane-${place}-title` },
    heading,
    element('ul', { class: 'notes' }, notes),
    track(lane),
    lane.runs.some((run) => run.status !== null) && data.runsAt
      ? element(
          'p',
          { class: 'quiet' },
          'In Dagster: ',
          lane.runs.filter((run) => run.status !== null).flatMap((run) => [runLink(run.id, run.id.slice(0, 8)), ' ']),
        )
      : null,
    events(lane),
  );
}

/** What is still under way is neither. */
function runMark(run) {
  if (run.status === 'SUCCESS') return 'good';
  return run.ended === null ? 'cut' : 'bad';
}

/** The instants of a lane, with a little room on both sides. */
function rangeOf(lane) {
  const all = [lane.due, lane.sent];
  for (const run of lane.runs) {
    all.push(
      run.started,
      run.ended,
      ...run.events.map((event) => event.at),
      ...run.records.flatMap((record) => [record.started, record.finished]),
    );
  }
  for (const note of lane.notes) all.push(...note.deaths.map((death) => death.at));
  const known = all.filter((at) => at !== null);
  if (known.length === 0) return null;
  const [from, to] = [Math.min(...known), Math.max(...known)];
  const room = Math.max(1000 - (to - from) / 2, (to - from) * 0.06);
  return [from - room, to + room];
}

function track(lane) {
  const range = rangeOf(lane);
  if (range === null) return element('p', { class: 'quiet' }, 'There is no instant to draw.');
  const percent = (at) => `${(100 * (Math.min(Math.max(at, range[0]), range[1]) - range[0])) / (range[1] - range[0])}%`;
  const row = (label, ...parts) =>
    element(
      'div',
      { class: 'row' },
      element('div', { class: 'name' }, label),
      element('div', { class: 'time' }, parts),
    );
  const at = (ms, kind, text, hint) => {
    const made = element('span', { class: `point ${kind}`, title: `${hint} at ${clock(ms, 3)}` }, text);
    made.style.left = percent(ms);
    return made;
  };
  const bar = (from, to, kind, text, hint) => {
    const made = element('span', { class: `bar-part ${kind}`, title: hint }, text);
    made.style.left = percent(from);
    made.style.right = `calc(100% - ${percent(to ?? range[1])})`;
    return made;
  };
  const rows = [
    row(
      'launch',
      lane.due === null ? null : at(lane.due, 'due', '◇', 'due'),
      lane.sent === null ? null : at(lane.sent, 'sent', '▸', 'first sent'),
    ),
  ];
  for (const run of lane.runs) rows.push(...runRows(run, { row, at, bar }));
  const deaths = new Map(lane.notes.flatMap((note) => note.deaths).map((death) => [death.task, death]));
  if (deaths.size > 0)
    rows.push(
      row(
        'tasks that ended',
        [...deaths.values()].map((death) =>
          at(death.at, 'death', '†', `task ${death.task}, stopped by ${death.stoppedBy.join(', ') || 'nobody known'},`),
        ),
      ),
    );
  const shaded = bands(range, percent);
  return element(
    'div',
    {
      class: shaded.length > 0 ? 'track shaded' : 'track',
      role: 'img',
      'aria-label': 'Drawn over time; the list of events below says the same',
    },
    shaded,
    rows,
    axis(range, percent),
  );
}

function runRows(run, { row, at, bar }) {
  const rows = [];
  const name = `run ${run.id.slice(0, 8)}`;
  if (run.status === null) rows.push(row(name, element('span', { class: 'missing' }, 'Dagster has no such run')));
  else if (run.started === null)
    rows.push(row(name, element('span', { class: 'missing' }, `${run.status}, never started`)));
  else
    rows.push(
      row(
        name,
        bar(run.started, run.ended, `run ${runMark(run)}`, run.status, `run ${run.id}`),
      ),
    );
  for (const [step, its] of Map.groupBy(run.events, (event) => event.step))
    rows.push(row(step, stepParts(its, { at, bar })));
  for (const [step, its] of Map.groupBy(run.records, (record) => record.step)) {
    const parts = its.map((record) => {
      const from = record.started ?? record.finished;
      if (from === null) return null;
      const done = record.outcome === 'completed';
      const by = record.task ?? record.worker ?? '';
      return [
        bar(from, record.finished, `record ${done ? 'good' : 'bad'}`, by.slice(0, 8), `${record.outcome} by ${by}`),
        record.finished === null ? null : at(record.finished, done ? 'good' : 'bad', done ? '✓' : '✕', record.outcome),
      ];
    });
    rows.push(row(`${step}, recorded`, parts.flat()));
  }
  return rows;
}

/** Each start of a step until the completion or failure that came for it, the oldest open one first. */
function stepParts(its, { at, bar }) {
  const parts = [];
  const open = [];
  let task = null;
  const close = (ended, kind) => {
    const began = open.shift();
    if (began)
      parts.push(
        bar(began.at, ended, `step ${kind}`, (began.task ?? '').slice(0, 8), `by task ${began.task ?? 'not known'}`),
      );
  };
  for (const event of its) {
    if (event.what === 'Claimed') task = event.task;
    else if (event.what === 'Started' || event.what === 'Restarted') {
      open.push({ at: event.at, task: event.task ?? task });
      task = null;
    } else {
      const [kind, sign] = { Succeeded: ['good', '✓'], Failed: ['bad', '✕'] }[event.what] ?? ['note', '↻'];
      if (kind === 'good' && open.length > 1) {
        // An attempt that was started before another one and has no end of its own: it was cut off.
        while (open.length > 1) close(null, 'cut');
      }
      close(event.at, kind);
      parts.push(at(event.at, kind, sign, words(event.what)));
    }
  }
  while (open.length > 0) close(null, 'cut');
  return parts;
}

function bands(range, percent) {
  return data.bands.flatMap((band, place) => {
    const end = band.healed ?? band.until ?? range[1];
    if (end < range[0] || band.from > range[1]) return [];
    const shade = element('span', { class: 'shade' });
    shade.style.left = percent(band.from);
    shade.style.right = `calc(100% - ${percent(end)})`;
    shade.append(element('span', { class: 'label', title: band.name }, `${place + 1} ${band.name}`));
    return element(
      'div',
      { class: 'row over' },
      element('div', { class: 'name' }),
      element('div', { class: 'time' }, shade),
    );
  });
}

function axis(range, percent) {
  const length = range[1] - range[0];
  const step = steps_of_time.find((one) => length / one <= 5) ?? length;
  const ticks = [];
  for (let at = Math.ceil(range[0] / step) * step; at <= range[1]; at += step) {
    const tick = element('span', { class: 'tick' }, clock(at, step < 1000 ? 1 : 0));
    tick.style.left = percent(at);
    ticks.push(tick);
  }
  return element(
    'div',
    { class: 'row axis' },
    element('div', { class: 'name' }),
    element('div', { class: 'time' }, ticks),
  );
}

/** Everything that is drawn, as text, in the order of time. */
function events(lane) {
  const all = [];
  const add = (at, what, of, by) => {
    if (at !== null) all.push({ at, what, of, by });
  };
  add(lane.due, 'due', 'launch', null);
  add(lane.sent, 'first sent', 'launch', null);
  for (const run of lane.runs) {
    const name = `run ${run.id}`;
    add(run.started, 'run started', name, null);
    add(run.ended, `run ended: ${run.status}`, name, null);
    for (const event of run.events) add(event.at, `step ${words(event.what)}`, `${event.step}, ${name}`, event.task);
    for (const record of run.records) {
      const by = [record.worker, record.task].filter((text) => text !== null).join(', ');
      add(record.started, 'recorded: started', `${record.step}, ${name}`, by);
      add(record.finished, `recorded: ${record.outcome}`, `${record.step}, ${name}`, by);
    }
  }
  for (const note of lane.notes) {
    for (const death of note.deaths) add(death.at, 'task no longer seen', death.service, death.task);
  }
  all.sort((a, b) => a.at - b.at);
  const more = lane.runs.reduce((count, run) => count + run.more, 0);
  const details = element(
    'details',
    {},
    element('summary', {}, plural(all.length, 'event'), more > 0 ? `; ${number(more)} more in history.jsonl` : ''),
  );
  details.addEventListener('toggle', () => {
    if (!details.open || details.childElementCount > 1) return;
    details.append(
      new Table({
        caption: 'Events',
        noun: ['event', 'events'],
        count: all.length,
        style: 'dense',
        search: (row) => `${all[row].what} ${all[row].of} ${all[row].by ?? ''}`.toLowerCase(),
        columns: [
          { label: 'Time', kind: 'number', of: (row) => all[row].at, cell: (row) => clock(all[row].at, 3) },
          { label: 'What', of: (row) => all[row].what },
          { label: 'Of', of: (row) => all[row].of },
          {
            label: 'By',
            of: (row) => all[row].by,
            cell: (row) => (all[row].by ? element('code', {}, all[row].by) : null),
          },
        ],
      }).root,
    );
  });
  return details;
}
