/** The colours of the page for canvases, which cannot read style sheets, kept true when the theme changes. */

import type { Theme } from './engine/overlay';
import { palette, type Palette } from './engine/palette';

const TOKENS = ['text', 'muted', 'line', 'accent', 'warn', 'raised', 'background'] as const;

export interface Colours {
  readonly theme: Theme;
  readonly palette: Palette;
}

/** Calls `use` with the colours now and whenever they change, until the function returned is called. */
export function watchColours(element: HTMLElement, use: (colours: Colours) => void): () => void {
  const read = () => use(colours(element));
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const observer = new MutationObserver(read);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
  dark.addEventListener('change', read);
  read();
  return () => {
    observer.disconnect();
    dark.removeEventListener('change', read);
  };
}

function colours(element: HTMLElement): Colours {
  const probe = document.createElement('i');
  element.append(probe);
  const style = getComputedStyle(probe);
  const of = (token: string) => {
    probe.style.setProperty('color', `var(--${token})`);
    return hex(style.color);
  };
  const entries = TOKENS.map((token) => [token, of(token === 'background' ? 'bg' : token)]);
  const font = `11px ${style.fontFamily}`;
  probe.remove();
  const theme = { ...Object.fromEntries(entries), font } as Theme;
  const isDark = parseInt(theme.background.slice(1, 3), 16) < 128;
  return { theme, palette: palette(isDark, theme.background) };
}

/** `rgb(1, 2, 3)` → `#010203` */
function hex(colour: string): string {
  const parts = colour.match(/[\d.]+/g)?.slice(0, 3) ?? [];
  return `#${parts.map((part) => Math.round(Number(part)).toString(16).padStart(2, '0')).join('')}`;
}
