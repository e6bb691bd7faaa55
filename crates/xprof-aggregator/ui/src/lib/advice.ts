/** Advice that the server writes as markup. Only a few harmless elements are kept; all else becomes its text. */

export type Piece = string | { readonly tag: (typeof TAGS)[number] | 'a'; readonly href?: string; readonly inside: readonly Piece[] };

const TAGS = ['b', 'i', 'code', 'ul', 'li', 'p'] as const;

export function readAdvice(markup: string): Piece[] {
  // The document is never shown, so nothing in it is loaded or run.
  return pieces(new DOMParser().parseFromString(markup, 'text/html').body);
}

function pieces(node: Node): Piece[] {
  return [...node.childNodes].flatMap((child): Piece[] => {
    if (child instanceof Text) return [child.data];
    if (!(child instanceof Element) || child.matches('script, style')) return [];
    const inside = pieces(child);
    const tag = TAGS.find((t) => t === child.localName);
    if (tag) return [{ tag, inside }];
    const href = child.getAttribute('href') ?? '';
    // A link must stay on this server; `//host` would leave it.
    return child.localName === 'a' && /^\/(?!\/)/.test(href) ? [{ tag: 'a', href, inside }] : inside;
  });
}
