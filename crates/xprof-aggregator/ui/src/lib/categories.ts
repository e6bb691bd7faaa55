/** The one table of category colours: every page and the timeline take theirs from here. Colour is never alone: see `code`. */

export interface Category {
  readonly key: string;
  readonly code: string;
  readonly title: string;
  readonly light: string;
  readonly dark: string;
}

/** In the order of charts. No two are closer than 15 CIEDE2000 for any common kind of sight; all stand out from the background. */
export const CATEGORIES = [
  { key: 'matmul', code: 'MM', title: 'Matmul and convolution', light: '#113388', dark: '#8855ee' },
  { key: 'elementwise', code: 'EW', title: 'Loop fusion and elementwise', light: '#0099dd', dark: '#55bbaa' },
  { key: 'reduction', code: 'RD', title: 'Reduction and input fusion', light: '#4455dd', dark: '#118877' },
  { key: 'movement', code: 'DM', title: 'Data movement', light: '#668800', dark: '#99aa66' },
  { key: 'collective', code: 'CO', title: 'Collectives', light: '#990000', dark: '#eedd22' },
  { key: 'transfer', code: 'HT', title: 'Host transfer', light: '#ee6677', dark: '#ff88ff' },
  { key: 'custom', code: 'CC', title: 'Custom call and kernel', light: '#995577', dark: '#996600' },
  { key: 'control', code: 'CF', title: 'Control flow and other named', light: '#662233', dark: '#bbeebb' },
  { key: 'idle', code: 'ID', title: 'Idle', light: '#c9ced6', dark: '#4a5160' },
  { key: 'rest', code: 'OT', title: 'Rest', light: '#8a93a3', dark: '#ccd2dc' },
] as const satisfies readonly Category[];

export type CategoryKey = (typeof CATEGORIES)[number]['key'];

const BY_KEY = new Map<string, Category>(CATEGORIES.map((c) => [c.key, c]));
const REST = BY_KEY.get('rest')!;

/** What the words of XLA's and frameworks' categories and op names mean. The first that is found decides. */
const WORDS: readonly (readonly [RegExp, CategoryKey])[] = [
  [/\bidle\b/, 'idle'],
  [/all-?reduce|psum|all-?gather|all-?to-?all|reduce-?scatter|collective|permute|nccl|rccl|megascale/, 'collective'],
  [/infeed|outfeed|\bsend|\brecv|host[- ](send|recv|transfer)|memcpy ?[hd]to[hd]|host compute|input/, 'transfer'],
  [/convolution|conv\d?d?\b|\bdot\b|dot_general|gemm|matmul|einsum|output fusion/, 'matmul'],
  [/custom[- ]?call|custom[- ]fusion|kernel|triton|pallas/, 'custom'],
  [/copy|transpose|reshape|bitcast|data formatting|format|slice|concatenate|pad\b|gather|scatter|memset|memcpy|broadcast/, 'movement'],
  [/reduce|reduction|sort|cumsum|softmax|norm/, 'reduction'],
  [/while|conditional|\bcall\b|tuple|parameter|control|async/, 'control'],
  [/fusion|elementwise|loop|add|multiply|subtract|divide|select|convert|exponential|tanh|compare|rng|iota|constant/, 'elementwise'],
];

/** The category of an op, from the server's category if there is one, else from its name. */
export function categoryOf(text: string): Category {
  const lower = text.toLowerCase();
  if (lower === 'input fusion') return BY_KEY.get('reduction')!;
  const word = WORDS.find(([pattern]) => pattern.test(lower));
  return word ? BY_KEY.get(word[1])! : REST;
}

export function category(key: CategoryKey): Category {
  return BY_KEY.get(key) ?? REST;
}

/** Black or white, whichever is read more easily on a colour `#rrggbb`. */
export function ink(colour: string): '#000000' | '#ffffff' {
  const [r, g, b] = [1, 3, 5].map((at) => (parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? '#000000' : '#ffffff';
}
