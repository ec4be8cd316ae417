import { createServer } from 'node:http'
import express5 from 'express'
import express4 from 'express4'
import fc from 'fast-check'
import { PerformanceMonitor } from 'posthaste'
import { monitorRequests } from 'posthaste/express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ask } from '../support/answering.ts'
import { listen } from '../support/listen.ts'

type Express = typeof express5

/** What is put behind the monitor. */
type Build = (app: express5.Express, express: Express) => void

/** The labels of the endpoints that the requests were counted under. */
async function labelsOf(express: Express, build: Build, paths: readonly string[], method = 'GET'): Promise<string[]> {
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  const app = express()
  app.use(monitorRequests(monitor))
  build(app, express)
  onTestFinished(() => monitor.close())
  const port = await listen(createServer(app))
  for (const path of paths) await ask(port, { method, path })
  await expect.poll(() => monitor.snapshot().requests.inFlight).toBe(0)
  return monitor.snapshot().endpoints.map(({ route }) => route)
}

/** A router or an application, and what is mounted in it. */
interface Branch {
  readonly isApp: boolean
  readonly hasParameter: boolean
  readonly below: readonly Branch[]
}

const { tree } = fc.letrec<{ tree: readonly Branch[] }>((tie) => ({
  tree: fc.array(
    fc.record({
      isApp: fc.boolean(),
      hasParameter: fc.boolean(),
      below: fc.oneof({ maxDepth: 3, withCrossShrink: true }, fc.constant([]), tie('tree')),
    }),
    { minLength: 1, maxLength: 3 },
  ),
}))

const answer: express5.RequestHandler = (_request, response) => void response.end('ok')
const missing: express5.RequestHandler = (_request, response) => void response.status(404).end()
const refuse: express5.RequestHandler = (_request, response) => void response.status(403).end()

const versions: ReadonlyArray<[version: string, express: Express, other: Express]> = [
  ['Express 4', express4 as unknown as Express, express5],
  ['Express 5', express5, express4 as unknown as Express],
]

describe.each(versions)('%s counts', (version, express, other) => {
  it.each<[what: string, build: Build, path: string, label: string]>([
    [
      'a route at the very path of its router',
      (app, { Router }) => app.use('/api', Router().get('/', answer)),
      '/api',
      '/api',
    ],
    [
      'a route of a router without a path',
      (app, { Router }) => app.use(Router().get('/users/:id', answer)),
      '/users/1',
      '/users/:id',
    ],
    ['the route at the root', (app, { Router }) => app.use('/', Router().get('/', answer)), '/', '/'],
    [
      'a route of routers in routers',
      (app, { Router }) => app.use('/:a', Router().use('/b', Router().use('/:c', Router().get('/:d', answer)))),
      '/1/b/3/4?e=5',
      '/:a/b/:c/:d',
    ],
    [
      'a route of an application in the application',
      (app, express) => app.use('/sub/:name', express().get('/items/:id', answer)),
      '/sub/a/items/1',
      '/sub/:name/items/:id',
    ],
    ['what a middleware answers under its path', (app) => app.use('/graphql', answer), '/graphql/a?b=1', '/graphql'],
    [
      'what a middleware of a router answers',
      (app, { Router }) =>
        app.use(
          '/:tenant',
          Router().use('/files', (_request, _response, next) => next(), answer),
        ),
      '/acme/files/a.txt',
      '/:tenant/files',
    ],
    ['what a middleware without a path answers', (app) => app.use(answer), '/a', '(unmatched)'],
    ['a file that is not there', (app) => app.use('/files', missing), '/files/a.txt', '(unmatched)'],
    [
      'what an application in the application turns away',
      (app, express) => app.use('/other', express().use(refuse)).use('/sub', refuse, express().get('/items', answer)),
      '/sub/items',
      '/sub',
    ],
    ['a regular expression', (app) => app.get(/^\/v\d+$/, answer), '/v12', '^\\/v\\d+$'],
    ['several paths', (app) => app.get(['/a/:id', /^\/b/], answer), '/b', '/a/:id|^\\/b'],
    [
      'a route that only its own code can reach',
      (app, { Router }) => {
        const hidden = Router().get('/items/:id', answer)
        app.use('/api', (request, response, next) => hidden(request, response, next))
      },
      '/api/items/1',
      '/api/items/:id',
    ],
    [
      'a route of a router that is made for each request',
      (app, { Router }) =>
        app.use('/:tenant', (request, response, next) => {
          const router = Router().use('/own', Router().get('/items/:id', answer))
          router(request, response, next)
        }),
      '/acme/own/items/1',
      '/:tenant/*/items/:id',
    ],
    [
      'a route of an application that is called by a middleware',
      (app, express) => {
        const hidden = express().get('/items/:id', answer)
        app.use('/log', refuse).use('/sub', (request, response, next) => hidden(request, response, next))
      },
      '/sub/items/1',
      '/sub/items/:id',
    ],
    [
      'a route of an application of another Express that is called by a middleware',
      (app) => {
        const hidden = other().get('/items/:id', answer)
        app.use('/sub', (request, response, next) => hidden(request, response, next))
      },
      '/sub/items/1',
      '/sub/items/:id',
    ],
    [
      'a route whose handler is an application of another Express',
      (app) => {
        const hidden = other().use(answer)
        app.all('/legacy/:name', (request, response, next) => hidden(request, response, next))
      },
      '/legacy/a',
      '/legacy/:name',
    ],
    [
      'an application of Connect, as that of Vite',
      (app) => {
        const connect = Object.assign(answer.bind(undefined), { stack: [{ route: '', handle: answer }] })
        app.use('/assets', connect)
      },
      '/assets/main.js',
      '/assets',
    ],
    [
      'a route behind an application of Connect',
      (app) => {
        const passOn: express5.RequestHandler = (_request, _response, next) => next()
        app.use(Object.assign(passOn, { stack: [{ route: '', handle: answer }] })).use('/users', refuse)
        app.get('/users/:id', answer)
      },
      '/users/1',
      '/users/:id',
    ],
    [
      'a mount whose parameter is left out',
      (app, { Router }) =>
        app.use(version === 'Express 4' ? '/files/:folder?' : '/files{/:folder}', Router().get('/', answer)),
      '/files',
      version === 'Express 4' ? '/files' : '/files{/:folder}',
    ],
  ])('%s under its pattern', async (_what, build, path, label) => {
    expect(await labelsOf(express, build, [path])).toEqual([label])
  })

  it('HEAD that a middleware turned away under the route of GET', async () => {
    const build: Build = (app) => app.use('/admin', refuse).get('/admin/:page', answer)
    expect(await labelsOf(express, build, ['/admin/users'], 'HEAD')).toEqual(['/admin/:page'])
  })

  it('an error of an application in the application under its route, whoever handles it', async () => {
    const build: Build = (app, express) => {
      const sub = express().get('/items/:id', () => {
        throw new Error('thrown')
      })
      const inner = express().use('/:group', sub)
      app.use('/sub/:name', inner)
      app.use(((_error, _request, response, _next) => void response.status(500).end()) as express5.ErrorRequestHandler)
    }
    expect(await labelsOf(express, build, ['/sub/a/b/items/1'])).toEqual(['/sub/:name/:group/items/:id'])
  })

  it('an error of an application of another Express under its route, from the second request on', async () => {
    const build: Build = (app) => {
      const hidden = other().get('/items/:id', (request, response, next) => {
        if (request.params.id === '1') response.end('ok')
        else next(new Error('passed on'))
      })
      app.use('/sub', (request, response, next) => hidden(request, response, next))
      app.use(((_error, _request, response, _next) => void response.status(500).end()) as express5.ErrorRequestHandler)
    }
    expect(await labelsOf(express, build, ['/sub/items/1', '/sub/items/2'])).toEqual(['/sub/items/:id'])
  })

  it('a router under a pattern and a name under the one that took the request', async () => {
    const build: Build = (app, { Router }) => {
      const router = Router().get('/:id', answer)
      app.use('/a/:b', router).use('/a', router)
    }
    expect((await labelsOf(express, build, ['/a/b/1', '/a/1'])).sort()).toEqual(['/a/:b/:id', '/a/:id'])
  })

  it('a mount that is a regular expression under its source, and a mount in capitals as it is written', async () => {
    const build: Build = (app, { Router }) => {
      app.use(/^\/v\d+/, Router().get('/:id', answer))
      app.use('/api', Router().get('/:id', answer))
    }
    const labels = await labelsOf(express, build, ['/v12/1', '/v13/1', '/API/1', '/api/2'])
    expect(labels).toHaveLength(2)
    expect(labels).toContain('/api/:id')
    expect(labels.join()).not.toMatch(/v1[23]/)
  })

  it('a request for an absolute URL, even one that is no URL, under its pattern', async () => {
    const build: Build = (app, { Router }) => app.use('/api', Router().get('/:id', answer))
    const paths = ['http://a.example/api/1', 'http://h:99999/api/1']
    expect(await labelsOf(express, build, paths)).toEqual(['/api/:id'])
  })

  it('an application of many routers under each of them', async () => {
    const build: Build = (app, { Router }) => {
      const items = express().get('/:id', answer)
      app.use('/a', Router().use('/x', items)).use('/b', express().use('/y', Router().use('/z', items)))
    }
    const labels = await labelsOf(express, build, ['/a/x/1', '/b/y/z/1', '/a/x/2'])
    expect(labels.sort()).toEqual(['/a/x/:id', '/b/y/z/:id'])
  })

  it('every route of any tree of routers and applications under its own pattern', async () => {
    await fc.assert(
      fc.asyncProperty(tree, async (branches) => {
        const paths: string[] = []
        const expected: string[] = []
        const mount = (outer: express5.Router, { isApp, hasParameter, below }: Branch, path: string, label: string) => {
          const name = `/m${paths.length}`
          const inner = isApp ? express() : express.Router()
          outer.use(hasParameter ? `${name}/:name` : name, inner)
          const innerPath = path + name + (hasParameter ? '/value' : '')
          const innerLabel = label + name + (hasParameter ? '/:name' : '')
          paths.push(`${innerPath}/1`)
          expected.push(`${innerLabel}/:id`)
          inner.get('/:id', answer)
          for (const branch of below) mount(inner, branch, innerPath, innerLabel)
        }
        const build: Build = (app) => {
          for (const branch of branches) mount(app, branch, '', '')
        }
        expect((await labelsOf(express, build, paths)).sort()).toEqual(expected.sort())
      }),
      { numRuns: 40 },
    )
  })

  it('applications beside each other, of which each has a monitor', async () => {
    const build: Build = (app, express) => {
      const inner = express().use(monitorRequests(new PerformanceMonitor({ sampleInterval: false })))
      inner.get('/items/:id', answer)
      app.use('/sub', (request, response, next) => inner(request, response, next)).get('/items/:id', answer)
    }
    expect((await labelsOf(express, build, ['/sub/items/1', '/items/1'])).sort()).toEqual([
      '/items/:id',
      '/sub/items/:id',
    ])
  })

  it('a request whose route a handler sees as without the monitor', async () => {
    const seen: unknown[] = []
    const build: Build = (app) =>
      app
        .use((request, _response, next) => {
          seen.push(request.route)
          next()
        })
        .get('/items/:id', (request, response) => {
          seen.push(request.route.path)
          response.end('ok')
        })
    await labelsOf(express, build, ['/items/1'])
    expect(seen).toEqual([undefined, '/items/:id'])
  })

  it('one route of many mounts under each of them', async () => {
    const build: Build = (app, { Router }) => {
      const router = Router().get('/:id', answer)
      app.use('/a', router).use('/b', router)
    }
    const labels = await labelsOf(express, build, ['/a/1', '/b/1', '/a/2'])
    expect(labels.sort()).toEqual(['/a/:id', '/b/:id'])
  })
})

describe('The router of Express 5.0 and 5.1, which tells no patterns, has counted', () => {
  interface Layer {
    match(path: string): { readonly path: string; readonly params: object } | boolean
    readonly handle: { readonly stack?: Layer[] }
  }

  /** From here on the layers answer as before router 2.3: true, and what matched is left on the layer. */
  function age(stack: readonly Layer[]): void {
    for (const layer of stack) {
      const match = layer.match.bind(layer)
      layer.match = (path) => {
        const found = match(path)
        if (typeof found !== 'object') return false
        Object.assign(layer, { path: found.path, params: found.params })
        return true
      }
      age(layer.handle.stack ?? [])
    }
  }

  it.each<[mount: string, path: string, label: string]>([
    ['/api', '/api/items/1', '/api/items/:id'],
    ['/:tenant', '/acme/items/1', '/:tenant/items/:id'],
    ['/:tenant/of/:group', '/a%20b/of/c/items/1', '/:tenant/of/:group/items/:id'],
    ['/100%/:name', '/100%/x/items/1', '/100%/:name/items/:id'],
    ['/', '/items/1', '/items/:id'],
    ['/v:version', '/v2/items/1', '/*/items/:id'],
    ['/api', '/API/items/1', '/api/items/:id'],
    ['/*rest/x', '/a/b/x/items/1', '/*/items/:id'],
  ])('%s for %s under %s', async (mount, path, label) => {
    const build: Build = (app, { Router }) => {
      const router = Router().get('/items/:id', (_request, response) => {
        age((app as unknown as { router: { stack: Layer[] } }).router.stack)
        response.end('ok')
      })
      app.use(mount, router)
    }
    expect(await labelsOf(express5, build, [path])).toEqual([label])
  })
})
