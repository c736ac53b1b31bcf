/* Plots over time, drawn by uPlot: faults as bands behind them, one cursor and one zoom for all, their numbers as a table. */

const drawn = [];
let palette = {};
let window_ms = null;

const steps_of_time = [
  100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 108e5, 216e5, 432e5, 864e5,
  6048e5,
];

/* Where a line across stands: whole numbers of things, readable lengths of time in milliseconds. */
const whole_steps = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();
const time_steps = [1, 2, 5, 10, 20, 50, ...steps_of_time, 1728e5, 4320e5];

function readPalette() {
  const names = ['ink', 'quiet', 'line', 'blue', 'orange', 'teal', 'violet', 'bad', 'fault'];
  palette = Object.fromEntries(names.map((name) => [name, color(name)]));
  palette.shade = color('fault', 0.16);
  palette.after = color('fault', 0.07);
  palette.area = color('blue', 0.14);
}

/**
 * options: { title, summary, height?, x: [], lines: [{ label, values, color, dash?, stepped?, area?, width? }], show: (value) => text,
 *   draw?: (u) => void, top?: (from, to) => number, curve?: true, lengths?: true, numbers: { columns, count } }
 *   lengths: the values are lengths of time in milliseconds.
 */
function plot(options) {
  const canvas = element('div', { class: 'canvas', role: 'img', 'aria-label': `${options.title}. ${options.summary}` });
  const figure = element(
    'figure',
    { class: 'plot' },
    element('figcaption', {}, element('h3', {}, options.title), element('p', { class: 'quiet' }, options.summary)),
    canvas,
    numbers(options),
  );
  drawn.push({ options, canvas, made: null });
  return figure;
}

/** The same as a table, made when it is asked for. */
function numbers(options) {
  const details = element('details', { class: 'numbers' }, element('summary', {}, 'Numbers'));
  details.addEventListener('toggle', () => {
    if (!details.open || details.childElementCount > 1) return;
    details.append(
      new Table({
        caption: `Numbers of: ${options.title}`,
        noun: ['line', 'lines'],
        size: 12,
        style: 'dense',
        ...options.numbers,
      }).root,
    );
  });
  return details;
}

function drawPlots() {
  readPalette();
  for (const one of drawn) {
    one.made?.destroy();
    one.made = new uPlot(settings(one), [one.options.x, ...one.options.lines.map((line) => line.values)], one.canvas);
    // The plot is one image with its own words; for those who cannot see it there are the numbers as a table.
    one.made.root.querySelector('.u-legend').setAttribute('aria-hidden', 'true');
  }
}

function widthOf(one) {
  return Math.max(240, Math.floor(one.canvas.clientWidth));
}

function settings(one) {
  const { options } = one;
  const font = '12px system-ui, sans-serif';
  const axis = {
    stroke: palette.quiet,
    font,
    size: 30,
    grid: { stroke: palette.line, width: 1 },
    ticks: { stroke: palette.line, width: 1, size: 4 },
  };
  const across = options.curve
    ? {
        ...axis,
        splits: () => [...[0, Math.log10(2), 1, 2, 3, 4].filter((at) => at < options.x.at(-1) - 0.2), options.x.at(-1)],
        values: (_, all) => all.map((at) => `${Number((100 * (1 - 10 ** -at)).toFixed(2))} %`),
      }
    : {
        ...axis,
        incrs: steps_of_time,
        space: 64,
        values: (_, all) => all.map((at) => clock(at, all.length > 1 && all[1] - all[0] < 1000 ? 1 : 0)),
      };
  return {
    width: widthOf(one),
    height: options.height ?? 170,
    padding: [14, options.curve ? 30 : 18, 0, 0],
    scales: {
      x: { time: false, range: () => (options.curve ? [0, options.x.at(-1)] : (window_ms ?? [0, data.series.end])) },
      y: {
        range: (u, _, top) => [
          0,
          Math.max(1, top ?? 0, options.top ? options.top(u.scales.x.min, u.scales.x.max) : 0) * 1.08,
        ],
      },
    },
    axes: [
      across,
      {
        ...axis,
        incrs: options.lengths ? time_steps : whole_steps,
        size: besideAxis,
        values: (_, all) => all.map((value) => (value === null ? '' : options.show(value))),
      },
    ],
    series: [
      {
        label: options.curve ? 'quantile' : 'time',
        value: (_, at) =>
          at === null || at === undefined ? 'at the highest' : options.curve ? `${Number((100 * (1 - 10 ** -at)).toFixed(2))} %` : clock(at),
      },
      ...options.lines.map((line) => lineOf(line, options)),
    ],
    cursor: {
      y: false,
      drag: { x: !options.curve, y: false, setScale: false },
      sync: options.curve
        ? undefined
        : { key: 'time', setSeries: false, filters: { pub: (type) => type === 'mousemove' || type === 'mouseleave' } },
      bind: { dblclick: () => () => zoom(null) },
    },
    hooks: options.curve
      ? {}
      : {
          drawClear: [shadeFaults],
          draw: [(u) => options.draw?.(u), nameFaults],
          setSelect: [
            (u) => {
              if (u.select.width < 4) return;
              zoom([u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x')]);
              u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            },
          ],
        },
  };
}

/** As wide as the widest label needs; the same in most plots, so that their times stand below each other. */
function besideAxis(u, labels, axis) {
  if (labels === null) return 62;
  u.ctx.save();
  u.ctx.font = u.axes[axis].font[0];
  const widest = labels.reduce((most, text) => Math.max(most, u.ctx.measureText(text).width), 0);
  u.ctx.restore();
  return Math.max(62, Math.ceil(widest / uPlot.pxRatio) + 16);
}

function lineOf(line, options) {
  return {
    label: line.label,
    stroke: palette[line.color],
    width: line.width ?? 1.75,
    dash: line.dash,
    fill: line.area ? palette.area : undefined,
    paths: line.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
    points: { show: line.points ?? false, size: 4, fill: palette[line.color] },
    value: (_, value, __, place) => {
      if (value !== null && value !== undefined) return options.show(value);
      if (place !== null && place !== undefined) return '–';
      const known = line.values.filter((one) => one !== null);
      return known.length === 0 ? '–' : options.show(known.reduce((most, one) => Math.max(most, one)));
    },
  };
}

/** Shows a part of the time in all plots; `null`: all of it. */
function zoom(range) {
  window_ms = range;
  for (const one of drawn) {
    if (one.options.curve || one.made === null) continue;
    one.made.setScale('x', { min: (range ?? [0])[0], max: range === null ? data.series.end : range[1] });
  }
  document.querySelectorAll('[data-zoom]').forEach((part) => {
    part.textContent = range === null ? 'The whole time is shown.' : `Shown: ${clock(range[0])} to ${clock(range[1])}.`;
  });
  if (range === null)
    document.querySelectorAll('[data-part]').forEach((select) => {
      select.value = '0';
    });
}

/** Where a fault is on the canvas: its begin, the begin of its way back, its end. */
function placeOf(u, band) {
  const [left, right] = [u.bbox.left, u.bbox.left + u.bbox.width];
  const at = (ms) => Math.min(right, Math.max(left, u.valToPos(ms, 'x', true)));
  const end = band.healed ?? band.until ?? data.series.end;
  return {
    from: at(band.from),
    until: at(band.until ?? end),
    healed: at(end),
    out: u.valToPos(end, 'x', true) < left || u.valToPos(band.from, 'x', true) > right,
  };
}

function shadeFaults(u) {
  const { ctx, bbox } = u;
  ctx.save();
  for (const band of data.bands) {
    const { from, until, healed, out } = placeOf(u, band);
    if (out) continue;
    ctx.fillStyle = palette.shade;
    ctx.fillRect(from, bbox.top, Math.max(until - from, 1), bbox.height);
    ctx.fillStyle = palette.after;
    ctx.fillRect(until, bbox.top, Math.max(healed - until, 0), bbox.height);
    ctx.fillStyle = palette.fault;
    ctx.fillRect(from, bbox.top, Math.max(1, uPlot.pxRatio), bbox.height);
  }
  ctx.restore();
}

/** The name of each fault, or its number where the name has no room; the list above the plots says which is which. */
function nameFaults(u) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.font = `600 ${11 * uPlot.pxRatio}px system-ui, sans-serif`;
  ctx.fillStyle = palette.fault;
  ctx.textBaseline = 'bottom';
  ctx.textAlign = 'left';
  const places = data.bands
    .map((band, place) => ({ ...placeOf(u, band), name: band.name, place }))
    .filter((one) => !one.out);
  const gap = 4 * uPlot.pxRatio;
  let free = bbox.left;
  places.forEach((one, order) => {
    const room = (places[order + 1]?.from ?? bbox.left + bbox.width) - Math.max(one.from, free);
    const text = [one.name, `${one.place + 1}`].find((candidate) => ctx.measureText(candidate).width + gap <= room);
    if (text === undefined) return;
    const at = Math.max(one.from, free);
    ctx.fillText(text, at, bbox.top - 1);
    free = at + ctx.measureText(text).width + gap;
  });
  ctx.restore();
}

function fitPlots(width) {
  for (const one of drawn) {
    const wanted = width ?? widthOf(one);
    if (one.made !== null && one.made.width !== wanted) one.made.setSize({ width: wanted, height: one.made.height });
  }
}
