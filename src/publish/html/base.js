'use strict';
/* What all parts share: the data, elements, words for numbers and instants, sections, the theme. */

const data = JSON.parse(document.getElementById('data').textContent);

/** An element. Texts become text nodes, never markup; `null` children are left out. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

/** A number of things with the right word. */
function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

function number(value) {
  return value.toLocaleString('en', { maximumFractionDigits: 2 });
}

/** Milliseconds as everywhere in dagstorm, to about three digits: `340ms`, `2.31s`, `1m05s`, `2h05m`. */
function span(ms) {
  const sign = ms < 0 ? '−' : '';
  const size = Math.abs(ms);
  const grains = [
    [999.5, 1],
    [9995, 10],
    [59950, 100],
    [3599500, 1000],
    [86370000, 60000],
  ];
  const grain = grains.find(([below]) => size < below)?.[1] ?? 3600000;
  const whole = Math.round(size / grain) * grain;
  if (whole === 0) return '0s';
  if (whole < 1000) return `${sign}${whole}ms`;
  let rest = whole;
  let text = '';
  for (const [unit, length] of [
    ['d', 86400000],
    ['h', 3600000],
    ['m', 60000],
  ]) {
    if (whole < length) continue;
    const count = String(Math.floor(rest / length));
    text += `${text === '' ? count : count.padStart(2, '0')}${unit}`;
    rest %= length;
    if (rest === 0) return sign + text;
  }
  return `${sign}${text}${String(rest / 1000).padStart(text === '' ? 1 : 2, '0')}s`;
}

/** Milliseconds from the start as a clock that began at zero: `0:02.5`, `1:02:03`. */
function clock(ms, digits = 1) {
  const sign = ms < 0 ? '−' : '';
  const scale = 10 ** digits;
  const ticks = Math.round((Math.abs(ms) / 1000) * scale);
  const seconds = Math.floor(ticks / scale);
  const two = (part) => String(part).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const head = hours > 0 ? `${hours}:${two(minutes)}` : `${minutes}`;
  const tail = digits > 0 ? `.${String(ticks % scale).padStart(digits, '0')}` : '';
  return `${sign}${head}:${two(seconds % 60)}${tail}`;
}

/** An instant of the page as a date in UTC. */
function date(ms) {
  return new Date(data.origin + ms)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, ' UTC');
}

const spelled = { falselyFailed: 'falsely failed', reexecuted: 're-executed' };

/** `resolvedAbsent` as `resolved absent`. */
function words(name) {
  return (
    spelled[name] ??
    name
      .replace(/([A-Z])/g, ' $1')
      .toLowerCase()
      .trim()
  );
}

/** What an audit says, as a sentence; keys by their number alone. */
function sentence(text) {
  const plain = text.replaceAll(`${data.scenario}/${data.generation}/`, '#');
  if (plain === '') return 'Nothing was found.';
  const whole = /^[a-z]+[ ,:]/.test(plain) ? plain[0].toUpperCase() + plain.slice(1) : plain;
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** The tail of an ARN: what people call a task. */
function short(arn) {
  return arn.slice(arn.lastIndexOf('/') + 1);
}

/** The id of a run, as a link to Dagster's page of it where there is one. Nobody there learns where the link was. */
function runLink(id, text = id) {
  const shown = element('code', {}, text);
  if (!data.runsAt || id === '') return shown;
  const href = data.runsAt + encodeURIComponent(id);
  return element('a', { href, rel: 'noreferrer noopener', title: `Run ${id} in Dagster` }, shown);
}

/** A mark with a word beside it, so that the colour is never the only sign. */
function mark(kind, text) {
  const signs = { good: '✓', bad: '✕', doubt: '?', note: '↻', off: '–' };
  return element(
    'span',
    { class: `mark ${kind}` },
    element('span', { class: 'sign', 'aria-hidden': 'true' }, signs[kind]),
    text,
  );
}

/** Adds a section with its heading to the page and to the list of contents. */
function section(id, title, short_title, ...children) {
  const heading = element('h2', { id: `${id}-heading` }, title);
  const made = element('section', { id, 'aria-labelledby': `${id}-heading`, tabindex: '-1' }, heading, ...children);
  document.getElementById('main').append(made);
  document.getElementById('contents').append(element('li', {}, element('a', { href: `#${id}` }, short_title ?? title)));
  return made;
}

/** A part that can scroll sideways by itself, also by keyboard: the page never does. */
function scroller(label, ...children) {
  return element('div', { class: 'scroller', role: 'region', 'aria-label': label, tabindex: '0' }, ...children);
}

/** A control below its label. */
function field(label, control, style = '') {
  return element('div', { class: `field ${style}` }, element('label', { for: control.id }, label), control);
}

/** Terms with what they stand for. */
function facts(pairs, attributes = {}) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined);
  return element(
    'dl',
    { class: 'facts', ...attributes },
    shown.map(([term, value]) => element('div', {}, element('dt', {}, term), element('dd', {}, value))),
  );
}

/** Those who draw with colours of their own (plots), told when these change. */
const recolor = new Set();
const themes = ['system', 'light', 'dark'];

function setTheme(name) {
  const root = document.documentElement;
  if (name === 'system') root.removeAttribute('data-theme');
  else root.setAttribute('data-theme', name);
  const button = document.getElementById('theme');
  button.textContent = `Theme: ${name}`;
  button.dataset.name = name;
  recolor.forEach((redraw) => redraw());
}

function nextTheme() {
  const now = themes.indexOf(document.getElementById('theme').dataset.name);
  setTheme(themes[(now + 1) % themes.length]);
}

/** A colour of the style as it is now. */
function color(name, alpha = 1) {
  const probe = element('i', {});
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const parts = getComputedStyle(probe)
    .color.match(/[\d.]+/g)
    .slice(0, 3);
  probe.remove();
  return `rgba(${parts.join(', ')}, ${alpha})`;
}
