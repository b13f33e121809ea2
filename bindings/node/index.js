// Many parallel generations of one language model in one process: libpaceline for Node.
//
//   const engine = await Engine.open("model.gguf", { nStreams: 20, ctxTokens: 2048 });
//   for await (const piece of await engine.submit("Why a paceline?", { maxTokens: 64 })) ...
//   engine.close();
import { createRequire } from "node:module";

const addon = createRequire(import.meta.url)("./build/paceline.node");

/** Of the library. */
export const version = addon.version;

/** A promise that can be kept from outside, and made anew. */
class News {
  #next = News.#make();

  static #make() {
    const made = {};
    made.promise = new Promise((resolve) => (made.resolve = resolve));
    return made;
  }

  /** To be had before one looks, and awaited where nothing was there. */
  get changed() {
    return this.#next.promise;
  }

  tell() {
    const told = this.#next;
    this.#next = News.#make();
    told.resolve();
  }
}

/** A loaded model, and all the memory it will ever use. */
export class Engine {
  #raw;
  #news = new News();
  #line = Promise.resolve();

  /**
   * options: nStreams, ctxTokens, kvTokens, nThreads, queueRequests, queueTokens, backend,
   * packCache, as in pl_params of paceline.h. Loads on a thread of its own.
   */
  static async open(modelPath, options = {}) {
    const engine = new Engine();
    engine.#raw = await addon.open({ ...options, modelPath }, () => engine.#news.tell());
    return engine;
  }

  /** Int32Array, the begin token first where the model wants one. */
  tokenize(text, { special = false } = {}) {
    return addon.tokenize(this.#raw, text, special);
  }

  /** Int32Array of a conversation, with the model's own chat template. */
  chatPrompt(messages, variables = {}) {
    const conversation = { messages, add_generation_prompt: true, ...variables };
    return addon.chatPrompt(this.#raw, JSON.stringify(conversation), false);
  }

  detokenize(tokens) {
    return addon.detokenize(this.#raw, Int32Array.from(tokens));
  }

  #tokens(prompt) {
    if (typeof prompt === "string") return this.tokenize(prompt);
    if (Array.isArray(prompt) && typeof prompt[0] === "object") return this.chatPrompt(prompt);
    return Int32Array.from(prompt);
  }

  /**
   * A Stream, or an error with code "queue_full". prompt: a text, ids, or messages of a chat.
   * options: maxTokens, temperature, topK, topP, minP, seed, stop, and one of jsonSchema, regex,
   * gbnf and lark.
   */
  trySubmit(prompt, options = {}) {
    const { jsonSchema } = options;
    const schema = typeof jsonSchema === "object" ? JSON.stringify(jsonSchema) : jsonSchema;
    const tokens = this.#tokens(prompt);
    const raw = addon.submit(this.#raw, tokens, { ...options, jsonSchema: schema });
    return new Stream(raw, this.#news);
  }

  /** The same as soon as the queue has room, in order of arrival. */
  submit(prompt, options = {}) {
    const mine = this.#line.then(() => this.#submitWhenFree(prompt, options));
    this.#line = mine.catch(() => {});
    return mine;
  }

  async #submitWhenFree(prompt, options) {
    for (;;) {
      const { changed } = this.#news;
      try {
        return this.trySubmit(prompt, options);
      } catch (error) {
        if (error.code !== "queue_full") throw error;
      }
      await changed;
    }
  }

  /** Limits and memory. */
  get plan() {
    return addon.plan(this.#raw);
  }

  get stats() {
    return addon.stats(this.#raw);
  }

  /** Ends every stream and gives all memory back. */
  close() {
    addon.close(this.#raw);
    this.#news.tell();
  }
}

/** One reply: an async iterator over pieces of text. tokens: so far; finish, usage: at its end. */
export class Stream {
  #raw;
  #news;
  tokens = [];
  finish = null;
  usage = null;

  constructor(raw, news) {
    this.#raw = raw;
    this.#news = news;
  }

  #take() {
    const event = addon.next(this.#raw);
    if (event?.token !== undefined) this.tokens.push(event.token);
    if (event?.finish) {
      const { finish, nPrompt, nCached, nReply } = event;
      this.finish = finish;
      this.usage = { nPrompt, nCached, nReply };
    }
    return event;
  }

  async *[Symbol.asyncIterator]() {
    try {
      while (!this.finish && this.#raw) {
        const { changed } = this.#news;
        const event = this.#take();
        if (event === undefined) this.finish = "cancelled"; // with its engine
        else if (event === null) await changed;
        else if (event.text) yield event.text;
      }
    } finally {
      this.close(); // also where the loop is left before the end
    }
  }

  async text() {
    let all = "";
    for await (const piece of this) all += piece;
    return all;
  }

  /** Asks the engine to end it within one step; what came until then can be read. */
  cancel() {
    if (this.#raw) addon.cancel(this.#raw);
  }

  /** Cancels if need be, and gives it back. */
  close() {
    if (!this.#raw) return;
    addon.closeStream(this.#raw);
    this.#raw = null;
    this.#news.tell();
  }
}
