/** Light, dark, or as the system says. It belongs to the reader, not to the view, so it is not in the address. */

const STORE = 'theme';
export const THEMES = ['system', 'light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];

const system = matchMedia('(prefers-color-scheme: dark)');

class ThemeState {
  chosen: Theme = $state('system');
  #systemIsDark = $state(system.matches);
  /** For canvases, which do not follow style sheets. */
  readonly isDark = $derived(this.chosen === 'system' ? this.#systemIsDark : this.chosen === 'dark');

  constructor() {
    this.choose(THEMES.find((theme) => theme === localStorage.getItem(STORE)) ?? 'system');
    system.addEventListener('change', () => (this.#systemIsDark = system.matches));
  }

  choose(theme: Theme): void {
    this.chosen = theme;
    if (theme === 'system') localStorage.removeItem(STORE);
    else localStorage.setItem(STORE, theme);
    document.documentElement.dataset['theme'] = theme;
  }

  next(): void {
    this.choose(THEMES[(THEMES.indexOf(this.chosen) + 1) % THEMES.length]!);
  }
}

export const theme = new ThemeState();
