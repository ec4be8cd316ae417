import type { Hono } from 'hono'
// biome-ignore lint/suspicious/noTsIgnore: it is there only when the runtimes are installed
// @ts-ignore
import { D1Dialect } from 'kysely-d1'
import { cases, type Platform, runCase } from './index.ts'

interface Env {
  readonly DB: object
  /** This worker, so that each call is a request of its own. */
  readonly SELF: { fetch(url: string, init?: RequestInit): Promise<Response> }
}

const apps = new Map<string, Hono>()

/** `/run/<number>` runs a case; `/app/<id>/…` is a request that a case sent to its app. */
export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const { pathname, search } = new URL(request.url)
    const [, kind, id = '', ...path] = pathname.split('/')
    if (kind === 'run') {
      const one = cases[Number(id)]
      return Response.json({
        error: one === undefined ? 'no such case' : ((await runCase(one, platformOf(env))) ?? null),
      })
    }
    return apps.get(id)?.fetch(new Request(`http://app/${path.join('/')}${search}`, request)) as Promise<Response>
  },
}

function platformOf(env: Env): Platform {
  return {
    name: 'workers',
    createDialect: async () => new D1Dialect({ database: env.DB as never }),
    async serve(app) {
      const id = String(apps.size)
      apps.set(id, app)
      return { fetch: (path, init) => env.SELF.fetch(`http://self/app/${id}${path}`, init), close: async () => {} }
    },
  }
}
