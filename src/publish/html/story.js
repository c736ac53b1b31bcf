/* What happened over time: what each plot shows, and the same in a sentence. */

function showStory() {
  if (!data.hasStarted) {
    section('story', 'What happened', 'Story', element('p', {}, 'It never started: nothing was sent.'));
    return;
  }
  const { series, delays } = data;
  const x = series.due.map((_, place) => place * series.width);
  const step = (values) => [...values, values.at(-1)];
  const edges = [...x, Math.max(series.end, x.length * series.width)];
  const every = span(series.width);
  const fine = series.underWay.map((_, place) => place * series.fineWidth);
  const fine_edges = [...fine, Math.max(series.end, fine.length * series.fineWidth)];
  const parts = [
    plot({
      title: `Arrivals and completions per ${every}`,
      summary: flowSummary(),
      x: edges,
      show: number,
      lines: [
        { label: 'due', values: step(series.due), color: 'blue', stepped: true, area: true },
        { label: 'completed', values: step(series.completed), color: 'teal', stepped: true, width: 2.25 },
        ...(series.failed.some((count) => count > 0)
          ? [{ label: 'failed or canceled', values: step(series.failed), color: 'bad', stepped: true, dash: [3, 3] }]
          : []),
      ],
      numbers: columnsOf(
        x,
        [
          ['Due', series.due],
          ['Completed', series.completed],
          ['Failed or canceled', series.failed],
        ],
        number,
      ),
    }),
    plot({
      title: `Runs under way, the most at once in ${span(series.fineWidth)}`,
      summary: underWaySummary(),
      x: fine_edges,
      show: number,
      lines: [
        { label: 'sent, not ended', values: step(series.underWay), color: 'violet', stepped: true },
        { label: 'started, not ended', values: step(series.executing), color: 'teal', stepped: true, dash: [6, 3] },
      ],
      numbers: columnsOf(
        fine,
        [
          ['Sent, not ended', series.underWay],
          ['Started, not ended', series.executing],
        ],
        number,
      ),
    }),
    gauge('Queue depth', 'queue', series.queueDepth, 'highest', 'orange'),
    gauge('Workers', 'workers', series.workers, 'lowest', 'blue'),
    delays.dots.total > 0 ? latency() : nothing('Run latency', 'No run has ended, so none was measured.'),
  ];
  section('story', 'What happened', 'Story', faultList(), element('div', { class: 'plots' }, parts));
  if (delays.groups.length > 0) {
    section('latency', 'Latency by quantile', 'Latency', element('div', { class: 'plots' }, curve()), quantiles());
  }
}

function nothing(title, text) {
  return element('div', { class: 'plot' }, element('h3', {}, title), element('p', { class: 'quiet' }, text));
}

function columnsOf(x, named, show) {
  return {
    count: x.length,
    columns: [
      { label: 'From', kind: 'number', of: (row) => x[row], cell: (row) => clock(x[row]) },
      ...named.map(([label, values]) => ({
        label,
        kind: 'number',
        of: (row) => values[row] ?? null,
        cell: (row) => (values[row] === null || values[row] === undefined ? null : show(values[row])),
      })),
    ],
  };
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const highest = (values) => values.reduce((place, value, at) => (value > values[place] ? at : place), 0);
const lowest = (values) => values.reduce((place, value, at) => (value < values[place] ? at : place), 0);

function flowSummary() {
  const { due, completed, failed, width } = data.series;
  const most = highest(due);
  const bad = sum(failed);
  return `${plural(sum(due), 'arrival')} came due, at most ${number(due[most])} in ${span(width)} (at ${clock(most * width, 0)}); ${plural(sum(completed), 'run')} completed${bad > 0 ? `, ${plural(bad, 'run')} failed or ${bad === 1 ? 'was' : 'were'} canceled` : ''}.`;
}

function underWaySummary() {
  const { underWay, executing, fineWidth, left } = data.series;
  const most = highest(underWay);
  const open = left === 0 ? '' : `; ${plural(left, 'run')} had not ended when Dagster was asked last`;
  return `At most ${number(underWay[most])} were sent and not ended (at ${clock(most * fineWidth, 0)}), at most ${number(executing[highest(executing)])} executed at once${open}.`;
}

function gauge(title, name, of, extreme, color_name) {
  const deaths = name === 'workers' ? deathsSummary() : '';
  if (of === null) return nothing(title, `Not sampled: there is no record of the ${name}.${deaths}`);
  const [low, high] = [lowest(of.value), highest(of.value)];
  const kept = of.byInterval ? ` Each point is the ${extreme} of its interval.` : '';
  const summary = `Between ${number(of.value[low])} (at ${clock(of.at[low], 0)}) and ${number(of.value[high])} (at ${clock(of.at[high], 0)}) in ${plural(of.samples, 'sample')}.${kept}${deaths}`;
  return plot({
    title,
    summary,
    height: 130,
    x: of.at,
    show: number,
    draw: name === 'workers' ? drawDeaths : undefined,
    lines: [
      { label: title.toLowerCase(), values: of.value, color: color_name, stepped: true, area: color_name === 'blue' },
    ],
    numbers: columnsOf(of.at, [[title, of.value]], number),
  });
}

/** Tasks that ended: a number that stays the same may hide that one ended and another came between two looks. */
function deathsSummary() {
  const { total, shown } = data.series.deaths;
  if (total === 0) return '';
  const services = new Set(shown.map((death) => death.service));
  const told = shown
    .slice(0, 4)
    .map(
      (death) =>
        `${short(death.task).slice(0, 8)}${services.size > 1 ? ` of ${death.service}` : ''} at ${clock(death.at, 0)}${death.by.length > 0 ? `, stopped by ${death.by.join(', ')}` : ''}`,
    );
  const more = total > 4 ? ` and ${number(total - 4)} more` : '';
  return ` ${plural(total, 'task')} ended (†): ${told.join('; ')}${more}.`;
}

function drawDeaths(u) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.strokeStyle = palette.bad;
  ctx.fillStyle = palette.bad;
  ctx.lineWidth = uPlot.pxRatio;
  ctx.setLineDash([3 * uPlot.pxRatio, 3 * uPlot.pxRatio]);
  ctx.font = `700 ${13 * uPlot.pxRatio}px system-ui, sans-serif`;
  ctx.textAlign = 'center';
  ctx.textBaseline = 'bottom';
  for (const death of data.series.deaths.shown) {
    const left = u.valToPos(death.at, 'x', true);
    if (left < bbox.left || left > bbox.left + bbox.width) continue;
    const room = 17 * uPlot.pxRatio;
    ctx.beginPath();
    ctx.moveTo(left, bbox.top);
    ctx.lineTo(left, bbox.top + bbox.height - room);
    ctx.stroke();
    ctx.fillText('†', left, bbox.top + bbox.height);
  }
  ctx.restore();
}

function latency() {
  const { delays } = data;
  const { dots } = delays;
  const few =
    dots.at.length < dots.total
      ? ` Of ${number(dots.total)} runs the slowest and the failed of each interval are drawn.`
      : '';
  const slowest = highest(dots.took);
  const bad = dots.good.some((good) => good === 0) ? ' A cross is a run that did not succeed.' : '';
  const summary = `From the instant at which a run was due (not sent) to its end, by when it was due; quantiles per ${span(delays.width)} of runs that succeeded. The slowest took ${span(dots.took[slowest])} (due at ${clock(dots.at[slowest], 0)}). A dot is a run.${bad}${few}`;
  return plot({
    title: 'Run latency',
    summary,
    height: 240,
    x: delays.at.length > 0 ? delays.at : [0],
    show: span,
    lengths: true,
    draw: drawDots,
    top: slowestWithin,
    lines: [
      { label: 'p50', values: delays.p50, color: 'teal', points: true },
      { label: 'p95', values: delays.p95, color: 'orange', dash: [8, 3], points: true },
      { label: 'p99', values: delays.p99, color: 'violet', dash: [2, 3], points: true },
    ],
    numbers: columnsOf(
      delays.at,
      [
        ['p50', delays.p50],
        ['p95', delays.p95],
        ['p99', delays.p99],
      ],
      span,
    ),
  });
}

function slowestWithin(from, to) {
  const { at, took } = data.delays.dots;
  return at.reduce((most, ms, place) => (ms >= from && ms <= to && took[place] > most ? took[place] : most), 0);
}

function drawDots(u) {
  const { ctx, bbox } = u;
  const { at, took, good } = data.delays.dots;
  const size = 1.6 * uPlot.pxRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = palette.blue;
  ctx.strokeStyle = palette.bad;
  ctx.lineWidth = 1.5 * uPlot.pxRatio;
  at.forEach((ms, place) => {
    const [left, top] = [u.valToPos(ms, 'x', true), u.valToPos(took[place], 'y', true)];
    ctx.globalAlpha = good[place] ? 0.55 : 1;
    ctx.beginPath();
    if (good[place]) {
      ctx.arc(left, top, size, 0, 2 * Math.PI);
      ctx.fill();
    } else {
      ctx.moveTo(left - 2 * size, top - 2 * size);
      ctx.lineTo(left + 2 * size, top + 2 * size);
      ctx.moveTo(left - 2 * size, top + 2 * size);
      ctx.lineTo(left + 2 * size, top - 2 * size);
      ctx.stroke();
    }
  });
  ctx.restore();
}

function curve() {
  const { groups } = data.delays;
  const percents = groups
    .reduce((most, group) => (group.curve.length > most.length ? group.curve : most), [])
    .map(([percent]) => percent);
  const looks = {
    'all runs': ['blue', undefined],
    'overlapped by a fault': ['fault', [8, 3]],
    'the others': ['teal', [2, 3]],
  };
  const all = groups[0].quantiles;
  return plot({
    title: 'How long runs took, from the instant they were due',
    curve: true,
    lengths: true,
    height: 220,
    show: span,
    summary: `Of all ${plural(all.samples, 'run')} that succeeded, half took ${span(all.p50Seconds * 1000)} or less, 95 of 100 ${span(all.p95Seconds * 1000)} or less, the slowest ${span(all.maxSeconds * 1000)}.`,
    x: percents.map((percent) => -Math.log10(1 - percent / 100)),
    lines: groups.map((group) => ({
      label: group.name,
      color: looks[group.name][0],
      dash: looks[group.name][1],
      points: true,
      values: percents.map((_, place) => group.curve[place]?.[1] ?? null),
    })),
    numbers: {
      count: percents.length,
      columns: [
        { label: 'Of 100 runs', kind: 'number', of: (row) => percents[row] },
        ...groups.map((group) => ({
          label: group.name,
          kind: 'number',
          of: (row) => group.curve[row]?.[1] ?? null,
          cell: (row) => (group.curve[row] ? span(group.curve[row][1]) : null),
        })),
      ],
    },
  });
}

function quantiles() {
  const rows = [
    ...data.delays.groups.map((group) => [`Latency, ${group.name}`, group.quantiles]),
    ...(data.load.lateness ? [['Lateness: launches behind their instant', data.load.lateness]] : []),
  ];
  const cell = (name) => ({
    label: name,
    kind: 'number',
    of: (row) => rows[row][1][`${name}Seconds`],
    cell: (row) => span(rows[row][1][`${name}Seconds`] * 1000),
  });
  const of = new Table({
    caption: 'Quantiles',
    noun: ['line', 'lines'],
    count: rows.length,
    columns: [
      { label: 'What', of: (row) => rows[row][0] },
      {
        label: 'samples',
        kind: 'number',
        of: (row) => rows[row][1].samples,
        cell: (row) => number(rows[row][1].samples),
      },
      cell('p50'),
      cell('p95'),
      cell('p99'),
      cell('max'),
    ],
  });
  return of.root;
}

/** Which fault is which, and which part of the time is shown: for those without a mouse, too. */
function faultList() {
  const items = data.bands.map((band, place) => {
    const end = band.healed === null ? 'not proved to be healed' : `healed at ${clock(band.healed)}`;
    const until = band.until === null ? '' : `, in place for ${span(band.until - band.from)}`;
    return element(
      'li',
      {},
      element('span', { class: 'number' }, `${place + 1}`),
      ` ${band.name}: from ${clock(band.from)}${until}, ${end}`,
    );
  });
  const part = element(
    'select',
    {
      id: 'part',
      'data-part': '',
      onchange: () => {
        const band = data.bands[Number(part.value) - 1];
        if (band === undefined) return zoom(null);
        const end = band.healed ?? band.until ?? data.series.end;
        const room = Math.max(5000, (end - band.from) * 0.5);
        return zoom([Math.max(0, band.from - room), Math.min(data.series.end, end + room)]);
      },
    },
    ['the whole time', ...data.bands.map((band) => `around ${band.name}`)].map((text, value) =>
      element('option', { value }, text),
    ),
  );
  return element(
    'div',
    { class: 'faultlist' },
    items.length === 0
      ? element('p', { class: 'quiet' }, 'No fault was injected.')
      : element('ol', { 'aria-label': 'Faults, shaded in the plots' }, items),
    element(
      'div',
      { class: 'controls' },
      field('Show', part),
      element(
        'p',
        { class: 'quiet hint' },
        element('span', { 'data-zoom': '', role: 'status' }, 'The whole time is shown.'),
        ' Drag across a plot to look closer, double-click to go back.',
      ),
    ),
  );
}
