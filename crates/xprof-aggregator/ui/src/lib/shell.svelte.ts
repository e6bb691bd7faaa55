/** What pages and the frame around them share: the thing that is selected, and what is said to screen readers. */

import { getContext, setContext } from 'svelte';
import type { Category } from './categories';
import type { Load } from './load.svelte';

/** A number or a word about a thing, what can be done with it, and the same with all of its digits. */
export type Fact = readonly [name: string, value: string, act?: { readonly title: string; readonly run: () => void }, full?: string];

export interface Link {
  readonly title: string;
  readonly href: string;
}

/** A thing that the inspector shows: an op, a kernel, an event. */
export interface Subject {
  readonly kind: string;
  readonly title: string;
  readonly category?: Category;
  readonly facts: readonly Fact[];
  /** What is read less often. */
  readonly more?: { readonly title: string; readonly facts: readonly Fact[] };
  /** A long text: an expression, a stack. */
  readonly text?: string;
  /** Where else it is seen. */
  readonly links?: readonly Link[];
}

export class Shell {
  /** The run's compiled programs, as the server lists them. */
  modules: Load<string> | undefined;
  subject: Subject | undefined = $state.raw();
  /** Whether the inspector is open. */
  isInspecting = $state(true);
  said = $state('');

  inspect(subject: Subject | undefined): void {
    this.subject = subject;
  }

  /** Told to screen readers alone. */
  say(text: string): void {
    this.said = text;
  }
}

/** Names of programs, `name(id)`. */
export function modulesOf(list: Load<string> | undefined): string[] {
  return (list?.body ?? '').split(',').filter((name) => name && name !== 'NO_MODULE');
}

const KEY = Symbol('shell');
export const provideShell = (): Shell => setContext(KEY, new Shell());
export const useShell = (): Shell => getContext<Shell>(KEY);
