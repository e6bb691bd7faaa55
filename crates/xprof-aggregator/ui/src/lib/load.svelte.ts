/** A request that follows reactive state: asks again when what it reads changes, aborts what is no longer wanted. */

import { ApiError, type Answer, type Partial } from './api';

export class Load<T> {
  /** The last answer; it stays while the next one is on its way. */
  body: T | undefined = $state.raw();
  partial: Partial | undefined = $state.raw();
  error: ApiError | undefined = $state.raw();
  requestId = $state('');
  isLoading = $state(true);
  /** When the request began, in `performance.now` milliseconds. */
  startedAt = $state(0);
  #again = $state(0);
  #abort = new AbortController();

  /** Must be called while a component starts: the request ends with the component. */
  constructor(ask: (signal: AbortSignal) => Promise<Answer<T>>) {
    $effect(() => {
      void this.#again;
      const abort = (this.#abort = new AbortController());
      void this.#run(ask(abort.signal), abort.signal);
      return () => abort.abort();
    });
  }

  retry(): void {
    this.#again += 1;
  }

  cancel(): void {
    this.#abort.abort();
    this.isLoading = false;
    this.error = new ApiError(0, 'You cancelled the request.');
  }

  async #run(answer: Promise<Answer<T>>, signal: AbortSignal): Promise<void> {
    this.isLoading = true;
    this.error = undefined;
    this.startedAt = performance.now();
    try {
      const { body, partial, requestId } = await answer;
      if (signal.aborted) return;
      Object.assign(this, { body, partial, requestId });
    } catch (error) {
      if (signal.aborted) return;
      this.error = error instanceof ApiError ? error : new ApiError(0, String(error));
    }
    this.isLoading = false;
  }
}

export function load<T>(ask: (signal: AbortSignal) => Promise<Answer<T>>): Load<T> {
  return new Load(ask);
}
