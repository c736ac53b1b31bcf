/* What a person asks first: four numbers, each with how it differs from the last run. */

const verdicts = { Passed: ['good', '✓'], Failed: ['bad', '✕'], Unknown: ['doubt', '?'], Stopped: ['doubt', '–'] };
const changes = { better: ['good', '✓ '], worse: ['bad', '! '], same: ['quiet', ''], unknown: ['quiet', ''] };

function badge(verdict) {
  const [, sign] = verdicts[verdict];
  return element('p', { class: 'badge' }, element('span', { 'aria-hidden': 'true' }, sign), ` ${verdict}`);
}

function verdictMark(verdict) {
  return mark(verdicts[verdict][0], verdict);
}

/** How a number differs, in words; worse and better are said by the words, the colour repeats it. */
function changeOf(change) {
  const [kind, sign] = changes[change.sort];
  return element('span', { class: `change ${kind}` }, element('span', { 'aria-hidden': 'true' }, sign), change.words);
}

function figures(list) {
  return element(
    'dl',
    { class: 'figures' },
    list.map((figure) =>
      element(
        'div',
        {},
        element('dt', {}, figure.name),
        element('dd', { class: 'value' }, figure.value === '–' ? 'not measured' : figure.value),
        figure.change ? element('dd', {}, changeOf(figure.change)) : null,
      ),
    ),
  );
}
