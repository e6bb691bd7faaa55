/** Asks the server. Every request can be aborted, and every failure says what a person needs to know. */
import { decode } from './url';

/** An answer and what its headers say about it. */
export interface Answer<T> {
  readonly body: T;
  /** Absent if all hosts are in the answer. */
  readonly partial?: Partial;
  readonly requestId: string;
}

export interface Partial {
  /** Hosts in the answer, of how many asked for. */
  readonly nOk: number;
  readonly nHosts: number;
  readonly failedHosts: readonly string[];
  readonly reason: string;
}

/** A request without an answer. `status` 0 means that the server was not reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly requestId = '',
    readonly url = '',
  ) {
    super(message);
  }
}

export type Params = Readonly<Record<string, string | number | boolean | undefined>>;

export class Api {
  /** `always` goes with every request. */
  constructor(
    readonly root: string,
    readonly always: () => Params = () => ({}),
  ) {}

  /** The address of a route, for links and downloads. */
  url(route: string, params: Params = {}): string {
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries({ ...this.always(), ...params })) if (value !== undefined) query.set(key, String(value));
    return this.root + route + (query.size ? `?${query}` : '');
  }

  json<T>(route: string, params: Params, signal: AbortSignal): Promise<Answer<T>> {
    return this.#ask(route, params, signal, async (response) => {
      const text = await response.text();
      try {
        return JSON.parse(text) as T;
      } catch {
        throw new Error(`the answer is no JSON; it begins with ${JSON.stringify(text.slice(0, 80))}`);
      }
    });
  }

  text(route: string, params: Params, signal: AbortSignal): Promise<Answer<string>> {
    return this.#ask(route, params, signal, (response) => response.text());
  }

  bytes(route: string, params: Params, signal: AbortSignal): Promise<Answer<ArrayBuffer>> {
    return this.#ask(route, params, signal, (response) => response.arrayBuffer());
  }

  async #ask<T>(route: string, params: Params, signal: AbortSignal, read: (response: Response) => Promise<T>): Promise<Answer<T>> {
    const url = this.url(route, params);
    let requestId = '';
    let status = 0;
    try {
      const response = await fetch(url, { signal });
      status = response.status;
      requestId = response.headers.get('x-request-id') ?? '';
      if (!response.ok) throw new ApiError(status, (await response.text()) || response.statusText, requestId, url);
      return { body: await read(response), partial: partial(response.headers), requestId };
    } catch (error) {
      if (error instanceof ApiError || signal.aborted) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new ApiError(status, status ? `The answer cannot be read: ${why}` : `The server was not reached: ${why}`, requestId, url);
    }
  }
}

function partial(headers: Headers): Partial | undefined {
  const [nOk, nHosts] = (headers.get('x-xprof-partial') ?? '').split('/').map(Number);
  if (!nHosts || nOk === undefined) return undefined;
  return {
    nOk,
    nHosts,
    failedHosts: (headers.get('x-xprof-failed-hosts') ?? '').split(',').filter(Boolean).map(decode),
    reason: headers.get('x-xprof-reason') ?? '',
  };
}
