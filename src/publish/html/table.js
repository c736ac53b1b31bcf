/* A table to sort, search, filter and page. Rows are numbers; columns know what to show of them. */

let tables = 0;

/**
 * options: { caption, noun: [one, many], count, columns, search?: (row) => lower-case text, filters?, size?, empty?, row?: (row, element) }
 * A column: { label, of: (row) => value to sort by, cell?: (row) => what to show, kind?: 'number' | 'text', wide? }
 * A filter: { label, options: [text], accepts: (row, option number from 1) => boolean }
 */
class Table {
  constructor(options) {
    Object.assign(this, { size: 50, filters: [], empty: 'None.' }, options);
    this.id = `table-${(tables += 1)}`;
    this.page = 0;
    this.sorted = null;
    this.chosen = this.filters.map(() => 0);
    this.rows = Array.from({ length: this.count }, (_, row) => row);
    this.root = element('div', { class: 'table' });
    this.root.append(...this.controls(), this.frame(), this.pager());
    this.show();
  }

  controls() {
    this.status = element('p', { class: 'status', role: 'status', 'aria-live': 'polite' });
    const needed = this.count > 5;
    if (!needed) return [];
    const parts = [];
    if (this.search) {
      this.input = element('input', {
        type: 'search',
        id: `${this.id}-search`,
        autocomplete: 'off',
        spellcheck: 'false',
        oninput: () => this.later(),
      });
      parts.push(field(this.search_label ?? `Search ${this.noun[1]}`, this.input, 'grow'));
    }
    this.filters.forEach((filter, place) => {
      const id = `${this.id}-filter-${place}`;
      const options = ['all', ...filter.options].map((text, value) => element('option', { value }, text));
      const select = element('select', { id, onchange: () => this.filter(place, Number(select.value)) }, options);
      parts.push(field(filter.label, select));
    });
    return [element('div', { class: 'controls' }, parts), this.status];
  }

  frame() {
    this.heads = this.columns.map((column, place) => {
      const arrow = element('span', { class: 'arrow', 'aria-hidden': 'true' });
      const button = element('button', { type: 'button', onclick: () => this.sort(place) }, column.label, arrow);
      return element(
        'th',
        { scope: 'col', role: 'columnheader', 'aria-sort': 'none', class: column.kind ?? 'text' },
        button,
      );
    });
    this.body = element('tbody', { role: 'rowgroup' });
    const head = element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, this.heads));
    const caption = element('caption', { class: 'unseen' }, this.caption);
    return scroller(
      `${this.caption}, table`,
      element('table', { role: 'table', class: this.style ?? '' }, caption, head, this.body),
    );
  }

  pager() {
    const button = (label, text, to) =>
      element('button', { type: 'button', 'aria-label': label, onclick: () => this.go(to()) }, text);
    this.first = button('First page', '« First', () => 0);
    this.previous = button('Previous page', '‹ Previous', () => this.page - 1);
    this.next = button('Next page', 'Next ›', () => this.page + 1);
    this.last = button('Last page', 'Last »', () => this.pages() - 1);
    this.place = element('span', { class: 'place' });
    this.nav = element(
      'nav',
      { class: 'pager', 'aria-label': `Pages of ${this.caption}` },
      this.first,
      this.previous,
      this.place,
      this.next,
      this.last,
    );
    return this.nav;
  }

  pages() {
    return Math.max(1, Math.ceil(this.rows.length / this.size));
  }

  /** Not at every key: a person types faster than a hundred thousand rows are read. */
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.select(), 120);
  }

  filter(place, value) {
    this.chosen[place] = value;
    this.select();
  }

  /** The rows that the search and the filters leave. */
  select() {
    const wanted = (this.input?.value ?? '').toLowerCase().trim();
    const needle = this.clean ? this.clean(wanted) : wanted;
    const active = this.filters.map((filter, place) => [filter, this.chosen[place]]).filter(([, value]) => value > 0);
    this.rows = [];
    for (let row = 0; row < this.count; row += 1) {
      if (needle !== '' && !this.search(row).includes(needle)) continue;
      if (active.every(([filter, value]) => filter.accepts(row, value))) this.rows.push(row);
    }
    this.page = 0;
    this.order();
    this.show();
  }

  sort(place) {
    const again = this.sorted?.place === place;
    this.sorted = { place, down: again && !this.sorted.down };
    this.page = 0;
    this.order();
    this.show();
  }

  /** What has no value comes last, whichever way; what is equal keeps the order of the rows. */
  order() {
    if (this.sorted === null) return;
    const { place, down } = this.sorted;
    const values = new Array(this.count);
    for (const row of this.rows) values[row] = this.columns[place].of(row);
    const none = (value) => value === null || value === undefined || value === '';
    this.rows.sort((a, b) => {
      const [one, other] = [values[a], values[b]];
      if (none(one) || none(other)) return none(one) - none(other) || a - b;
      if (one === other) return a - b;
      return one < other === down ? 1 : -1;
    });
  }

  go(page) {
    this.page = Math.min(Math.max(page, 0), this.pages() - 1);
    this.show();
  }

  /** Shows the page on which a row is, without search and filters if they hide it, and moves there. */
  reveal(row) {
    if (!this.rows.includes(row)) {
      if (this.input) this.input.value = '';
      this.chosen = this.filters.map(() => 0);
      this.root.querySelectorAll('select').forEach((select) => {
        select.value = '0';
      });
      this.select();
    }
    this.go(Math.floor(this.rows.indexOf(row) / this.size));
  }

  show() {
    const from = this.page * this.size;
    const shown = this.rows.slice(from, from + this.size);
    this.body.replaceChildren(...shown.map((row) => this.line(row)));
    if (shown.length === 0) {
      const text = this.count === 0 ? this.empty : `None of the ${plural(this.count, ...this.noun)} is like that.`;
      this.body.append(
        element(
          'tr',
          { role: 'row' },
          element('td', { role: 'cell', colspan: this.columns.length, class: 'nothing' }, text),
        ),
      );
    }
    const all = this.rows.length === this.count ? '' : ` of ${number(this.count)}`;
    this.status.textContent = `${number(this.rows.length)}${all} ${this.rows.length === 1 && all === '' ? this.noun[0] : this.noun[1]}`;
    this.place.textContent = `${number(from + 1)}–${number(from + shown.length)} of ${number(this.rows.length)}, page ${number(this.page + 1)} of ${number(this.pages())}`;
    this.nav.hidden = this.rows.length <= this.size;
    this.enable();
    this.heads.forEach((head, place) => {
      const is = this.sorted?.place === place;
      head.setAttribute('aria-sort', is ? (this.sorted.down ? 'descending' : 'ascending') : 'none');
      head.querySelector('.arrow').textContent = is ? (this.sorted.down ? '▼' : '▲') : '';
    });
  }

  /** `aria-disabled`, not `disabled`: whoever has just pressed it keeps the focus. */
  enable() {
    const [isFirst, isLast] = [this.page === 0, this.page === this.pages() - 1];
    for (const [button, off] of [
      [this.first, isFirst],
      [this.previous, isFirst],
      [this.next, isLast],
      [this.last, isLast],
    ]) {
      button.setAttribute('aria-disabled', String(off));
    }
  }

  line(row) {
    const cells = this.columns.map((column) => {
      const shown = column.cell ? column.cell(row) : column.of(row);
      const isNone = shown === null || shown === undefined || shown === '';
      return element(
        'td',
        { role: 'cell', class: `${column.kind ?? 'text'}${isNone ? ' none' : ''}`, 'data-label': column.label },
        isNone ? '–' : shown,
      );
    });
    const line = element('tr', { role: 'row' }, cells);
    this.row?.(row, line);
    return line;
  }
}
