/** The address of a view: `<root>/r/<run>/<page>?keys`. It is the only state that outlives a reload. */

/**
 * Keys of the query; a missing one is a default.
 *
 * `h` hosts, comma-separated (none: all) · `vs`, `vsh` baseline run and its hosts · `m` module `name(id)` · `op` selected op ·
 * `k` kernel · `buf` buffer · `step` step · `g` group by · `s` sort `-time,rank` · `f` filter · `c` columns · `q` search ·
 * `t` time window `start~end` in ns from the session's start · `x`, `y` axis ranges · `d` graph width · `fold` collapsed rows ·
 * `path` a session outside of the log directory
 */
export type View = Readonly<Record<string, string>>;

export interface Place {
  /** Empty where no run is chosen. */
  readonly run: string;
  /** A key of the page registry. */
  readonly page: string;
  readonly view: View;
}

/** What changes in a view; `undefined` or an empty text takes a key away. */
export type Changes = Readonly<Record<string, string | undefined>>;

/** Where one arrives without saying where to. */
export const FIRST_PAGE = 'overview';

/** Keys that name the same thing on every page, and so travel with a link from one page to another. */
const SHARED = ['h', 'vs', 'vsh', 'path'];

/** Reads an address relative to the root: `r/run/page?h=a`. */
export function parse(address: string): Place | undefined {
  const { pathname, searchParams } = new URL(address, 'http://root/');
  const parts = pathname.split('/').slice(1);
  if (parts[0] !== 'r' || parts.length < 2) return undefined;
  // A proxy may have decoded the slashes of a run's name.
  const [page, run] = parts.length === 2 ? [FIRST_PAGE, parts.slice(1)] : [parts.at(-1) || FIRST_PAGE, parts.slice(1, -1)];
  return { run: run.map(decode).join('/'), page, view: Object.fromEntries(searchParams) };
}

/** The address relative to the root. Keys are sorted, so that equal views have equal addresses. */
export function format({ run, page, view }: Place): string {
  if (!run) return './';
  const query = Object.entries(view)
    .filter(([, value]) => value !== '')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${encode(value)}`)
    .join('&');
  return `r/${encodeURIComponent(run)}/${page}${query && `?${query}`}`;
}

export function change(view: View, changes: Changes): View {
  return Object.fromEntries(Object.entries({ ...view, ...changes }).filter((entry): entry is [string, string] => !!entry[1]));
}

/** What another page takes over from this view. */
export function shared(view: View): View {
  return Object.fromEntries(Object.entries(view).filter(([key]) => SHARED.includes(key)));
}

/** The hosts that a view names; none means all of them. */
export function hostsOf(view: View): string[] {
  return view['h'] ? view['h'].split(',').map(decode) : [];
}

/** The value of `h`. A host's name may hold a comma. */
export function hostsKey(hosts: readonly string[]): string {
  return hosts.map((host) => host.replace(/[%,]/g, encodeURIComponent)).join(',');
}

/** Leaves readable what a query may hold unescaped. */
function encode(value: string): string {
  return encodeURIComponent(value).replace(/%(?:2C|3A|2F|40|28|29|7E)/g, decodeURIComponent);
}

/** What is no valid escape stays as it is. */
export function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
