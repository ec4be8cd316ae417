import { createServer } from 'node:http'
import Database from 'better-sqlite3'
import { Kysely, SqliteDialect } from 'kysely'
import type {
  AlertOptions,
  BatchOptions,
  BatchWorkerOptions,
  CachedQueryOptions,
  CacheOptions,
  CheckOptions,
  CompressOptions,
  CursorPaginateOptions,
  DistributeOptions,
  EntryOptions,
  ExplainOptions,
  FleetOptions,
  GetOrSetManyOptions,
  GetOrSetOptions,
  HttpCacheOptions,
  InstrumentOptions,
  ListQueryOptions,
  MonitorOptions,
  PageSchemaOptions,
  PaginateOptions,
  PaginatorOptions,
  PoolSettings,
  PoolTuning,
  ProfileOptions,
  ReadOptions,
  RelayConnectionOptions,
  RetryOptions,
  RetryTransactionOptions,
  StatsQuery,
  WrapOptions,
} from 'posthaste'
import * as all from 'posthaste'
import type {
  CompressResponsesOptions,
  FreshnessOptions,
  MonitorRequestsOptions,
  PerformanceRoutesOptions,
  ShedOptions,
} from 'posthaste/express'
import * as express from 'posthaste/express'
import * as fastify from 'posthaste/fastify'
import * as hono from 'posthaste/hono'
import { describe, expect, it } from 'vitest'

/** Values that an option of a kind must refuse. */
const wrongValues = {
  function: [null, 5, 'text', {}],
  boolean: [null, 1, 'true', {}],
  string: [null, 5, {}],
  text: [null, 5, '', {}],
  texts: [null, 5, 'text', [5]],
  count: [null, 'text', Number.NaN, -1, 0.5, {}],
  nullableCount: ['text', Number.NaN, -1, 0.5, {}],
  percent: [null, 'text', Number.NaN, -1, {}],
  duration: [null, 5, 'soon', '-1s', {}],
  choice: [null, 5, 'nonsense', {}],
  signal: [null, 5, 'text', {}],
  object: [null, 5, 'text', []],
  list: [null, 5, {}],
  retry: [null, 'text', Number.NaN, -1, []],
  key: [null, 5, '', {}, []],
  /** Any value is right. */
  any: [],
  /** Client input that may be null, which means absent. */
  cursor: [5, 'nonsense', {}],
}

type Kind = keyof typeof wrongValues

interface Use {
  readonly what: string
  /** What the message has to name. */
  readonly names: string
  readonly call: () => unknown
}

function use(what: string, names: string, call: () => unknown): Use {
  return { what, names, call }
}

/** A wrong value of each kind for each option, options that are no object, and each name misspelt. */
function wrongOptions<Options>(
  call: (options: never) => unknown,
  kinds: { readonly [Name in keyof Required<Options>]: Kind },
  { at = '', base = {} }: { readonly at?: string; readonly base?: object } = {},
): Use[] {
  const nest = (options: unknown) =>
    at.split('.').reduceRight<unknown>((inner, name) => (name === '' ? inner : { [name]: inner }), options)
  const run = (options: unknown) => call(nest(options) as never)
  const prefix = at === '' ? '' : `${at}.`
  return [
    ...[null, 300, 'text', [], () => {}].map((options) =>
      use(`options: ${show(options)}`, at || 'options', () => run(options)),
    ),
    ...Object.entries(kinds).flatMap(([name, kind]) => [
      use(`misspelt ${name}`, `did you mean \`${name}\``, () => run({ ...base, [`${name}Q`]: 1 })),
      ...wrongValues[kind as Kind].map((value) =>
        use(`${prefix}${name}: ${show(value)}`, `\`${prefix}${name}`, () => run({ ...base, [name]: value })),
      ),
    ]),
  ]
}

/** Wrong values of one argument. */
function wrongArgument(name: string, kind: Kind, call: (value: never) => unknown): Use[] {
  return wrongValues[kind].map((value) => use(`${name}: ${show(value)}`, `\`${name}`, () => call(value as never)))
}

function show(value: unknown): string {
  return typeof value === 'function' ? 'a function' : (JSON.stringify(value) ?? String(value))
}

interface Tables {
  person: { id: number; name: string }
}

const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: new Database(':memory:') }) })
const query = db.selectFrom('person').selectAll()
const cache = all.createCache({ profiles: { users: '5m' } })
const monitor = new all.PerformanceMonitor({ sampleInterval: false, onWarn: () => {} })
const ok = async () => {}
const load = () => 1

const orderKinds = { by: 'list', unique: 'key', signal: 'signal', dialect: 'choice' } as const
const noQuery = [null, 5, {}, [], Promise.resolve([])]

/** Shapes that are no query, as the first argument of a function of pages. */
function notQueries(call: (query: never) => unknown): Use[] {
  return noQuery.map((value) => use(`query: ${show(value)}`, '`query', () => call(value as never)))
}

type Page = PaginateOptions<Tables, 'person', object>

const compressKinds = {
  threshold: 'count',
  encodings: 'texts',
  gzipLevel: 'count',
  brotliQuality: 'count',
  zstdLevel: 'count',
  maxBlock: 'duration',
  types: 'function',
} as const satisfies { [Name in keyof Required<CompressOptions>]: Kind }

const retryKinds = {
  retries: 'count',
  minDelay: 'duration',
  maxDelay: 'duration',
  factor: 'count',
  shouldRetry: 'function',
  onRetry: 'function',
} as const satisfies { [Name in keyof Required<RetryOptions>]: Kind }

const batchKinds = {
  concurrency: 'count',
  batchSize: 'count',
  onError: 'choice',
  maxFailures: 'count',
  retry: 'retry',
  timeout: 'duration',
  grace: 'duration',
  delay: 'duration',
  signal: 'signal',
  total: 'count',
  onProgress: 'function',
  collect: 'boolean',
  checkpoint: 'object',
  transaction: 'object',
  clock: 'function',
} as const satisfies { [Name in keyof Required<BatchOptions<unknown>>]: Kind }

const { collect: _collect, transaction: _transaction, ...mapKinds } = batchKinds

const entryKinds = { profile: 'choice', ttl: 'duration', stale: 'duration', tags: 'list' } as const
const httpCacheKinds = {
  profile: 'choice',
  ttl: 'duration',
  tags: 'list',
  query: 'list',
  vary: 'texts',
  ignoreHeaders: 'texts',
  key: 'function',
  maxBytes: 'count',
  compress: 'object',
  clock: 'function',
  onWarn: 'function',
} as const satisfies { [Name in keyof Required<HttpCacheOptions>]: Kind }

const routesKinds = {
  path: 'text',
  health: 'text',
  metrics: 'boolean',
  dashboard: 'boolean',
  authorize: 'choice',
  casing: 'choice',
  naming: 'choice',
} as const satisfies { [Name in keyof Required<PerformanceRoutesOptions>]: Kind }

const compressResponsesKinds = { ...compressKinds, filter: 'function', monitor: 'object' } as const satisfies {
  [Name in keyof Required<CompressResponsesOptions>]: Kind
}

/** The wrong uses of every public function. */
const root: Readonly<Record<string, readonly Use[]>> = {
  paginate: [
    ...notQueries((wrong) => all.paginate(wrong, { unique: 'id' as never })),
    ...wrongOptions<Page>(
      (options) => all.paginate(query, options),
      {
        ...orderKinds,
        page: 'nullableCount',
        perPage: 'count',
        maxPerPage: 'count',
        total: 'choice',
        maxOffset: 'count',
      },
      { base: { unique: 'id' } },
    ),
    use('no options', '`options`', () => all.paginate(query, undefined as never)),
    use('no unique', '`unique`', () => all.paginate(query, {} as never)),
    use('a key with a wrong word', '`direction`', () =>
      all.paginate(query, { by: [{ key: 'id', direction: 'desc' } as never], unique: 'id' }),
    ),
  ],
  cursorPaginate: [
    ...notQueries((wrong) => all.cursorPaginate(wrong, { unique: 'id' as never })),
    ...wrongOptions<CursorPaginateOptions<Tables, 'person', object>>(
      (options) => all.cursorPaginate(query, options),
      {
        ...orderKinds,
        after: 'any',
        before: 'any',
        from: 'choice',
        perPage: 'count',
        maxPerPage: 'count',
        total: 'choice',
        scope: 'any',
        jump: 'count',
      },
      { base: { unique: 'id' } },
    ),
  ],
  relayConnection: [
    ...notQueries((wrong) => all.relayConnection(wrong, {}, { unique: 'id' as never })),
    ...wrongArgument('args', 'object', (args) => all.relayConnection(query, args, { unique: 'id' })),
    ...['first', 'last'].flatMap((name) =>
      ['text', -1, 0.5].map((value) =>
        use(`${name}: ${value}`, `\`${name}`, () =>
          all.relayConnection(query, { [name]: value } as never, { unique: 'id' }),
        ),
      ),
    ),
    ...wrongOptions<RelayConnectionOptions<Tables, 'person', object>>(
      (options) => all.relayConnection(query, {}, options),
      {
        ...orderKinds,
        scope: 'any',
        maxPerPage: 'count',
      },
      { base: { unique: 'id' } },
    ),
  ],
  ...Object.fromEntries(
    (
      [
        ['readChunks', all.readChunks],
        ['readRows', all.readRows],
      ] as const
    ).map(([name, read]) => [
      name,
      [
        ...notQueries((wrong) => read(wrong, { unique: 'id' as never }).next()),
        ...wrongOptions<ReadOptions<Tables, 'person', object>>(
          (options) => read(query, options).next(),
          {
            ...orderKinds,
            size: 'count',
            after: 'any',
            prefetch: 'boolean',
            scope: 'any',
          },
          { base: { unique: 'id' } },
        ),
      ],
    ]),
  ),
  ...Object.fromEntries(
    (
      [
        ['explainPage', all.explainPage],
        ['expectSeek', all.expectSeek],
      ] as const
    ).map(([name, explain]) => [
      name,
      [
        ...notQueries((wrong) => explain(wrong, { unique: 'id' as never })),
        ...wrongOptions<ExplainOptions<Tables, 'person', object>>(
          (options) => explain(query, options),
          {
            ...orderKinds,
            perPage: 'count',
            maxPerPage: 'count',
            page: 'nullableCount',
            after: 'any',
            before: 'any',
            from: 'choice',
            scope: 'any',
            analyze: 'boolean',
          },
          { base: { unique: 'id' } },
        ),
      ],
    ]),
  ),
  countRows: notQueries((wrong) => all.countRows(wrong)),
  createPaginator: [
    ...wrongOptions<PaginatorOptions>((options) => all.createPaginator(options), {
      secret: 'key',
      casing: 'choice',
      perPage: 'object',
      dialect: 'choice',
      decodeLegacy: 'function',
      onWarn: 'function',
    }),
    ...wrongOptions((options) => all.createPaginator(options), { default: 'count', max: 'count' }, { at: 'perPage' }),
    use('a rotation with an empty secret', '`secret`', () => all.createPaginator({ secret: ['new', ''] })),
  ],
  linkHeader: [
    ...wrongArgument('page', 'object', (page) => all.linkHeader(page, '/')),
    ...[null, 5].map((url) =>
      use(`url: ${url}`, '`url`', () => all.linkHeader({ pagination: { next: null, prev: null } }, url as never)),
    ),
    ...wrongOptions(
      (options) =>
        all.linkHeader({ pagination: { next: null, prev: null } }, '/', (options as { names: object }).names),
      {
        page: 'text',
        perPage: 'text',
        sort: 'text',
        after: 'text',
        before: 'text',
      },
      { at: 'names' },
    ),
  ],
  pageSchema: [
    ...wrongArgument('itemSchema', 'object', (schema) => all.pageSchema(schema)),
    ...wrongOptions<PageSchemaOptions>((options) => all.pageSchema({}, options), {
      casing: 'choice',
      cursor: 'boolean',
    }),
  ],
  listQuery: [
    ...wrongOptions<ListQueryOptions<never, never, 'snake'>>((options) => all.listQuery(options), {
      sort: 'object',
      defaultSort: 'list',
      maxSorts: 'count',
      filter: 'object',
      perPage: 'object',
      outOfRange: 'choice',
      unknown: 'choice',
      names: 'object',
      casing: 'choice',
    }),
    ...wrongOptions((options) => all.listQuery(options), { default: 'count', max: 'count' }, { at: 'perPage' }),
    use('filter: { role: String }', '`filter.role`', () => all.listQuery({ filter: { role: String as never } })),
    use('filter: { role: "text" }', '`filter.role`', () => all.listQuery({ filter: { role: 'text' as never } })),
    use("sort: ['name']", '`sort`', () => all.listQuery({ sort: ['name'] as never })),
    use('sort: { name: 5 }', '`sort.name`', () => all.listQuery({ sort: { name: 5 as never } })),
    use('sort: { name: { column } }', '`column`', () => all.listQuery({ sort: { name: { column: 'x' } as never } })),
    use('sort: { name: {} }', '`sort.name`', () => all.listQuery({ sort: { name: {} as never } })),
    use('sort: { name: { key, nulls: true } }', '`sort.name.nulls`', () =>
      all.listQuery({ sort: { name: { key: 'x', nulls: true as never } } }),
    ),
    use('parse(5)', 'query string', () => all.listQuery().parse(5)),
  ],
  oneOf: [
    use('no choices', 'choices', () => all.oneOf()),
    use('a number', 'choices', () => all.oneOf(5 as never)),
    use('a misspelt default', 'did you mean `default`', () => all.oneOf('a', { defualt: 'a' } as never)),
    use('a default of another kind', '`default`', () => all.oneOf('a', { default: 'b' as never })),
  ],
  manyOf: [
    use('no choices', 'choices', () => all.manyOf()),
    use('a default that is no list', '`default`', () => all.manyOf('a', { default: 'a' as never })),
  ],
  flag: wrongOptions((options) => all.flag(options), { default: 'boolean' }),
  int: [
    ...wrongOptions((options) => all.int(options), { default: 'any', min: 'any', max: 'any' }),
    ...['5', 0.5, {}].flatMap((value) =>
      ['default', 'min', 'max'].map((name) =>
        use(`${name}: ${show(value)}`, `\`${name}`, () => all.int({ [name]: value } as never)),
      ),
    ),
  ],
  text: wrongOptions((options) => all.text(options), { default: 'any', max: 'count' }),
  date: [
    ...wrongOptions((options) => all.date(options), { default: 'any' }),
    ...[5, '2024-01-31', {}, new Date(Number.NaN)].map((value) =>
      use(`default: ${show(value)}`, '`default`', () => all.date({ default: value as never })),
    ),
  ],
  createCache: [
    ...wrongOptions<CacheOptions>((options) => all.createCache(options), {
      name: 'text',
      namespace: 'text',
      profiles: 'object',
      tags: 'object',
      ttls: 'object',
      memory: 'object',
      redis: 'key',
      store: 'object',
      timeouts: 'object',
      breaker: 'object',
      coherence: 'object',
      compression: 'object',
      freeze: 'boolean',
      clock: 'function',
      onWarn: 'function',
    }),
    ...wrongOptions(
      (options) => all.createCache(options),
      { maxEntries: 'count', maxBytes: 'count' },
      { at: 'memory' },
    ),
    ...wrongOptions(
      (options) => all.createCache(options),
      { store: 'duration', loadSoft: 'duration', loadHard: 'duration' },
      { at: 'timeouts' },
    ),
    ...wrongOptions(
      (options) => all.createCache(options),
      { failures: 'count', coolDown: 'duration' },
      { at: 'breaker' },
    ),
    ...wrongOptions((options) => all.createCache(options), { within: 'duration' }, { at: 'coherence' }),
    ...wrongOptions(
      (options) => all.createCache(options),
      { minBytes: 'count', codec: 'choice', minGain: 'percent' },
      { at: 'compression' },
    ),
    ...wrongOptions<ProfileOptions>(
      (options) => all.createCache(options),
      {
        ttl: 'duration',
        stale: 'duration',
        refreshAhead: 'choice',
        jitter: 'percent',
        memoryTtl: 'duration',
        negativeTtl: 'duration',
        compress: 'boolean',
        version: 'object',
        validate: 'function',
      },
      { at: 'profiles.users', base: { ttl: '1m' } },
    ).filter(({ what }) => what !== 'options: "text"' && !/version: (5|"text")/.test(what)),
    use('redis and store', '`redis`', () => all.createCache({ redis: 'redis://localhost', store: {} as never })),
    use('profile instead of profiles', '`profiles`', () => all.createCache({ profile: { users: '5m' } } as never)),
  ],
  cachedQuery: [
    ...wrongArgument('cache', 'object', (wrong) => all.cachedQuery(wrong, query)),
    ...notQueries((wrong) => all.cachedQuery(cache, wrong)),
    ...wrongOptions<CachedQueryOptions>((options) => all.cachedQuery(cache, query, options), {
      ...entryKinds,
      name: 'text',
      db: 'object',
    }),
  ],
  PerformanceMonitor: [
    ...wrongOptions<MonitorOptions>((options) => new all.PerformanceMonitor(options), {
      service: 'text',
      release: 'text',
      instance: 'text',
      window: 'duration',
      precision: 'choice',
      buckets: 'list',
      maxEndpoints: 'count',
      ignore: 'function',
      stallCorrection: 'boolean',
      slow: 'object',
      sampleInterval: 'duration',
      disk: 'texts',
      processes: 'function',
      alerts: 'object',
      overload: 'object',
      health: 'object',
      fleet: 'object',
      caches: 'object',
      clock: 'function',
      onWarn: 'function',
    }),
    ...wrongOptions(
      (options) => new all.PerformanceMonitor(options),
      { threshold: 'duration', keep: 'count' },
      { at: 'slow' },
    ),
    ...wrongOptions(
      (options) => new all.PerformanceMonitor(options),
      { eventLoop: 'duration', memory: 'percent', heap: 'percent', shedding: 'percent' },
      { at: 'overload' },
    ),
    ...wrongOptions(
      (options) => new all.PerformanceMonitor(options),
      { details: 'choice', interval: 'duration', unreadyWhenShedding: 'duration' },
      { at: 'health' },
    ),
    ...wrongOptions<AlertOptions>(
      (options) => new all.PerformanceMonitor(options),
      {
        responseTime: 'duration',
        aborted: 'percent',
        inFlight: 'duration',
        cpu: 'percent',
        memory: 'percent',
        cacheErrors: 'percent',
        errorRate: 'percent',
        eventLoop: 'duration',
        disk: 'percent',
        shedding: 'percent',
      },
      { at: 'alerts' },
    ),
    ...wrongOptions(
      (options) => new all.PerformanceMonitor(options),
      {
        threshold: 'percent',
        clear: 'percent',
        for: 'duration',
        minSamples: 'count',
        repeat: 'duration',
      },
      { at: 'alerts.cpu', base: { threshold: 80 } },
    ),
    use('windows instead of window', '`window`', () => new all.PerformanceMonitor({ windows: '5m' } as never)),
    use('a cache without stats', '`caches.main', () => new all.PerformanceMonitor({ caches: { main: {} as never } })),
  ],
  otelMetrics: [
    ...wrongArgument('monitor', 'object', (wrong) => all.otelMetrics(wrong, {} as never)),
    ...wrongArgument('meter', 'object', (wrong) => all.otelMetrics(monitor, wrong)),
  ],
  clusterFleet: [
    use('an interval of nothing', '`interval`', () => all.clusterFleet({ interval: '0s' })),
    ...wrongOptions<FleetOptions>((options) => all.clusterFleet(options), { namespace: 'text', interval: 'duration' }),
  ],
  redisFleet: [
    ...wrongArgument('client', 'object', (client) => all.redisFleet(client)),
    use('a client of another library', '`client`', () => all.redisFleet({} as never)),
    ...wrongOptions<FleetOptions>((options) => all.redisFleet({ sendCommand: ok }, options), {
      namespace: 'text',
      interval: 'duration',
    }),
  ],
  checkCache: wrongArgument('cache', 'object', (wrong) => all.checkCache(wrong)),
  checkKysely: wrongArgument('db', 'object', (wrong) => all.checkKysely(wrong)),
  checkDisk: [
    ...wrongArgument('path', 'text', (path) => all.checkDisk(path, 5)),
    ...wrongArgument('percent', 'percent', (percent) => all.checkDisk('/', percent)),
  ],
  batchProcess: [
    ...wrongArgument('items', 'list', (items) => all.batchProcess(items, ok)),
    ...wrongArgument('processItem', 'function', (processItem) => all.batchProcess([1], processItem)),
    ...wrongOptions<BatchOptions<unknown>>((options) => all.batchProcess([1], ok, options), batchKinds),
  ],
  batchProcessChunks: [
    ...wrongArgument('items', 'list', (items) => all.batchProcessChunks(items, ok)),
    ...wrongArgument('processChunk', 'function', (processChunk) => all.batchProcessChunks([1], processChunk)),
    ...wrongOptions<BatchOptions<unknown>>((options) => all.batchProcessChunks([1], ok, options), batchKinds),
  ],
  mapBatches: [
    ...wrongArgument('items', 'list', (items) => all.mapBatches(items, ok)),
    ...wrongArgument('processChunk', 'function', (processChunk) => all.mapBatches([1], processChunk)),
    ...wrongOptions<Omit<BatchOptions<unknown>, 'collect' | 'transaction'>>(
      (options) => all.mapBatches([1], ok, options),
      mapKinds,
    ),
  ],
  chunks: [
    ...wrongArgument('items', 'list', (items) => all.chunks(items)),
    ...wrongArgument('size', 'count', (size) => all.chunks([1], size)),
  ],
  asyncChunks: [
    ...wrongArgument('items', 'list', (items) => all.asyncChunks(items)),
    ...wrongArgument('size', 'count', (size) => all.asyncChunks([1], size)),
    ...wrongOptions((options) => all.asyncChunks([1], 1, options), { maxWait: 'duration', signal: 'signal' }),
  ],
  fileCheckpoints: wrongArgument('folder', 'text', (folder) => all.fileCheckpoints(folder)),
  kyselyCheckpoints: [
    ...wrongArgument('db', 'object', (wrong) => all.kyselyCheckpoints(wrong)),
    ...wrongOptions((options) => all.kyselyCheckpoints(db, options), { table: 'text' }),
  ],
  memoryCheckpoints: [],
  withRetry: [
    ...wrongArgument('fn', 'function', (fn) => all.withRetry(fn)),
    ...wrongOptions<RetryOptions & { signal: AbortSignal }>((options) => all.withRetry(ok, options), {
      ...retryKinds,
      signal: 'signal',
    }),
  ],
  batchWorker: [
    ...wrongArgument('queueName', 'text', (name) => all.batchWorker(name, ok, { connection: {} })),
    ...wrongArgument('processChunk', 'function', (processChunk) =>
      all.batchWorker('q', processChunk, { connection: {} }),
    ),
    ...wrongOptions<BatchWorkerOptions<unknown>>(
      (options) => all.batchWorker('q', ok, options),
      {
        connection: 'key',
        concurrency: 'count',
        prefix: 'text',
        takeOver: 'duration',
        limiter: 'object',
        maxTakeOvers: 'count',
        onError: 'choice',
        maxFailures: 'count',
        retry: 'retry',
        timeout: 'duration',
        grace: 'duration',
        collect: 'boolean',
      },
      { base: { connection: 'redis://localhost:1' } },
    ).filter(({ what }) => what !== 'connection: {}'),
  ],
  distributeBatches: [
    ...wrongArgument('queue', 'object', (queue) => all.distributeBatches(queue, [1])),
    ...wrongArgument('items', 'list', (items) => all.distributeBatches({ addBulk: async () => [] }, items)),
    ...wrongOptions<DistributeOptions>((options) => all.distributeBatches({ addBulk: async () => [] }, [1], options), {
      batchSize: 'count',
      key: 'object',
    }).filter(({ what }) => what !== 'key: "text"'),
  ],
  compressJson: [
    ...wrongArgument('request', 'object', (request) => all.compressJson({}, request)),
    use('data without JSON', '`data`', () => all.compressJson(undefined, { headers: {} })),
    ...wrongOptions<CompressOptions>((options) => all.compressJson({}, { headers: {} }, options), compressKinds),
  ],
  CompressedJSONResponse: [
    ...wrongArgument('init', 'object', (init) => new all.CompressedJSONResponse({}, init)),
    ...wrongArgument('request', 'object', (request) => new all.CompressedJSONResponse({}, { request })),
    ...wrongOptions<CompressOptions>(
      (compress) => new all.CompressedJSONResponse({}, { request: { headers: {} }, compress }),
      compressKinds,
    ),
  ],
  createCompressor: [
    ...wrongOptions<CompressOptions>((options) => all.createCompressor(options), compressKinds),
    ...[null, 5, {}].map((body) =>
      use(`body: ${show(body)}`, '`body`', () => all.createCompressor().body(body as never, { header: () => null })),
    ),
    ...wrongArgument('head', 'object', (head) => all.createCompressor().body('text', head)),
    ...wrongArgument('head', 'object', (head) => all.createCompressor().stream(head)),
    ...[5, ['gzip'], {}].map((acceptEncoding) =>
      use(`acceptEncoding: ${show(acceptEncoding)}`, '`head.acceptEncoding`', () =>
        all.createCompressor().body('text', { acceptEncoding: acceptEncoding as never, header: () => null }),
      ),
    ),
  ],
  negotiateEncoding: [
    use('a header that is a number', '`acceptEncoding`', () => all.negotiateEncoding(5 as never)),
    ...wrongArgument('encodings', 'texts', (encodings) => all.negotiateEncoding('gzip', encodings)),
  ],
  problemDetails: [],
  classifyError: wrongArgument('dialect', 'choice', (dialect) => all.classifyError(new Error('x'), dialect)),
  instrument: [
    ...wrongArgument('config', 'object', (config) => all.instrument(config)),
    use('instrument(db)', 'new Kysely(instrument(', () => all.instrument(db as never)),
    use('instrument({ dialect: {} })', '`config.dialect`', () => all.instrument({ dialect: {} as never })),
    use('an untuned pool', '`pool`', () =>
      all.instrument({ dialect: new SqliteDialect({ database: new Database(':memory:') }) }, { pool: {} as never }),
    ),
    ...wrongOptions<InstrumentOptions>(
      (options) => all.instrument({ dialect: new SqliteDialect({ database: new Database(':memory:') }) }, options),
      {
        monitor: 'object',
        invalidates: 'object',
        pool: 'object',
        slow: 'duration',
        explain: 'choice',
        nPlusOne: 'object',
        statementCache: 'count',
        timeout: 'duration',
        autoBatch: 'list',
        abandon: 'choice',
        indexAdvice: 'boolean',
        onQuery: 'function',
        onSlow: 'function',
        onNPlusOne: 'function',
        onWarn: 'function',
      },
    ).filter(({ what }) => what !== 'autoBatch: {}'),
  ],
  // Takes no arguments.
  requestScope: [],
  queryReport: wrongArgument('db', 'object', (wrong) => all.queryReport(wrong)),
  expectQueries: [
    ...wrongArgument('fn', 'function', (fn) => all.expectQueries(fn)),
    ...wrongOptions((options) => all.expectQueries(ok, options), { max: 'count', noNPlusOne: 'boolean' }),
  ],
  withQueryScope: [
    ...wrongArgument('name', 'text', (name) => all.withQueryScope(name, ok)),
    ...wrongArgument('fn', 'function', (fn) => all.withQueryScope('x', fn)),
    ...wrongOptions((options) => all.withQueryScope('x', ok, options), {
      maxQueries: 'count',
      signal: 'signal',
      deadline: 'duration',
    }),
  ],
  ignoreNPlusOne: wrongArgument('fn', 'function', (fn) => all.ignoreNPlusOne(fn)),
  poolOptions: [
    ...wrongArgument('driver', 'choice', (driver) => all.poolOptions(driver)),
    ...wrongOptions<PoolSettings>((options) => all.poolOptions('pg', options), {
      poolSize: 'count',
      maxOverflow: 'count',
      poolTimeout: 'duration',
      poolRecycle: 'duration',
      poolPrePing: 'boolean',
    }),
  ],
  ...Object.fromEntries(
    (
      [
        ['tunePgPool', all.tunePgPool],
        ['tuneMysqlPool', all.tuneMysqlPool as never as typeof all.tunePgPool],
      ] as const
    ).map(([name, tune]) => [
      name,
      [
        ...wrongArgument('pool', 'object', (pool) => tune(pool)),
        use('another pool', '`pool`', () => tune({} as never)),
        ...wrongOptions<PoolTuning>(
          (tuning) => tune({ connect: ok, getConnection: ok, on: ok, options: {} } as never, tuning),
          {
            prePing: 'choice',
            pingTimeout: 'duration',
            recycle: 'duration',
            acquireTimeout: 'duration',
            leakAfter: 'duration',
            statementTimeout: 'duration',
            timeoutVia: 'choice',
            onWarn: 'function',
          },
        ),
      ],
    ]),
  ),
  cachedStatements: [
    ...wrongArgument('database', 'object', (database) => all.cachedStatements(database)),
    ...wrongArgument('max', 'count', (max) => all.cachedStatements(new Database(':memory:') as never, max)),
  ],
  nodeSqlite: [
    ...wrongArgument('database', 'object', (database) => all.nodeSqlite(database)),
    ...wrongOptions((options) => all.nodeSqlite({ prepare: ok, close: ok } as never, options), { integers: 'choice' }),
  ],
  sqlitePragmas: [],
  retryTransaction: [
    ...wrongArgument('db', 'object', (wrong) => all.retryTransaction(wrong, ok)),
    ...wrongArgument('fn', 'function', (fn) => all.retryTransaction(db, fn)),
    ...wrongOptions<RetryTransactionOptions>((options) => all.retryTransaction(db, ok, options), {
      isolationLevel: 'choice',
      accessMode: 'choice',
      retries: 'count',
      minDelay: 'duration',
      maxDelay: 'duration',
      signal: 'signal',
      onRetry: 'function',
    }),
  ],
  settingsFromEnv: [
    ...wrongArgument('env', 'object', (env) => all.settingsFromEnv(env)),
    use('a variable that is no number', 'DEFAULT_PAGE_SIZE', () => all.settingsFromEnv({ DEFAULT_PAGE_SIZE: 'ten' })),
  ],
  tags: [],
}

const cacheMethods: Readonly<Record<string, readonly Use[]>> = {
  getOrSet: [
    ...[null, 5, {}].map((key) => use(`key: ${show(key)}`, '`key`', () => cache.getOrSet(key as never, load))),
    ...wrongArgument('load', 'function', (wrong) => cache.getOrSet('a', wrong)),
    ...wrongOptions<GetOrSetOptions>((options) => cache.getOrSet('a', load, options), {
      ...entryKinds,
      fresh: 'boolean',
      signal: 'signal',
    }),
  ],
  get: [use('key: 5', '`key`', () => cache.get(5 as never))],
  peek: [use('key: 5', '`key`', () => cache.peek(5 as never))],
  has: [use('key: 5', '`key`', () => cache.has(5 as never))],
  explain: [use('key: 5', '`key`', () => cache.explain(5 as never))],
  delete: [use('key: 5', '`key`', () => cache.delete(5 as never))],
  getMany: wrongArgument('keys', 'list', (keys) => cache.getMany(keys)),
  stamps: wrongArgument('tags', 'list', (tags) => cache.stamps(tags)),
  getOrSetMany: [
    ...wrongArgument('ids', 'list', (ids) => cache.getOrSetMany(ids, () => new Map(), { key: String })),
    ...wrongArgument('load', 'function', (wrong) => cache.getOrSetMany([1], wrong, { key: String })),
    ...wrongOptions<GetOrSetManyOptions<number, number>>(
      (options) => cache.getOrSetMany([1], () => new Map(), options),
      { ...entryKinds, tags: 'function', key: 'function', fresh: 'boolean', signal: 'signal' },
      { base: { key: String } },
    ),
  ],
  set: [
    use('key: 5', '`key`', () => cache.set(5 as never, 1)),
    use('cache.set(k, v, 300)', '`options`', () => cache.set('k', 'v', 300 as never)),
    ...wrongOptions<EntryOptions>((options) => cache.set('k', 'v', options), entryKinds),
  ],
  invalidateTags: [use('a list', 'tag', () => cache.invalidateTags(['users'] as never))],
  wrap: [
    ...wrongArgument('fn', 'function', (fn) => cache.wrap(fn, { name: 'x' })),
    use('no options', '`options`', () => cache.wrap(load, undefined as never)),
    ...wrongOptions<WrapOptions<never, never>>(
      (options) => cache.wrap(load, options),
      { ...entryKinds, name: 'text', key: 'function' },
      { base: { name: 'x' } },
    ),
  ],
  http: [
    ...wrongArgument('handler', 'function', (handler) => cache.http(handler)),
    ...wrongOptions<HttpCacheOptions>((options) => cache.http(() => new Response(), options), httpCacheKinds),
    ...wrongArgument('request', 'object', (request) => cache.http(() => new Response())(request)),
    use('a URL for a request', '`request`', () => cache.http(() => new Response())(new URL('http://a/') as never)),
    ...[undefined, null, 'text', {}, 5].map((answer) =>
      use(`a handler that returns ${show(answer)}`, '`handler()`', () =>
        cache.http(() => answer as never)(new Request('http://a/wrong')),
      ),
    ),
  ],
  on: [
    use('an unknown event', '`event`', () => cache.on('errors' as never, ok)),
    ...wrongArgument('listener', 'function', (listener) => cache.on('error', listener)),
  ],
  clear: [],
  stats: [],
  close: [],
}

const monitorMethods: Readonly<Record<string, readonly Use[]>> = {
  time: [
    ...wrongArgument('name', 'text', (name) => monitor.time(name, ok)),
    ...wrongArgument('fn', 'function', (fn) => monitor.time('x', fn)),
  ],
  setRoute: [
    ...[null, 5, 'text'].map((request) =>
      use(`request: ${request}`, '`request`', () => monitor.setRoute(request as never, '/x')),
    ),
    use('label: 5', '`label`', () => monitor.setRoute({}, 5 as never)),
  ],
  recordTiming: [
    ...wrongArgument('name', 'string', (name) => monitor.recordTiming(name, 1)),
    ...['5', 5n, undefined, null, {}].map((ms) =>
      use(`durationMs: ${String(ms)}`, '`durationMs`', () => monitor.recordTiming('x', ms as never)),
    ),
  ],
  ...Object.fromEntries(
    (['endpoint', 'toHdr'] as const).map((name) => [
      name,
      [
        ...wrongArgument('method', 'string', (method) => monitor[name](method, '/x')),
        ...wrongArgument('route', 'string', (route) => monitor[name]('GET', route)),
      ],
    ]),
  ),
  drain: wrongArgument('reason', 'text', (reason) => monitor.drain(reason)),
  addAdmission: wrongArgument('source', 'object', (source) => monitor.addAdmission(source)),
  addSource: [
    ...wrongArgument('name', 'string', (name) => monitor.addSource(name, ok as never)),
    ...wrongArgument('read', 'function', (read) => monitor.addSource('x', read)),
  ],
  ...Object.fromEntries(
    (['snapshot', 'snapshotInTurns', 'fleetSnapshot'] as const).map((name) => [
      name,
      wrongOptions<StatsQuery>(
        ({ query }: { query: never }) => monitor[name](query),
        { sort: 'choice', limit: 'count', route: 'text', method: 'text', history: 'boolean' },
        { at: 'query' },
      ),
    ]),
  ),
  prometheus: wrongOptions((options) => monitor.prometheus(options), {
    openMetrics: 'boolean',
    naming: 'choice',
    scope: 'choice',
  }),
  check: [
    ...wrongArgument('name', 'string', (name) => monitor.check(name, ok)),
    ...wrongArgument('fn', 'function', (fn) => monitor.check('x', fn)),
    ...wrongOptions<CheckOptions>((options) => monitor.check('x', ok, options), {
      critical: 'boolean',
      timeout: 'duration',
      interval: 'duration',
      failAfter: 'count',
    }),
  ],
  health: [
    ...wrongArgument('kind', 'choice', (kind) => monitor.health(kind)),
    ...wrongOptions((options) => monitor.health('ready', options), { maxWait: 'duration' }),
  ],
  on: [
    use('an unknown event', '`name`', () => monitor.on('alerts' as never, ok)),
    ...wrongArgument('listener', 'function', (listener) => monitor.on('alert', listener)),
  ],
  onRequest: wrongArgument('listener', 'function', (listener) => monitor.onRequest(listener)),
  onTiming: wrongArgument('listener', 'function', (listener) => monitor.onTiming(listener)),
  onGc: wrongArgument('listener', 'function', (listener) => monitor.onGc(listener)),
  // Called with every request, or without arguments: they check nothing.
  ...Object.fromEntries(
    [
      ...['start', 'ignores', 'record', 'routeOf', 'otherOutcomes', 'cacheCounters', 'admission'],
      ...['system', 'alerts', 'sample', 'overload', 'warn', 'markStarted', 'reset', 'close'],
    ].map((name) => [name, []]),
  ),
}

const shedKinds = { maxWait: 'duration', concurrency: 'count', priority: 'function', retryAfter: 'duration' } as const
const freshnessKinds = {
  tags: 'list',
  vary: 'texts',
  key: 'function',
  ignoreHeaders: 'texts',
  onWarn: 'function',
} as const

type Middlewares = Pick<
  typeof express,
  'monitorRequests' | 'shedLoad' | 'performanceRoutes' | 'compressResponses' | 'cacheResponses' | 'freshness'
>

/** `app.register` of a middleware, which Fastify calls with its instance. */
function registered(register: (app: never) => unknown): Use {
  return use('app.register of Fastify', 'posthaste/fastify', () => register({ addHook: ok } as never))
}

/** A call in the way of another framework, whose message says how this one is called. */
function otherFramework(name: string, face: string, ...calls: (() => unknown)[]): Use[] {
  return calls.map((call, index) =>
    use(`another framework's call ${index + 1}`, `\`${name}\` of posthaste/${face}`, call),
  )
}

function middlewareUses(face: 'express' | 'hono', faceOf: Middlewares): Record<string, readonly Use[]> {
  const asHono = [{ req: { method: 'GET', path: '/' } }, ok] as const
  const asExpress = [{ method: 'GET', path: '/' }, {}, ok] as const
  const called = (middleware: unknown) => () =>
    (middleware as (...values: readonly unknown[]) => unknown)(...(face === 'express' ? asHono : asExpress))
  // Connect and h3 call middleware as Express does, with requests of Node.
  const connected = (middleware: unknown) =>
    face === 'express'
      ? [() => (middleware as (...values: readonly unknown[]) => unknown)({ method: 'GET', originalUrl: '/' }, {}, ok)]
      : []
  return {
    monitorRequests: [
      ...wrongArgument('monitor', 'object', (wrong) => faceOf.monitorRequests(wrong)),
      registered((app) => faceOf.monitorRequests(app)),
      use('app.use(monitorRequests)', '`monitor`', called(faceOf.monitorRequests)),
      ...wrongOptions<MonitorRequestsOptions>((options) => faceOf.monitorRequests(monitor, options), {
        label: 'function',
        deadline: 'duration',
        serverTiming: 'choice',
      }),
      ...otherFramework(
        'monitorRequests',
        face,
        called(faceOf.monitorRequests(monitor)),
        ...connected(faceOf.monitorRequests(monitor)),
      ),
    ],
    performanceRoutes: [
      ...wrongArgument('monitor', 'object', (wrong) => faceOf.performanceRoutes(wrong)),
      registered((app) => faceOf.performanceRoutes(app)),
      use('a token', '`token`', () => faceOf.performanceRoutes(monitor, { token: 'x' } as never)),
      ...wrongOptions<PerformanceRoutesOptions>((options) => faceOf.performanceRoutes(monitor, options), routesKinds),
      ...otherFramework(
        'performanceRoutes',
        face,
        called(faceOf.performanceRoutes(monitor, { authorize: 'public' })),
        ...connected(faceOf.performanceRoutes(monitor, { authorize: 'public' })),
      ),
    ],
    compressResponses: [
      ...wrongOptions<CompressResponsesOptions>((options) => faceOf.compressResponses(options), compressResponsesKinds),
      ...otherFramework('compressResponses', face, called(faceOf.compressResponses())),
    ],
    cacheResponses: [
      ...wrongArgument('cache', 'object', (wrong) => faceOf.cacheResponses(wrong)),
      use('an unknown profile', '`profile`', () => faceOf.cacheResponses(cache, { profile: 'user' as never })),
      ...wrongOptions<HttpCacheOptions>((options) => faceOf.cacheResponses(cache, options), httpCacheKinds),
      ...otherFramework(
        'cacheResponses',
        face,
        called(faceOf.cacheResponses(cache)),
        ...connected(faceOf.cacheResponses(cache)),
      ),
    ],
    shedLoad: [
      ...wrongArgument('monitor', 'object', (wrong) => faceOf.shedLoad(wrong)),
      registered((app) => faceOf.shedLoad(app)),
      use('a monitor without monitorRequests', '`monitorRequests`', () =>
        faceOf.shedLoad(new all.PerformanceMonitor()),
      ),
      ...wrongOptions<ShedOptions>((options) => faceOf.shedLoad(monitor, options), shedKinds),
      ...otherFramework('shedLoad', face, called(faceOf.shedLoad(monitor))),
    ],
    freshness: [
      ...wrongArgument('cache', 'object', (wrong) => faceOf.freshness(wrong)),
      ...wrongOptions<FreshnessOptions>((options) => faceOf.freshness(cache, options), freshnessKinds),
      ...otherFramework('freshness', face, called(faceOf.freshness(cache)), ...connected(faceOf.freshness(cache))),
    ],
  }
}

const expressUses: Readonly<Record<string, readonly Use[]>> = {
  ...middlewareUses('express', express),
  answerErrors: otherFramework('answerErrors', 'express', () =>
    express.answerErrors()(new Error('x'), {} as never, undefined as never, undefined as never),
  ),
  monitorUpgrades: [
    ...wrongArgument('monitor', 'object', (wrong) => express.monitorUpgrades(wrong, createServer(), '/x')),
    ...wrongArgument('server', 'object', (server) => express.monitorUpgrades(monitor, server, '/x')),
    ...wrongArgument('route', 'text', (route) => express.monitorUpgrades(monitor, createServer(), route)),
  ],
}

const honoUses: Readonly<Record<string, readonly Use[]>> = {
  ...middlewareUses('hono', hono as never),
  answerErrors: otherFramework('answerErrors', 'hono', () => hono.answerErrors()({} as never, {} as never)),
}

/** Registers a plugin with an application that takes every call, and throws what the plugin passes to `done`. */
function register(plugin: unknown, options: unknown): void {
  let failure: unknown
  const app = { addHook: ok, decorateRequest: ok, get: ok, route: ok }
  const done = (error: unknown) => {
    failure = error
  }
  ;(plugin as (app: object, options: unknown, done: (error: unknown) => void) => void)(app, options, done)
  if (failure !== undefined) throw failure
}

function pluginUses(
  name: 'monitorRequests' | 'shedLoad' | 'performanceRoutes' | 'compressResponses' | 'cacheResponses',
  uses: Use[],
): Use[] {
  const plugin = { ...fastify }[name] as never as (...values: unknown[]) => unknown
  return [
    ...otherFramework(
      name,
      'fastify',
      () => plugin(monitor),
      () => plugin({ method: 'GET' }, {}, ok),
    ),
    ...uses.filter(({ what }) => !what.startsWith('options: ')),
  ]
}

const fastifyUses: Readonly<Record<string, readonly Use[]>> = {
  monitorRequests: pluginUses('monitorRequests', [
    ...wrongArgument('monitor', 'object', (wrong) => register(fastify.monitorRequests, { monitor: wrong })),
    ...wrongOptions<MonitorRequestsOptions>(
      (options) => register(fastify.monitorRequests, { monitor, ...(options as object) }),
      { label: 'function', deadline: 'duration', serverTiming: 'choice' },
    ),
  ]),
  performanceRoutes: pluginUses('performanceRoutes', [
    ...wrongArgument('monitor', 'object', (wrong) => register(fastify.performanceRoutes, { monitor: wrong })),
    ...wrongOptions<PerformanceRoutesOptions>(
      (options) => register(fastify.performanceRoutes, { monitor, ...(options as object) }),
      routesKinds,
    ),
  ]),
  compressResponses: pluginUses(
    'compressResponses',
    wrongOptions<CompressResponsesOptions>(
      (options) => register(fastify.compressResponses, options),
      compressResponsesKinds,
    ),
  ),
  cacheResponses: pluginUses('cacheResponses', [
    ...wrongArgument('cache', 'object', (wrong) => register(fastify.cacheResponses, { cache: wrong })),
    ...wrongOptions<HttpCacheOptions>(
      (options) => register(fastify.cacheResponses, { cache, ...(options as object) }),
      httpCacheKinds,
    ),
  ]),
  shedLoad: pluginUses('shedLoad', [
    ...wrongArgument('monitor', 'object', (wrong) => register(fastify.shedLoad, { monitor: wrong })),
    ...wrongOptions<ShedOptions>(
      (options) => register(fastify.shedLoad, { monitor, ...(options as object) }),
      shedKinds,
    ),
  ]),
  freshness: [
    ...wrongArgument('cache', 'object', (wrong) => fastify.freshness(wrong)),
    ...wrongOptions<FreshnessOptions>((options) => fastify.freshness(cache, options), freshnessKinds),
  ],
  answerErrors: otherFramework('answerErrors', 'fastify', () =>
    fastify.answerErrors().call({} as never, new Error('x'), {} as never, ok as never),
  ),
}

/** The functions and classes among the exports, without the errors, which only the library makes. */
function functionsOf(face: object): string[] {
  return Object.entries(face)
    .filter(([, value]) => typeof value === 'function' && !(value.prototype instanceof Error))
    .map(([name]) => name)
    .sort()
}

async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    await call()
    return undefined
  } catch (error) {
    return error
  }
}

/** What JavaScript says by itself when a value has another shape than the code expects. */
const accidental =
  /Cannot (?:read|set|destructure|convert)|is not (?:a function|iterable|a constructor)$|is not (?:a function|iterable) |undefined \(reading/

describe.each([
  ['posthaste', functionsOf(all), root],
  ['posthaste/express', functionsOf(express), expressUses],
  ['posthaste/fastify', functionsOf(fastify), fastifyUses],
  ['posthaste/hono', functionsOf(hono), honoUses],
  ['a cache', functionsOf(cache), cacheMethods],
  [
    'a monitor',
    Object.entries(Object.getOwnPropertyDescriptors(all.PerformanceMonitor.prototype))
      .filter(([name, { value }]) => typeof value === 'function' && name !== 'constructor')
      .map(([name]) => name)
      .sort(),
    monitorMethods,
  ],
])('wrong use of %s', (_face, names, uses) => {
  it('has a row for every function', () => {
    expect(Object.keys(uses).sort()).toEqual(names)
  })

  it.each(names.filter((name) => (uses[name]?.length ?? 0) > 0))(
    '%s: every wrong use gets a sentence that names it',
    async (name) => {
      const faults: string[] = []
      for (const { what, names: named, call } of uses[name] ?? []) {
        const error = await errorOf(call)
        const message = error instanceof Error ? `${error.name}: ${error.message}` : `accepted (${show(error)})`
        const isKind =
          error instanceof TypeError || error instanceof RangeError || error instanceof all.ClientInputError
        if (!isKind || accidental.test(message) || !message.includes(named)) faults.push(`${what} -> ${message}`)
      }
      expect(faults).toEqual([])
    },
  )
})

describe('a use that may be a mistake', () => {
  it('is warned of once: a monitor that measures at two places', () => {
    const codes: string[] = []
    const mounted = new all.PerformanceMonitor({ sampleInterval: false, onWarn: ({ code }) => codes.push(code) })
    express.monitorRequests(mounted)
    expect(codes).toEqual([])
    express.monitorRequests(mounted)
    hono.monitorRequests(mounted)
    expect(codes).toEqual(['MONITOR_MOUNTED_TWICE'])
  })

  it('is warned of once: a secret that was given as undefined', () => {
    const codes: string[] = []
    const onWarn = ({ code }: { code: string }) => codes.push(code)
    all.createPaginator({ onWarn })
    expect(codes).toEqual([])
    all.createPaginator({ secret: undefined, onWarn })
    expect(codes).toEqual(['CURSOR_SECRET_MISSING'])
  })

  it('an option that is undefined counts as absent, known or not', () => {
    all.createCache({ name: undefined, typo: undefined } as never)
    all.createPaginator({ typo: undefined } as never)
  })

  it('checks nothing on a hit', async () => {
    await cache.getOrSet('hit', load)
    expect(await cache.getOrSet('hit', 'no function' as never, { typo: 1 } as never)).toBe(1)
  })
})
