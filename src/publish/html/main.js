/* Puts the page together, in the order in which it is read. */

document.querySelector('noscript').remove();
document.getElementById('theme').addEventListener('click', nextTheme);
setTheme('system');
showVerdict();
showFindings();
showRest();
showStory();
showLanes();
showKeys();
showFaults();
showEnvironment();
document.getElementById('foot').textContent =
  `Rendered by dagstorm from the journal and the census of ${date(data.censusAt)}. report.json, report.md, keys.csv, junit.xml and history.jsonl stand beside it; from history.jsonl alone dagstorm audit computes the verdict again.`;

drawPlots();
recolor.add(drawPlots);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawPlots);
new ResizeObserver(() => fitPlots()).observe(document.getElementById('main'));

/* Paper is light and of one width, whatever the screen is. */
let theme_before = null;
function beforePrint() {
  if (theme_before !== null) return;
  theme_before = document.getElementById('theme').dataset.name;
  setTheme('light');
  fitPlots(660);
}
function afterPrint() {
  if (theme_before === null) return;
  setTheme(theme_before);
  theme_before = null;
  fitPlots();
}
addEventListener('beforeprint', beforePrint);
addEventListener('afterprint', afterPrint);
matchMedia('print').addEventListener('change', (change) => (change.matches ? beforePrint() : afterPrint()));

/* A link to a part of the page was there before the part. */
if (location.hash !== '') document.getElementById(location.hash.slice(1))?.scrollIntoView();
document.documentElement.dataset.ready = 'yes';
