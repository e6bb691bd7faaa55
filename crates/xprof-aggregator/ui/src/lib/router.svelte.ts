/** The browser's address as reactive state: read `place`, write with `set` and `go`. */

import { PAGES } from '../pages/registry';
import { fromOld } from './oldlinks';
import { change, FIRST_PAGE, format, parse, shared, type Changes, type Place, type View } from './url';

export class Router {
  /** The directory of the page, with any prefix that a proxy put before it. Taken once: the address changes, the root does not. */
  readonly root = new URL('./', document.baseURI).href;
  place: Place = $state.raw({ run: '', page: FIRST_PAGE, view: {} });

  constructor() {
    this.#read();
    addEventListener('popstate', () => this.#read());
    document.addEventListener('click', (event) => this.#follow(event));
  }

  get view(): View {
    return this.place.view;
  }

  /** Changes keys of this view. Selections replace the history entry; an explicit search pushes one. */
  set(changes: Changes, how: 'replace' | 'push' = 'replace'): void {
    this.go({ ...this.place, view: change(this.view, changes) }, how);
  }

  go(place: Place, how: 'replace' | 'push' = 'push'): void {
    const href = this.root + format(place);
    if (href !== location.href) history[`${how}State`](null, '', href);
    this.place = place;
  }

  /** A link to another page of this run, with what both pages share and the keys given. */
  href(page: string, changes: Changes = {}, run = this.place.run): string {
    return this.root + format({ run, page, view: change(shared(this.view), changes) });
  }

  #read(): void {
    const address = location.href.startsWith(this.root) ? location.href.slice(this.root.length) : '';
    const place = parse(address);
    if (place) this.place = place;
    else this.go(fromOld(address, PAGES) ?? { run: '', page: FIRST_PAGE, view: {} }, 'replace');
  }

  /** Links inside the page need no reload. */
  #follow(event: MouseEvent): void {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    const plain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    if (!link || !plain || event.defaultPrevented || link.target || link.hasAttribute('download')) return;
    const place = link.href.startsWith(this.root) ? parse(link.href.slice(this.root.length)) : undefined;
    if (!place) return;
    event.preventDefault();
    this.go(place);
  }
}
