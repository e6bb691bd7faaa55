/** What pages and the frame around them share: the thing that is selected, and what is said to screen readers. */

import { getContext, setContext } from 'svelte';
import type { Load } from './load.svelte';

/** A thing that the inspector shows: an op, a kernel, a step. */
export interface Subject {
  readonly kind: string;
  readonly title: string;
  /** Numbers and words about it, in order. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  /** A long text: an expression, a stack. */
  readonly text?: string;
  /** Where else it is seen. */
  readonly links?: readonly { readonly title: string; readonly href: string }[];
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
